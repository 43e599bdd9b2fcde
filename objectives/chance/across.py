"""Balance from one state of the agent's to the next, across what chance does between."""

import torch
from torch import Tensor

from gflow.terms import FlowTerms


def spans(terms: FlowTerms) -> tuple[Tensor, Tensor]:
    """(B, T) int64 when the agent's state after each move is reached, and bool where one begins.

    One begins at every move of the agent whose outcome is known, and at a source of chance's.
    """
    mask = terms.mask
    steps = torch.arange(mask.shape[1], device=mask.device)
    if terms.chance is None:
        return (steps + 1).expand_as(mask), mask
    after = next_of_agent(terms.chance, terms.length)
    begins = ~terms.chance[:, :-1]
    source = steps == 0
    if terms.from_source is not None:
        source = source & terms.from_source[:, None]
    begins = (begins | source) & mask & (after < mask.shape[1] + 1)
    return after.clamp(max=mask.shape[1]), begins


def across(terms: FlowTerms, log_pf: Tensor, log_pb: Tensor | None = None) -> Tensor:
    """(B, T) balance from each state of the agent's to the next, with all moves between; else 0.

    Args:
        terms: The flow terms.
        log_pf: (B, T) what is taken as log P_F of each move.
        log_pb: (B, T) the same of log P_B; by default that of the terms.
    """
    flow = terms.log_flow
    assert flow is not None
    after, begins = spans(terms)
    gain = (log_pf - (terms.log_pb if log_pb is None else log_pb)).where(terms.mask, 0.0)
    sums = torch.nn.functional.pad(gain.cumsum(-1), (1, 0))  # (B, T + 1)
    reached = (sums - flow).gather(1, after)
    return (flow[:, :-1] - sums[:, :-1] + reached).where(begins, 0.0)


def even(terms: FlowTerms) -> Tensor:
    """(B, T) equal weights of all spans in the batch."""
    begins = spans(terms)[1]
    return begins.to(terms.log_pf.dtype) / begins.sum().clamp(min=1)


def next_of_agent(chance: Tensor, length: Tensor) -> Tensor:
    """(B, T) int64: after each time t < T the next one at which chance does not move.

    T + 1 where the trajectory ends before that.

    Args:
        chance: (B, T + 1) bool.
        length: (B,) int64 number of transitions.
    """
    steps = torch.arange(chance.shape[1], device=chance.device)
    ours = ~chance & (steps <= length[:, None])
    time = torch.where(ours, steps, chance.shape[1])
    return time.flip(1).cummin(1).values.flip(1)[:, 1:]

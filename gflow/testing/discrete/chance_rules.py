"""Rules about whose move it is: movers are known numbers, and chance has laws of legal moves."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.movers import AGENT, CHANCE
from gflow.state import batch_size, take
from gflow.testing.discrete.explore import Explored
from gflow.testing.probe import Probe

CLOSE = 1e-5


def check_movers(probe: Probe, found: Explored) -> None:
    """`mover` and `chance_law` give what is documented, each row for itself."""
    env, states = probe.env, found.states
    if not env.has_movers:
        return
    mover = probe.call("mover", states)
    if mover is None:
        return
    if not _is_mover(mover, batch_size(states), env.num_players):
        players = " and ".join(map(str, _players(env.num_players))) or "none, num_players being 1"
        probe.findings.add(
            "wrong-mover",
            f"`mover` gave {_described(mover)} for {batch_size(states)} states.",
            f"Return (B,) int64 of {AGENT} (the agent), {CHANCE} (chance) and players: {players}.",
        )
        return
    rows = (mover == CHANCE).nonzero().squeeze(1)
    if len(rows):
        _check_law(probe, take(states, rows))


def _check_law(probe: Probe, states: Any) -> None:
    """States on chance's turn have a law over their legal actions."""
    legal = probe.call("forward_mask", states)
    law = probe.call("chance_law", states)
    shape = tuple(legal.shape)
    if not isinstance(law, Categorical) or tuple(law.mask.shape) != shape:
        probe.findings.add(
            "wrong-chance-law",
            f"`chance_law` gave {_described(law)} for {len(legal)} states.",
            f"Return Categorical(log-probabilities, mask), both (B, {shape[1]}).",
        )
        return
    table = law.table()
    beyond = law.mask & ~legal
    lost = legal.any(-1) & ~torch.isclose(table.exp().where(law.distinct, 0.0).sum(-1), _one(table))
    for wrong, what in (
        (beyond.any(-1), "allows chance what `forward_mask` does not"),
        (lost, "has probabilities that do not sum to one over legal actions"),
    ):
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            probe.findings.add(
                "wrong-chance-law",
                f"`chance_law` {what}: in the state {probe.show(states, row)} it says "
                f"{_rounded(table[row])}, and legal are "
                f"{legal[row].nonzero().flatten().tolist()}.",
                "Give a finite log-probability to every outcome, and mask with `forward_mask`.",
            )
            return
    most = int(legal.sum(-1).argmax())  # where most can happen
    alone = probe.call("chance_law", take(states, torch.tensor([most]))).table()[0]
    if not torch.allclose(alone, table[most], atol=CLOSE):
        probe.findings.add(
            "batch-dependence",
            f"`chance_law` of {probe.show(states, most)} is {_rounded(table[most])} among others "
            f"and {_rounded(alone)} alone.",
            "A row must depend on its own state only.",
        )


def _players(count: int) -> list[int]:
    """Numbers of the players of a game of so many; none where there is one reward alone."""
    return [1, -1] if count == 2 else list(range(1, count + 1)) if count > 2 else []


def _is_mover(mover: Any, count: int, players: int) -> bool:
    if not isinstance(mover, Tensor) or tuple(mover.shape) != (count,):
        return False
    known = torch.tensor([AGENT, CHANCE, *_players(players)])
    return mover.dtype == torch.int64 and bool(torch.isin(mover, known).all())


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}, values {value.unique().tolist()[:6]}"
    return type(value).__name__


def _rounded(row: Tensor) -> list[float]:
    return [round(p, 4) for p in row.exp().tolist()]


def _one(like: Tensor) -> Tensor:
    return torch.ones((), dtype=like.dtype)

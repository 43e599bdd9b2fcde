"""Objects that nobody aims at: every legal move is equally likely."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.masking import sample_masked
from gflow.state import batch_size, cat, take


def wander(
    env: Environment[Any],
    count: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Any:
    """`count` finished objects that random moves lead to, without asking for their reward.

    Args:
        env: An environment whose moves are numbered.
        count: How many.
        generator: Source of the moves.
        device: Where to step.
    """
    found: DiscreteEnvironment[Any] = require_numbered(
        env, "wander", "Give objects of your own in place of random ones."
    )
    states, rows = found.initial(count, device), torch.arange(count, device=device)
    ended, order = [], []
    while batch_size(states):
        mask = found.forward_mask(states)
        action = sample_masked(torch.zeros(mask.shape, device=device), mask, generator)
        ends = ~mask.any(-1)
        if found.stop_action is not None:
            ends = ends | (action == found.stop_action)
        ended.append(take(states, ends.nonzero().squeeze(1)))
        order.append(rows[ends])
        going = (~ends).nonzero().squeeze(1)
        states = take(states, going)
        if len(going):
            states, rows = found._step(states, action[going]), rows[going]
    place: Tensor = torch.cat(order).argsort()
    return take(cat(ended), place)

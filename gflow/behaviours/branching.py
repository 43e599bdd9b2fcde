"""Branches: several ends of one beginning, so that they differ by what came after it alone."""

from typing import Annotated, Any

import torch

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Bounds, Share
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.trajectories import Trajectories


class Branching(Behaviour):
    """Groups of trajectories that share their first transitions.

    One trajectory per group is sampled and cut at a random place; the policy goes on from there
    several times. An objective that compares the log-weights within a group, log-partition
    variance with a condition per group, then compares ends: what the beginning contributed
    cancels, in value and in gradient, and with it the noise of its luck. Policies that look at
    states with equal futures once (`GraphPolicy`) do not pay for the beginnings again.

    With conditions, a group is what has the same condition, so draw each several times
    (``GraphDraw(env.turn, repeat=8)``); without, groups are of `repeat`.

    Args:
        repeat: Trajectories per group where there are no conditions, at least 2.
        whole: Share of the groups that are not cut, so that they share the source alone. Without
            any the first transitions are hardly trained.
    """

    name = "branching"

    @checked
    def __init__(self, repeat: Annotated[int, Bounds(2)] = 8, whole: Share = 0.25) -> None:
        self.repeat, self.whole = repeat, whole

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories; without conditions, what is left over joins the last group.

        Raises:
            ConfigError: If the batch is smaller than a group.
        """
        condition = sampling.conditions(count)
        if condition is None:
            groups = count // self.repeat
            if not groups:
                raise ConfigError(
                    f"Branching: a batch of {count} holds no group of {self.repeat}. Raise the "
                    f"batch size or lower `repeat`."
                )
            group = (torch.arange(count) // self.repeat).clamp(max=groups - 1).to(sampling.device)
        else:
            condition, found = torch.unique(condition, dim=0, return_inverse=True)
            groups, group = len(condition), found
        trunk = sampling.sampler.forward(
            sampling.policy,
            groups,
            exploration=sampling.exploration,
            condition=condition,
            generator=sampling.generator,
            device=sampling.device,
        )
        device, generator = trunk.length.device, sampling.generator
        last = trunk.length - trunk.stopped.long()
        place = torch.rand(2, groups, device=device, generator=generator)
        keep = (place[0] * last).long().clamp(max=(last - 1).clamp(min=0))
        keep = keep.masked_fill(place[1] < self.whole, 0)
        return sampling.sampler.resume(
            sampling.policy,
            trunk.select(group),
            keep[group],
            exploration=sampling.exploration,
            generator=generator,
        )

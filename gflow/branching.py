"""Branches: several ends of one beginning, so that they differ by what came after it alone."""

from typing import Any

import torch

from gflow.behaviour import Behaviour, Rollout
from gflow.errors import ConfigError
from gflow.trajectories import Trajectories


class Branching(Behaviour):
    """Groups of trajectories that share their first transitions.

    One trajectory per group is sampled and cut at a random place; the policy goes on from there
    several times. An objective that compares the log-weights within a group, log-partition
    variance with a condition per group, then compares ends: what the beginning contributed
    cancels, in value and in gradient, and with it the noise of its luck. Policies that look at
    states with equal futures once (`GraphPolicy`) do not pay for the beginnings again.

    Conditions must be drawn with one trajectory each (``GraphDraw(env.turn, repeat=1)``), and as
    many different ones as there are groups.

    Args:
        repeat: Trajectories per group, at least 2.
        whole: Share of the groups that are not cut, so that they share the source alone.
    """

    name = "branching"

    def __init__(self, repeat: int = 8, whole: float = 0.25) -> None:
        if repeat < 2:
            raise ConfigError(f"Branching: repeat must be at least 2, got {repeat}.")
        if not 0 < whole <= 1:
            raise ConfigError(
                f"Branching: whole must lie in (0, 1], got {whole}; without whole groups the first "
                f"transitions are hardly trained."
            )
        self.repeat, self.whole = repeat, whole

    def collect(self, rollout: Rollout, count: int) -> Trajectories[Any]:
        """`count` trajectories; what is left over joins the last groups.

        Raises:
            ConfigError: If the batch is smaller than a group.
        """
        groups = count // self.repeat
        if not groups:
            raise ConfigError(
                f"Branching: a batch of {count} holds no group of {self.repeat}. Raise the batch "
                f"size or lower `repeat`."
            )
        trunk = rollout.fresh(groups)
        device, generator = trunk.length.device, rollout.generator
        last = trunk.length - trunk.stopped.long()
        place = torch.rand(2, groups, device=device, generator=generator)
        keep = (place[0] * last).long().clamp(max=(last - 1).clamp(min=0))
        keep = keep.masked_fill(place[1] < self.whole, 0)
        group = (torch.arange(count, device=device) // self.repeat).clamp(max=groups - 1)
        return rollout.sampler.resume(
            rollout.policy,
            trunk.select(group),
            keep[group],
            exploration=rollout.exploration,
            generator=generator,
        )

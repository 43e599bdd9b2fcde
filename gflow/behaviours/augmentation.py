"""Backward augmentation: extra steps on new trajectories to objects that are remembered."""

from collections.abc import Iterator
from typing import Any

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.memory.replay import ReplayBuffer
from gflow.objective import Objective
from gflow.source import Source
from gflow.trajectories import Trajectories


class BackwardAugmentation(Around):
    """Another behaviour's batches, and after each further steps drawn backward from memory.

    Some objects are drawn, half from the best tenth and half from the rest. Each of `steps`
    gradient steps trains on one new trajectory of each object, drawn with P_B as it is then, once
    the memory is large enough. Whatever the objective, the loss is the same.

    Args:
        inner: Where batches come from; usually a `Replay` with the same memory.
        buffer: The memory, with objects (rebuild="backward"); somebody else fills it.
        objects: Objects drawn after every step.
        steps: Gradient steps, and trajectories per object.

    Raises:
        ConfigError: If a number is out of range, or the memory holds no objects.

    Reference:
        Chen and Mauch, Order-Preserving GFlowNets, 2023, https://arxiv.org/abs/2310.00386, whose
        code has 20 of each.
    """

    name = "augmentation"

    @checked
    def __init__(
        self, inner: Behaviour | None, buffer: ReplayBuffer, objects: Count = 20, steps: Count = 20
    ) -> None:
        super().__init__(inner)
        if not buffer.has_objects:
            raise ConfigError(
                "BackwardAugmentation draws objects from memory: build it with rebuild='backward' "
                "(replay_rebuild='backward')."
            )
        self.buffer, self.objects, self.steps = buffer, objects, steps
        self.gives = self.inner.gives | Source.OTHER

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What the inner behaviour refuses, and further batches of another objective."""
        if self.inner.further_objective is not None:
            return (
                f"the further batches of {self.inner.name} are trained by an objective of their "
                f"own, and these by that of the trainer. Leave augment at 0."
            )
        return super().refusal(env, objective)

    def check_count(self, count: int) -> None:
        """What the inner behaviour refuses, and memories too small for so many objects."""
        super().check_count(count)
        self.buffer.require_room(self.objects)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Those of the inner behaviour."""
        return self.inner.collect(sampling, count)

    def further(self, sampling: Sampling) -> Iterator[Trajectories[Any]]:
        """Those of the inner behaviour, then `steps` batches that end in the same objects."""
        yield from self.inner.further(sampling)
        if not self.buffer.ready(self.objects):
            return
        rows = self.buffer.rows(self.objects, sampling.generator, "tenth")
        for _ in range(self.steps):
            yield self.buffer.backward(
                rows, sampling.sampler, sampling.policy, sampling.generator, sampling.device
            )

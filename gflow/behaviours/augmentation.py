"""Backward augmentation: extra steps on new ways to objects that are remembered."""

from typing import Any

from gflow.errors import ConfigError
from gflow.memory.replay import ReplayBuffer


class BackwardAugmentation:
    """After every training step, further steps on trajectories drawn backward from memory.

    Some objects are drawn, half from the best tenth and half from the rest. Each of `steps`
    gradient steps trains on one new trajectory of each object, drawn with P_B as it is then. A
    trainer callback; whatever the objective, the loss is the same.

    Args:
        objects: Objects drawn after every step.
        steps: Gradient steps, and trajectories per object.

    Reference:
        Chen and Mauch, Order-Preserving GFlowNets, 2023, https://arxiv.org/abs/2310.00386, whose
        code has 20 of each.
    """

    def __init__(self, objects: int = 20, steps: int = 20) -> None:
        if objects < 1 or steps < 1:
            raise ConfigError(
                f"BackwardAugmentation: objects and steps must be at least 1, got {objects} and "
                f"{steps}."
            )
        self.objects, self.steps = objects, steps

    def __call__(self, trainer: Any, batch: Any, record: dict[str, float]) -> None:
        """Take the steps, once the memory is large enough; adds their mean loss to the record."""
        replay: ReplayBuffer | None = trainer.replay
        if replay is None or not replay.has_objects:
            raise ConfigError(
                "BackwardAugmentation draws objects from memory: set replay > 0 and "
                "replay_rebuild='backward'."
            )
        if not replay.ready(self.objects):
            return
        rows = replay.rows(self.objects, trainer.generator, "tenth")
        total = 0.0
        for _ in range(self.steps):
            again = replay.backward(
                rows, trainer.sampler, trainer.policy, trainer.generator, trainer.device
            )
            total += trainer.descend(again)[0]
        record["augmented_loss"] = total / self.steps

"""Worker: trajectory balance on a hypergrid with this library."""

import sys
from typing import Any

import torch
from protocol import R0, R1, R2, WIDTH, Case, Progress, serve
from torch import Tensor

from gflow import MLPPolicy, PolicyOutput
from gflow.environment.base import Environment
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.objectives import TrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer


def trained(trainer: Trainer, iterations: int) -> tuple[float, dict[str, float]]:
    """Mean length of the trajectories of some iterations, and the record of the last of them.

    Only two records are made, since some contestants make none.
    """
    trainer.record_every, lengths = iterations, 0.0
    if iterations > 1:
        lengths = trainer.train(iterations - 1)["mean_length"] * (iterations - 1)
    record = trainer.train(1)
    return (lengths + record["mean_length"]) / iterations, record


class RecordingPolicy(MLPPolicy):
    """Remembers what it was shown, so that the same passes can be timed bare."""

    sampled: list[Tensor]
    trained: Tensor

    def forward_logits(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        self.sampled.append(states)
        return super().forward_logits(env, states, condition)

    def forward(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> PolicyOutput:
        self.trained = states
        return super().forward(env, states, condition)


COMPILED = sys.argv[1:] == ["compiled"]


class GFlow:
    """The library as a user drives it: a trainer and its steps, compiled or not."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.env = env = HyperGrid(case.dim, case.side, Corners(case.side, R0, R1, R2))
        self.policy = (MLPPolicy if COMPILED else RecordingPolicy)(env, width=WIDTH, depth=2)
        with torch.no_grad():
            self.policy.head.weight *= case.head_scale
            self.policy.head.bias *= case.head_scale
            self.policy.head.bias[case.dim] += case.stop_bias
        self.objective = TrajectoryBalance()
        config = TrainConfig(
            batch_size=case.batch,
            lr=case.learning_rate,
            log_z_lr=case.log_z_learning_rate,
            compile=COMPILED,
        )
        self.trainer = Trainer(env, self.policy, self.objective, config)
        parts = [*self.policy.parameters(), *self.objective.parameters()]
        self.parameters = sum(p.numel() for p in parts)
        if isinstance(self.policy, RecordingPolicy):
            self.policy.sampled = []
            self.bare = self._bare  # of a graph no single passes are known

    def train(self, iterations: int) -> Progress:
        """Sample, evaluate and step."""
        if isinstance(self.policy, RecordingPolicy):
            self.policy.sampled = []
        length, record = trained(self.trainer, iterations)
        return Progress(length, record["loss"], record["log_z"])

    def _bare(self) -> None:
        """The passes of sampling without gradient, then one forward and backward pass over all.

        These are the states that the library really passed: each distinct one once, where it
        shares them.
        """
        with torch.no_grad():
            assert isinstance(self.policy, RecordingPolicy)
            for states in self.policy.sampled:
                MLPPolicy.forward_logits(self.policy, self.env, states)
        self.policy.head(self.policy.trunk(self.env, self.policy.trained)).sum().backward()


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(GFlow, ["torch", "gflow-torch"])

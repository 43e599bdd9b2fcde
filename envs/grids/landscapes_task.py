"""`gflow train landscapes`."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.several import SeveralScores, enumerated_front
from gflow.tasks.task import RunOptions
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class LandscapesTask(SeveralScores):
    """Cells of a grid by several test functions at once; the true front is known.

    Attributes:
        functions: Among branin, currin, shubert, beale and sphere.
        side: Values per coordinate.
        ending: "forced": the edge ends the trajectory. "free": stop anywhere.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    name: ClassVar[str] = "landscapes"
    summary: ClassVar[str] = "several functions on one grid: a Pareto front known exactly"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1000, batch_size=128, lr=1e-2, log_z_lr=1e-2, weight_decay=1e-4, epsilon=0.01
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_samples=1280)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "hypervolume_ratio",
        "igd_plus",
        "gd_plus",
        "pc_entropy",
        "focus_accuracy",
        "archive_size",
    )

    functions: tuple[str, ...] = ("branin", "currin")
    side: Count = 32
    ending: Literal["forced", "free"] = "forced"
    width: Count = 64
    depth: Count = 3
    backward: BackwardChoice = "uniform"

    def environment(self) -> HyperGrid:
        """The grid."""
        return landscape_grid(self.functions, self.side, self.scalarization(), self.ending)

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env,
            self.width,
            self.depth,
            own_backward(self.backward),
            log_flow=needs.log_flow,
            condition_encoder=self.condition_encoder(env),
        )

    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """(M, K) the front among all cells."""
        return enumerated_front(self)

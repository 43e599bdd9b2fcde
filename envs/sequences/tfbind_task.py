"""`gflow train tfbind`."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sequences.rewards import TableReward
from gflow.envs.sequences.tfbind import load_e_scores, synthetic_e_scores, tf_binding
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

MODES = 0.005
"""The best of all sequences that count as modes, a fraction."""


@dataclass(frozen=True)
class TFBindTask(Task[DiscreteEnvironment[Any]]):
    """DNA 8-mers that bind a transcription factor.

    Attributes:
        table: File of E-scores of all 8-mers, or "synthetic" for a made-up landscape.
        order: "prepend_append", "left_to_right" or "any".
        beta: Exponent of the binding.
        peak: Largest reward.
        width: Units per hidden layer.
        depth: Hidden layers.
        backward: Backward policy.
    """

    name: ClassVar[str] = "tfbind"
    summary: ClassVar[str] = "DNA 8-mers by measured binding; exact distribution known"
    train: ClassVar[TrainConfig] = TrainConfig(steps=3000, batch_size=64, lr=1e-3, epsilon=0.01)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500)
    exact_limit: ClassVar[int] = 100_000

    table: str = "synthetic"
    order: Literal["prepend_append", "left_to_right", "any"] = "prepend_append"
    beta: Positive = 3.0
    peak: Positive = 10.0
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "learned"

    def environment(self) -> DiscreteEnvironment[Any]:
        """The 8-mers."""
        if self.table != "synthetic":
            return tf_binding(load_e_scores(self.table), self.order, self.beta, self.peak)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "synthetic.txt"
            synthetic_e_scores(path)
            return tf_binding(load_e_scores(path), self.order, self.beta, self.peak)

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(env, self.width, self.depth, own_backward(self.backward), needs.log_flow)

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """The logarithm of a tenth of the peak for every sequence."""
        return 9.0

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(B,) binding as a share of the strongest, before exponent and factor."""
        return ((env.log_reward(objects) - math.log(self.peak)) / self.beta).exp()

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """How many of the best 0.5 % of all sequences are in the sample."""
        reward = context.env.reward
        assert isinstance(reward, TableReward)
        limit = reward.log_reward.quantile(1 - MODES)
        rows = reward.index(objects).unique()
        return {"modes_in_sample": float((reward.log_reward[rows] >= limit).sum())}

    def report(self, context: Context) -> str:
        """A warning where nothing was measured."""
        if self.table != "synthetic":
            return ""
        return "This landscape is made up; give a measured one with --table FILE."

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """Logos, learned against exact; the best strings as text."""
        from gflow.envs.sequences.draw import logos

        env: Any = shown.env
        return logos(shown, env.alphabet) | super().pictures(shown)

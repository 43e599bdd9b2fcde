"""`gflow train noisy-tfbind`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Positive, Probability
from gflow.envs.noise.env import WithNoise
from gflow.envs.noise.metrics import expected_metrics
from gflow.envs.noise.tfbind import noisy_tf_binding
from gflow.envs.sequences.motif_scores import motif_scores
from gflow.envs.sequences.tfbind import load_e_scores
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig


@dataclass(frozen=True)
class NoisyTFBindTask(Task[WithNoise]):
    """DNA 8-mers written letter by letter, with letters that come out wrong.

    Attributes:
        table: File of E-scores of all 8-mers, or "motifs" for a made-up landscape.
        token_noise: Probability that a letter is replaced by a uniform one.
        beta: Exponent of the binding.
        width: Units per hidden layer.
        depth: Hidden layers.
        backward: Backward policy over what may have been meant.
    """

    name: ClassVar[str] = "noisy-tfbind"
    summary: ClassVar[str] = "DNA 8-mers with noise; exact expected flows known"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=2000, batch_size=64, lr=4e-3, ema=0.99, epsilon=0.01
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500)
    objective: ClassVar[str] = "edb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "tv_expected",
        "tv_reward",
        "mean_reward",
        "expected_reward",
        "log_z",
        "log_z_error",
    )
    exact_limit: ClassVar[int] = 500_000

    table: str = "motifs"
    token_noise: Probability = 0.1
    beta: Positive = 3.0
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "learned"

    def environment(self) -> WithNoise:
        """The 8-mers, with noise."""
        values = motif_scores() if self.table == "motifs" else load_e_scores(self.table)
        return noisy_tf_binding(values, self.token_noise, self.beta)

    def policy(self, env: WithNoise, needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(env, self.width, self.depth, own_backward(self.backward), needs.log_flow)

    def log_z(self, env: WithNoise) -> float:
        """The logarithm of a twentieth for every sequence."""
        return 8.0

    def rewards(
        self, env: WithNoise, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B,) binding as a share of the strongest, before the exponent."""
        return (env.log_reward(objects) / self.beta).exp()

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The distances to expected flows and to R / Z."""
        return expected_metrics(context)

    def report(self, context: Context) -> str:
        """A warning where nothing was measured."""
        if self.table != "motifs":
            return ""
        return "This landscape is made up; give a measured one with --table FILE."

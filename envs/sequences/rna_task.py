"""`gflow train rna`."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoiceOrAuto, own_backward
from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import AnyOrder, Autoregressive
from gflow.envs.sequences.rna import PAIRS, SINGLES, DesignReward, rna_design
from gflow.envs.sequences.rna_scores import Measure, folds_into, vienna
from gflow.policies.base import Backward, Policy
from gflow.policies.mlp import MLPPolicy
from gflow.rewards.base import FunctionReward
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

CANDIDATES = 2000
"""Designs of highest reward that are folded once more at the end of a run."""


@dataclass(frozen=True)
class RNATask(Task[DiscreteEnvironment[Any]]):
    """RNAs designed to fold into a target structure.

    Attributes:
        target: Structure in dot-bracket notation.
        measure: Agreement with the target: "mfe", "defect" or "both".
        beta: Exponent of the agreement.
        order: "left_to_right" or "any".
        backward: Backward policy; "auto" is uniform left to right, where a state has one parent,
            and learned in any order.
        workers: Processes that fold; 0 folds in the main process.
        pool: Where workers are: local; ray for Ray on this machine (or where RAY_ADDRESS says);
            ray://HOST:PORT for a cluster.
        timeout: Seconds that folding one RNA may take, in a worker; 0 for no limit.
        width: Units per hidden layer.
        depth: Hidden layers.
    """

    name: ClassVar[str] = "rna"
    summary: ClassVar[str] = "RNA designed to fold into a target structure; ViennaRNA"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=600, batch_size=64, lr=1e-3, log_z_lr=0.1, epsilon=0.01
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, checkpoint_every=100)

    target: str = "..(((((..((((....))))..((((....))))..))))).."
    measure: Measure = "both"
    beta: Positive = 16.0
    order: Literal["left_to_right", "any"] = "left_to_right"
    backward: BackwardChoiceOrAuto = "auto"
    workers: Natural = 2
    pool: str = "local"
    timeout: NotNegative = 0.0
    width: Count = 256
    depth: Count = 2

    def environment(self) -> DiscreteEnvironment[Any]:
        """The designs."""
        return rna_design(
            DesignReward(
                self.target,
                self.measure,
                self.beta,
                self.workers,
                self.timeout or None,
                self.pool,
            ),
            self.order,
        )

    @classmethod
    def cheap(cls) -> DiscreteEnvironment[Any]:
        """The same kind of environment, without ViennaRNA."""
        kind = AnyOrder if cls().order == "any" else Autoregressive
        return kind(SINGLES + PAIRS, 2, FunctionReward(lambda states: states.sum(-1).double()))

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(env, self.width, self.depth, self._backward(), needs.log_flow)

    def _backward(self) -> Backward:
        if self.backward != "auto":
            return own_backward(self.backward)
        return "uniform" if self.order == "left_to_right" else "learned"

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """Log of the number of designs, less what a middling one is worth."""
        reward = _reward(env)
        return float(reward.allowed.sum(1).log().sum()) + self.beta * math.log(0.5)

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(B,) agreement with the target, in [0, 1]."""
        return (env.log_reward(objects) / self.beta).exp()

    def describe(self, env: DiscreteEnvironment[Any], objects: Any) -> list[str]:
        """The RNAs."""
        return _reward(env).sequences(objects)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The fraction of the sample that folds into the target, and of distinct RNAs in it."""
        designs = _reward(context.env).sequences(objects)
        return {
            "solved": sum(folds_into(designs, self.target)) / len(designs),
            "unique": len(set(designs)) / len(designs),
        }

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Write the designs that fold into the target, best first."""
        with (folder / "designs.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["sequence", "structure", "energy_kcal_per_mol", "agreement"])
            for design, value in self.designs(context.env):
                structure, energy = vienna().fold(design)
                table.writerow([design, structure, f"{energy:.2f}", f"{value:.6f}"])
        return {}

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """The best designs as they fold, drawn; how often each nucleotide is where."""
        from gflow.envs.sequences.draw import logos
        from gflow.envs.sequences.structure import structures

        found = self.designs(shown.env)[:3]
        told = [(*self._folded(design), f"agreement {value:.3f}") for design, value in found]
        caption = "The best designs, folded by ViennaRNA: lines across are pairs."
        if not told:
            best = sorted(_reward(shown.env).memory.items(), key=lambda item: (-item[1], item[0]))
            told = [
                (*self._folded(design), "best so far, another structure") for design, _ in best[:2]
            ]
            told.append(("N" * len(self.target), self.target, "target"))
            caption = "No design folds into the target yet: the best ones, and the target."
        rna, reward = Alphabet("ACGU"), _reward(shown.env)

        def read(objects: Tensor) -> Tensor:
            return rna.encode(reward.sequences(objects))

        return {"structures": structures(told, caption)} | logos(shown, rna, read)

    def _folded(self, design: str) -> tuple[str, str]:
        return design, vienna().fold(design)[0]

    def report(self, context: Context) -> str:
        """The ten best designs that fold into the target."""
        found = self.designs(context.env)
        lines = [f"{len(found)} designs fold into the target (designs.csv); the best:"]
        lines += [f"  {self.target}"]
        return "\n".join([*lines, *(f"  {design}  {value:.4f}" for design, value in found[:10])])

    def designs(self, env: DiscreteEnvironment[Any]) -> list[tuple[str, float]]:
        """Of the best RNAs of the run, those that fold into the target, and their agreement."""
        scored = _reward(env).memory.items()
        best = sorted(scored, key=lambda item: (-item[1], item[0]))[:CANDIDATES]
        good = folds_into([design for design, _ in best], self.target)
        values = torch.tensor([value for _, value in best]).div(self.beta).exp().tolist()
        pairs = zip(best, values, good, strict=True)
        return [(design, value) for (design, _), value, folds in pairs if folds]

    def close(self, env: DiscreteEnvironment[Any]) -> None:
        """End the workers."""
        if isinstance(env.reward, DesignReward):
            env.reward.close()


def _reward(env: DiscreteEnvironment[Any]) -> DesignReward:
    assert isinstance(env.reward, DesignReward)
    return env.reward

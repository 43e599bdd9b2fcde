"""`gflow train sets`."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets, PairwiseEnergy, published_sets
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class SetsTask(Task[FixedSizeSets]):
    """Subsets of a fixed size, built item by item.

    Attributes:
        task: A published task (small: 20 of 30, medium: 60 of 80, large: 80 of 100), or random
            energies.
        items: Number of items of a random task.
        size: Items of a set of a random task.
        interaction: Spread of the energies of pairs of a random task; 0 for additive energies.
        energy_seed: Of a random task.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    name: ClassVar[str] = "sets"
    summary: ClassVar[str] = "subsets of a fixed size; log Z and the best sets known exactly"
    train: ClassVar[TrainConfig] = TrainConfig(steps=2000, batch_size=16)
    run: ClassVar[RunOptions] = RunOptions(threads=1)

    task: Literal["random", "small", "medium", "large"] = "random"
    items: Count = 10
    size: Count = 5
    interaction: float = 0.0
    energy_seed: Natural = 0
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "learned"

    def environment(self) -> FixedSizeSets:
        """The sets."""
        if self.task != "random":
            return published_sets(self.task)
        generator = torch.Generator().manual_seed(self.energy_seed)
        energies = torch.randn(self.items, generator=generator)
        if not self.interaction:
            return FixedSizeSets(self.items, self.size, AdditiveEnergy(energies))
        pairs = self.interaction * torch.randn(self.items, self.items, generator=generator).triu(1)
        return FixedSizeSets(self.items, self.size, PairwiseEnergy(energies, pairs + pairs.T))

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env, self.width, self.depth, own_backward(self.backward), log_flow=needs.log_flow
        )

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """Log of the number of sets: right to begin with if energies average to zero."""
        assert isinstance(env, FixedSizeSets)
        n, k = env.num_items, env.size
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The sample against exact numbers of additive energies.

        `mean_reward_ratio` is 1 for a perfect sampler, `top100_ratio` once the 100 best sets have
        been met.
        """
        env = context.env
        assert isinstance(env, FixedSizeSets)
        if not isinstance(env.reward, AdditiveEnergy):
            return {}
        mean = env.log_reward(objects).double().exp().mean().log()
        numbers = {"mean_reward_ratio": float((mean - env.reward.log_mean_reward(env.size)).exp())}
        if context.best is not None and len(context.best):
            best = env.reward.best_log_rewards(env.size, 100)
            got: Tensor = context.best.log_reward.double()
            numbers["top100_ratio"] = float(got.exp().sum() / best.exp().sum())
        return numbers

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """How often each item is in a set; the best sets as text."""
        from gflow.envs.sets.draw import items_picture

        return {"items": items_picture(shown, "probability")} | super().pictures(shown)

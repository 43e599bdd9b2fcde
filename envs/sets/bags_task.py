"""`gflow train bags`."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural, Probability
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sets.bags import Bags, Substructures
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

TASKS = {"published": (7, 13, 7), "published_small": (7, 7, 4)}
"""Letters, letters in a bag, and how often is often."""


@dataclass(frozen=True)
class BagsTask(Task[Bags]):
    """Multisets of letters, rewarded where one letter is frequent.

    Attributes:
        task: 13 of 7 letters as published, the smaller published one (7 of 7), or your own sizes.
        letters: Size of the alphabet of your own task.
        size: Letters in a bag of your own task.
        repeats: How often a letter must occur in a bag of your own task, more than size / 2.
        fraction: Share of ordered fillings that are modes.
        modes_seed: Of the choice of modes, which was not seeded as published.
        base: Reward of a bag without a frequent letter.
        substructure: Reward with one.
        mode: Reward of a mode.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy; the uniform one is so over different letters.
    """

    name: ClassVar[str] = "bags"
    summary: ClassVar[str] = "multisets of letters with rare modes; log Z and mean reward exact"
    # On-policy training finds one frequent letter and stays with it.
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=3000, batch_size=64, lr=3e-3, lr_half_life=1000, epsilon=0.8, epsilon_steps=2500
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500)
    objective: ClassVar[str] = "db"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "mean_reward",
        "mean_reward_ratio",
        "modes_in_sample",
        "log_z",
        "log_z_error",
        "elbo",
    )
    exact_limit: ClassVar[int] = 100_000

    task: Literal["published", "published_small", "own"] = "published"
    letters: Count = 4
    size: Count = 7
    repeats: Count = 4
    fraction: Probability = 0.25
    modes_seed: Natural = 0
    base: float = 0.01
    substructure: float = 10.0
    mode: float = 30.0
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "maxent"

    def environment(self) -> Bags:
        """The bags."""
        letters, size, repeats = TASKS.get(self.task, (self.letters, self.size, self.repeats))
        levels = (self.base, self.substructure, self.mode)
        reward = Substructures(letters, size, repeats, self.fraction, self.modes_seed, *levels)
        return Bags(letters, size, reward)

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env, self.width, self.depth, own_backward(self.backward), log_flow=needs.log_flow
        )

    def log_z(self, env: DiscreteEnvironment[Any]) -> float:
        """Log of the number of bags: Z if rewards were 1 on average."""
        assert isinstance(env, Bags)
        return math.log(math.comb(env.size + env.letters - 1, env.size))

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The sample against the exact mean of bags drawn in proportion to their reward.

        `mean_reward_ratio` is 1 for a perfect sampler, up to the noise of the sample.
        """
        env = context.env
        assert isinstance(env, Bags)
        assert isinstance(env.reward, Substructures)
        exact = env.expected_reward()
        modes = objects[env.reward.is_mode(objects)]
        return {
            "exact_mean_reward": exact,
            "mean_reward_ratio": float(env.log_reward(objects).double().exp().mean()) / exact,
            "modes_in_sample": float(len(modes.unique(dim=0))),
            "unique": len(objects.unique(dim=0)) / len(objects),
        }

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """How many of each letter are in a bag; the best bags as text."""
        from gflow.envs.sets.draw import items_picture

        return {"letters": items_picture(shown, "mean number")} | super().pictures(shown)

"""Tasks with a reward of a person's own: `gflow train molecules --reward score.py:function`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour
from gflow.bounds import Natural, NotNegative
from gflow.conditions.draws import ConditionSampler
from gflow.environment.rewarded import with_reward
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy
from gflow.rewards.pools import open_pool
from gflow.state import take
from gflow.tasks.locate import absolute, load_function
from gflow.tasks.scored import Gives, OwnReward, Scorer, own_reward
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, Task
from gflow.tasks.wrapped import WrappedTask
from gflow.terms import Needs
from gflow.training.callbacks import TrainingCallback

WORD = "rewarded"
BEST = 10
"""Objects of the report."""


@dataclass(frozen=True)
class RewardedTask(WrappedTask):
    """With a reward of one's own.

    Attributes:
        reward: The reward, as file.py:function or package.module:function: a function of one
            object as gflow sample writes it (SMILES, a sequence; coordinates as a tuple), or of a
            list of them if its argument is annotated as a list. Objects are sampled in proportion
            to it, to the power of --beta where the environment has that.
        reward_gives: What it gives: the reward R, its log, or an energy, which is -log R.
        reward_floor: Smallest reward; a lower one counts as this. 0 refuses rewards of 0.
        reward_workers: Processes that compute it; 0 for this one.
    """

    word: ClassVar[str] = WORD
    left_out: ClassVar[tuple[str, ...]] = ("reward",)

    reward: str = ""
    reward_gives: Gives = "reward"
    reward_floor: NotNegative = 0.0
    reward_workers: Natural = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "reward", absolute(self.reward))

    @classmethod
    def settle(cls) -> None:
        """All else as inside; it is called like that, too."""
        inside = cls.made_of
        cls.name, cls.summary = inside.name, f"{inside.summary.rstrip('.')}; a reward of one's own"
        cls.objective, cls.refuses_conditions = inside.objective, inside.refuses_conditions
        cls.headline = tuple(dict.fromkeys((*inside.headline, "best_reward")))

    @classmethod
    def default_parts(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """As inside."""
        return cls.made_of.default_parts(given)

    def environment(self) -> Any:
        """The environment of the task inside, with the reward.

        Raises:
            ConfigError: There is no such function, or it takes something else.
            IncompatibleError: The reward of this environment cannot be replaced.
        """
        inside = self.inside
        beta = float(getattr(self, "beta", 1.0))
        scorer = Scorer(
            load_function(self.reward), _short(self.reward), self.reward_gives,
            self.reward_floor, beta,
        )  # fmt: skip
        plain = inside.environment()
        reason = refusal(inside, plain)
        if reason:
            inside.close(plain)
            raise IncompatibleError(
                f"gflow train {inside.name} takes no --reward: {reason} Leave it out, or write an "
                f"environment of your own (docs/topics/environments.md)."
            )
        pool = open_pool("local", self.reward_workers) if self.reward_workers else None
        written = _Written(inside, plain)
        reward = inside.scaled(plain, OwnReward(plain, written, scorer, pool))
        return with_reward(plain, reward)

    def policy(self, env: Any, needs: Needs) -> Policy:
        """As inside."""
        return self.inside.policy(env, needs)

    def condition(self, env: Any) -> ConditionSampler | None:
        """As inside."""
        return self.inside.condition(env)

    def behaviour(self, env: Any, chosen: Behaviour) -> Behaviour:
        """As inside."""
        return self.inside.behaviour(env, chosen)

    def has_exact_law(self, env: Any) -> bool:
        """As inside."""
        return self.inside.has_exact_law(env)

    def log_z(self, env: Any) -> float:
        """Nobody's guess."""
        return 0.0

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """How many objects of the sample differ, means of what is known of them, and the best."""
        env, found = context.env, {}
        if env.has_keys:
            keys = env.object_key(objects)
            found["unique"] = len(keys.unique()) / max(len(keys), 1)
        for name, column in self.object_facts(env, objects).items():
            if column and all(isinstance(value, int | float) for value in column):
                found[f"mean_{name}"] = float(sum(column) / len(column))
        if context.best is not None and len(context.best) and not env.condition_dim:
            best = self.rewards(env, take(context.best.states, torch.tensor([0])))
            found["best_reward"] = float(best)
        return found

    def rewards(self, env: Any, objects: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) what the function says, as R, before the temperature."""
        own = own_reward(env)
        return own.log_rewards.value(own(objects))

    def watchers(
        self, env: Any, rewards: Callable[[Any], Tensor] | None = None
    ) -> list[TrainingCallback]:
        """As inside, by the reward of one's own."""
        return self.inside.watchers(own_reward(env).plain, lambda x: self.rewards(env, x))

    def describe(self, env: Any, objects: Any) -> list[str]:
        """As inside."""
        return self.inside.describe(own_reward(env).plain, objects)

    def object_written(self, env: Any, objects: Any) -> list[Any]:
        """As inside."""
        return self.inside.object_written(own_reward(env).plain, objects)

    def object_smiles(self, env: Any, objects: Any) -> list[str] | None:
        """As inside."""
        return self.inside.object_smiles(own_reward(env).plain, objects)

    def object_facts(self, env: Any, objects: Any) -> dict[str, list[Any]]:
        """As inside."""
        return self.inside.object_facts(own_reward(env).plain, objects)

    def object_drawings(self, env: Any, objects: Any) -> list[str]:
        """As inside."""
        return self.inside.object_drawings(own_reward(env).plain, objects)

    def object_similarity(self, env: Any, objects: Any) -> Tensor | None:
        """As inside."""
        return self.inside.object_similarity(own_reward(env).plain, objects)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """None: those of the task inside are about its reward."""
        return {}

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """As inside, of objects of its environment."""
        return self.inside.pictures(
            replace(shown, task=self.inside, env=own_reward(shown.env).plain)
        )

    def captions(self) -> dict[str, str]:
        """None, as there are no artifacts."""
        return {}

    def report(self, context: Context) -> str:
        """The best objects of the run."""
        best, env = context.best, context.env
        if best is None or not len(best) or env.condition_dim:
            return ""
        states = take(best.states, torch.arange(min(BEST, len(best))))
        rows = zip(self.rewards(env, states).tolist(), self.describe(env, states), strict=True)
        return "\n".join(["best objects", *(f"  {value:.4g}  {text}" for value, text in rows)])

    def close(self, env: Any) -> None:
        """End the workers of both."""
        own = own_reward(env)
        pool: Any = own.pool
        if pool is not None:
            pool.close()
        self.inside.close(own.plain)


class _Written:
    """Turns states of a task into what functions of people take, hashable."""

    def __init__(self, task: Task[Any], plain: Any) -> None:
        self.task, self.plain = task, plain

    def __call__(self, states: Any) -> list[Any]:
        return self.task.object_written(self.plain, states)


def refusal(task: Task[Any], plain: Any) -> str:
    """Why the reward of a task cannot be replaced; empty if it can."""
    if plain.num_players > 1:
        return "in a game the reward is who wins."
    if type(task).learners is not Task.learners:
        return "its reward is learned from data while the sampler is trained."
    if task.has_marginals:
        return "its networks are marginals of the problem that it names."
    if plain.condition_dim:
        return "its reward reads what the sampler is told."
    if getattr(plain, "reparametrised", False):
        return "its target is a density with scores: --target names others."
    if plain.reward.has_known_log_z or hasattr(plain, "prompts"):
        return "its reward comes with the model or the task that it is about."
    return ""


def _short(reference: str) -> str:
    where, _, name = reference.rpartition(":")
    return f"{Path(where).name}:{name}" if where.endswith(".py") else reference

"""What a searcher does: sample with the newest weights that it can see, and pack what it found."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.sources import Tempered
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.language.prefixes import PrefixReward
from gflow.memory.columns import narrowest
from gflow.policies.base import Policy
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

NUMBERS = ("epsilon", "trajectory_epsilon", "temperature", "stop_bias", "noise")
"""What of an exploration is told to other processes."""

Found = dict[str, Tensor]
"""What is remembered of B trajectories, by column, on the CPU."""


def look(
    sampler: Sampler,
    policy: Policy,
    count: int,
    condition: ConditionSampler | None,
    exploration: Exploration,
    heat: tuple[float, float],
    generator: torch.Generator | None,
    device: torch.device | str,
) -> Trajectories[Any]:
    """`count` new trajectories, those of one condition at one temperature.

    Args:
        sampler: Of the environment.
        policy: The policy.
        count: B.
        condition: Draws conditions, or None, and then each trajectory has its own temperature.
        exploration: How to explore on top.
        heat: Lowest and highest temperature.
        generator: Source of all randomness.
        device: Where to sample.
    """
    told = None if condition is None else condition(count, generator)
    if heat != (1.0, 1.0):
        group = torch.arange(count, device=device)
        if told is not None:
            group = torch.unique_consecutive(told, dim=0, return_inverse=True)[1].to(device)
        on = generator.device if generator is not None else torch.device("cpu")
        unit = torch.rand(count, generator=generator, device=on).to(device)
        policy = Tempered(policy, heat[0] + (heat[1] - heat[0]) * unit[group])
    return sampler.forward(
        policy,
        count,
        exploration=exploration,
        condition=told,
        generator=generator,
        device=device,
    )


def packed(env: Environment[Any], batch: Trajectories[Any], made: int) -> Found:
    """What to remember of trajectories that weights of batch `made` gave."""
    reward, count = env.reward, len(batch)
    columns = {
        "actions": batch.actions.to(narrowest(getattr(env, "num_actions", 1))),
        "length": batch.length,
        "made": torch.full((count,), made),
        "log_reward": batch.log_reward,
        "version": torch.full((count,), reward.version),
        "condition": batch.condition,
        "scores": batch.scores,
    }
    if isinstance(reward, PrefixReward):
        columns["prefixes"] = reward.prefixes_of(batch.final_states)
        columns["edition"] = torch.full((count,), reward.edition)
    return {name: value.detach().cpu() for name, value in columns.items() if value is not None}


def news(made: int, policy: Policy, exploration: Exploration) -> dict[str, Any]:
    """What searchers are told of new weights.

    Args:
        made: The batch that the weights are of.
        policy: Whose they are: of a language model, adapters alone.
        exploration: How to explore with them.
    """
    told = {name: getattr(exploration, name) for name in NUMBERS}
    return {"made": made, "policy": policy.state_dict(), "exploration": told}


def publish(path: Path, told: dict[str, Any]) -> None:
    """Show searchers of this machine what `news` says, by a file that is replaced as a whole."""
    partial = path.with_suffix(".partial")
    torch.save(told, partial)
    partial.replace(path)


@dataclass
class Search:
    """A searcher's work, sent to its process once and called there again and again.

    Attributes:
        env: The environment.
        policy: The policy as it was when the process started.
        condition: Draws conditions, or None.
        exploration: How to explore, until told otherwise.
        heat: Lowest and highest temperature.
        count: Trajectories a call.
        seed: Of its randomness.
        made: The batch that the weights are of.
        weights: Where newer weights appear; None where they are told by `take`.
        device: Where to sample.
        dtype: Default type of numbers.
    """

    env: Environment[Any]
    policy: Policy
    condition: ConditionSampler | None
    exploration: Exploration
    heat: tuple[float, float]
    count: int
    seed: int
    made: int
    weights: Path | None
    device: str
    dtype: torch.dtype
    _seen: tuple[int, int] = (0, 0)
    _state: dict[str, Any] = field(default_factory=dict)  # made where it is called

    def __call__(self, requests: list[int]) -> list[Found]:
        """One batch for each request."""
        if not self._state:
            torch.set_default_dtype(self.dtype)
            torch.set_num_threads(1)
            self._state = {
                "sampler": Sampler(self.env),
                "generator": torch.Generator(self.device).manual_seed(self.seed),
            }
        return [self._batch() for _ in requests]

    def _batch(self) -> Found:
        self._renew()
        batch = look(
            self._state["sampler"],
            self.policy,
            self.count,
            self.condition,
            self.exploration,
            self.heat,
            self._state["generator"],
            self.device,
        )
        return packed(self.env, batch, self.made)

    def _renew(self) -> None:
        """Take newer weights if there are some."""
        if self.weights is None:
            return
        try:
            stat = self.weights.stat()
        except FileNotFoundError:
            return
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen == self._seen:
            return
        self._seen = seen
        self.take(torch.load(self.weights, map_location=self.device, weights_only=True))

    def take(self, told: dict[str, Any]) -> None:
        """Go on with what `news` said."""
        self.made = told["made"]
        self.policy.load_state_dict(told["policy"])
        self.exploration = replace(self.exploration, **told["exploration"])

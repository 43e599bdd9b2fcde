"""Exploration: how the sampler departs from the policy that is trained.

It changes which actions are drawn and nothing else. What an objective reads is always the
unperturbed policy, evaluated afterwards on the states visited.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import LogitShift, Probability, Temperature, Width, check_fields
from gflow.environment.categorical import Categorical
from gflow.errors import ConfigError, IncompatibleError


@dataclass(frozen=True)
class Exploration:
    """How to explore; the defaults follow the policy exactly.

    Attributes:
        epsilon: At each step, with this probability, draw uniformly among legal actions.
        trajectory_epsilon: With this probability a whole trajectory is drawn uniformly.
        temperature: Logits are divided by it; above 1 flattens.
        stop_bias: Subtracted from the logit of the stop action.
        other: Another policy for the same environment to mix in, or None.
        other_weight: Probability, per step, of following `other`.
        noise: Standard deviation added to that of every Gaussian step, where moves have densities.
    """

    epsilon: Probability = 0.0
    trajectory_epsilon: Probability = 0.0
    temperature: Temperature = 1.0
    stop_bias: LogitShift = 0.0
    other: Any = None
    other_weight: Probability = 0.0
    noise: Width = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.other is None) != (self.other_weight == 0):
            raise ConfigError("Exploration: give `other` and a positive `other_weight` together.")

    def explored(
        self,
        law: Categorical,
        other: Categorical | None,
        uniform_rows: Tensor | None,
        stop_action: int | None,
        generator: torch.Generator | None,
    ) -> Categorical:
        """The laws that actions are drawn from instead, coins being thrown where there are some.

        Args:
            law: L laws of the policy.
            other: Those of `other`, or None.
            uniform_rows: (L,) bool rows whose whole trajectory is uniform, or None.
            stop_action: Index of the stop action, or None.
            generator: Source of randomness.
        """
        logits = law.logits
        if self.temperature != 1:
            logits = logits / self.temperature
        if self.stop_bias and stop_action is not None:
            logits = logits.clone()
            logits[:, stop_action] -= self.stop_bias
        if other is not None:
            swap = self._coin(self.other_weight, logits, generator)
            logits = torch.where(swap[:, None], other.logits, logits)
        if self.epsilon:
            logits = logits.masked_fill(self._coin(self.epsilon, logits, generator)[:, None], 0.0)
        if uniform_rows is not None:
            logits = logits.masked_fill(uniform_rows[:, None], 0.0)
        return Categorical(logits, law.mask)

    @staticmethod
    def _coin(probability: float, like: Tensor, generator: torch.Generator | None) -> Tensor:
        u = torch.rand(like.shape[0], device=like.device, generator=generator)
        return u < probability


ON_POLICY = Exploration()


def check_exploration(env: Any, exploration: Exploration) -> None:
    """Refuse an exploration that an environment does not know.

    Raises:
        IncompatibleError: With what it knows.
    """
    if env.numbered:
        if exploration.noise:
            raise IncompatibleError(
                f"{env.name} cannot explore by noise: its actions are numbered. Use epsilon."
            )
        return
    wrong = [
        name
        for name, plain in (("temperature", 1.0), ("stop_bias", 0.0), ("other_weight", 0.0))
        if getattr(exploration, name) != plain
    ]
    if exploration.noise and not env.takes_noise:
        wrong.append("noise")
    if exploration.epsilon or exploration.trajectory_epsilon:
        state = env.initial(1)
        if env.exploration_law(state) is None:
            wrong.append("epsilon")
    if wrong:
        raise IncompatibleError(
            f"{env.name} cannot explore by {', '.join(wrong)}: its moves have densities. It takes "
            f"{'noise' if env.takes_noise else 'epsilon or trajectory_epsilon'}."
        )

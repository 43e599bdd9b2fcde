"""A policy with both of its laws flattened or sharpened, moves back included."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from gflow.bounds import Temperature
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.policies.base import Policy, PolicyOutput
from gflow.trajectories import Trajectories


class TemperedPolicy(Policy):
    """Another policy with its logits, forward and backward, divided by a temperature.

    Whoever samples with it and evaluates with it has the probabilities of what was done. A fixed
    backward policy stays as it is.

    Args:
        policy: The other; shared, not copied.
        temperature: Above 1 flattens.
    """

    @checked
    def __init__(self, policy: Policy, temperature: Temperature) -> None:
        super().__init__()
        self.policy, self.temperature = policy, temperature
        self.backward, self.has_log_flow = policy.backward, policy.has_log_flow

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Outputs with both logits divided."""
        return self._tempered(env, self.policy(env, states, condition))

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) divided."""
        return self.policy.forward_logits(env, states, condition) / self.temperature

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) divided, or None."""
        found = self.policy.backward_logits(env, states, condition)
        return None if found is None else found / self.temperature

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """The other policy's in one pass, divided."""
        return self._tempered(env, self.policy.of_trajectories(env, trajectories, condition))

    def _tempered(self, env: Environment[Any], output: PolicyOutput) -> PolicyOutput:
        require_numbered(env, "TemperedPolicy", "Densities have no logits to divide.")
        undo = output.backward_logits
        return replace(
            output,
            forward_logits=output.forward_logits / self.temperature,
            backward_logits=None if undo is None else undo / self.temperature,
        )

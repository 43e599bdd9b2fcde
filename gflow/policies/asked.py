"""A conditional policy for one condition."""

from typing import Any

from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput
from gflow.state import batch_size


class Asked(Policy):
    """A conditional policy that is always asked for one condition: a policy without conditions.

    Args:
        policy: The conditional one; it shares its parameters.
        condition: (1, C).
    """

    condition: Tensor

    def __init__(self, policy: Policy, condition: Tensor) -> None:
        super().__init__()
        self.policy, self.backward = policy, policy.backward
        self.has_log_flow = policy.has_log_flow
        home = next(policy.parameters())
        self.register_buffer("condition", condition.to(home), persistent=False)

    def _all(self, states: Any) -> Tensor:
        return self.condition.expand(batch_size(states), -1)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads for the one condition."""
        output: PolicyOutput = self.policy(env, states, self._all(states))
        return output

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head for the one condition."""
        return self.policy.forward_logits(env, states, self._all(states))

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head for the one condition, or None."""
        return self.policy.backward_logits(env, states, self._all(states))

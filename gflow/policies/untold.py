"""A policy without conditions among those that have them."""

from typing import Any

from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput
from gflow.trajectories import Trajectories


class Untold(Policy):
    """A policy that is never told the condition, where others are.

    Args:
        policy: One that reads none; shared, not copied.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy, self.backward = policy, policy.backward
        self.has_log_flow, self.reads_segments = policy.has_log_flow, policy.reads_segments

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads."""
        output: PolicyOutput = self.policy(env, states)
        return output

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head."""
        return self.policy.forward_logits(env, states)

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head, or None."""
        return self.policy.backward_logits(env, states)

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for all stored states, in the other's one pass."""
        return self.policy.of_trajectories(env, trajectories)

"""A slow copy of the policy, for targets that do not move with it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Share
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.learner import Learner, average_into
from gflow.policies.base import Policy
from gflow.policies.chunked import Chunked
from gflow.trajectories import Trajectories


class TargetNetwork(Learner):
    """An exponential average of the policy's weights over gradient steps.

    It begins as a copy of the policy that it first meets.

    Args:
        rate: Share of the policy's weights that enters per batch.
    """

    @checked
    def __init__(self, rate: Share = 0.05) -> None:
        self.rate = rate
        self.module = nn.Module()  # until there is a policy to copy
        self.policy: Policy | None = None
        self._saved: dict[str, Any] | None = None

    def of(self, policy: Policy) -> Policy:
        """The average; a copy of `policy`, or of what it asks by chunks, if there is none yet."""
        policy = policy.policy if isinstance(policy, Chunked) else policy
        if self.policy is None:
            made = copy.deepcopy(policy).requires_grad_(False)
            if self._saved is not None:
                made.load_state_dict(self._saved)
            self.module = self.policy = made
        return self.policy

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Move the average towards the policy."""
        average_into(self.of(policy), policy, self.rate)
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, or none yet."""
        if self.policy is None:
            return {"module": self._saved}
        return {"module": self.policy.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._saved = copy.deepcopy(state["module"])  # who gave it goes on learning
        if self.policy is not None and self._saved is not None:
            self.policy.load_state_dict(self._saved)

"""What a policy held while it sampled, so that a loss needs no second pass of the network."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput
from gflow.trajectories import Trajectories


class Recording(ABC):
    """A `Session` of one rollout from the source that keeps what its layers held.

    What it keeps is good as long as no parameter changes (`holds_for`); after that, policies are
    asked anew. So nothing is ever read of a policy as it was: this is a shorter way to the same
    outputs and the same gradients, not a memory of behaviour.

    Args:
        policy: Whose layers they are.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._versions = [(p, p._version) for p in policy.parameters()]

    def holds_for(self, policy: Policy) -> bool:
        """Whether this is the policy, with the parameters of the rollout."""
        if policy is not self.policy:
            return False
        now = list(policy.parameters())
        return len(now) == len(self._versions) and all(
            p is q and p._version == version
            for p, (q, version) in zip(now, self._versions, strict=True)
        )

    @abstractmethod
    def __call__(self, states: Any, rows: Tensor) -> Tensor:
        """(L, A) forward logits of L live states, step after step; see `Session`."""

    @abstractmethod
    def output(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """What `Policy.of_trajectories` says of what was sampled, with its gradients."""

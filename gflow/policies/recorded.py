"""What a policy held while it sampled, so that a loss needs no second pass of the network."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput
from gflow.trajectories import Trajectories


class Recording(ABC):
    """A `Session` of one rollout from the source that keeps what its layers held.

    What it keeps is good as long as no parameter changes (`holds_for`); after that, policies are
    asked anew. So nothing is ever read of a policy as it was: this is a shorter way to the same
    outputs and the same gradients, not a memory of behaviour.

    PyTorch counts changes of a tensor, but not those of fused optimisers. So on the CPU the values
    themselves are compared; on a GPU, where that would wait for it, `Trainer` counts its steps, and
    a loop of one's own must call `torch.autograd.graph.increment_version` after a fused one.

    Args:
        policy: Whose layers they are.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._seen = [(p, p._version, _values(p)) for p in policy.parameters()]

    def holds_for(self, policy: Policy) -> bool:
        """Whether this is the policy, with the parameters of the rollout."""
        if policy is not self.policy:
            return False
        now = list(policy.parameters())
        return len(now) == len(self._seen) and all(
            p is q and p._version == version and (values is None or torch.equal(p, values))
            for p, (q, version, values) in zip(now, self._seen, strict=True)
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


def _values(parameter: Tensor) -> Tensor | None:
    """A copy of a parameter on the CPU; None elsewhere."""
    return parameter.detach().clone() if parameter.device.type == "cpu" else None

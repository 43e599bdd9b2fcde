"""Marginals of a known reward: what is compared at finished objects."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.objectives.marginals.consistency import MarginalConsistency
from gflow.policies.base import Policy
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories


class MarginalEnergy(MarginalConsistency):
    """What losses of marginals of a known reward have in common: objects are compared with it."""

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """Flow terms in which finished objects have the flow that is learned.

        Raises:
            IncompatibleError: If the policy is no `MarginalPolicy`, or a batch has no objects.
        """
        if trajectories.complete is not None and not bool(trajectories.complete.any()):
            raise IncompatibleError(
                f"{type(self).__name__} compares finished objects with their reward, and the batch "
                f"has none. Use the behaviour MarginalChains(ends=True)."
            )
        return super().evaluate(env, policy, trajectories)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log R less the log-probability of the objects, meaned over the batch."""
        learned, ends = self.ends(terms)
        gap = terms.log_reward.to(learned) - learned + self.scale(terms)
        return (gap.where(ends, 0.0).sum() / ends.sum()).expand(len(ends))

    @staticmethod
    def ends(terms: FlowTerms) -> tuple[Tensor, Tensor]:
        """(B,) log p of the last states, (B,) which of them are objects."""
        assert terms.log_flow is not None
        learned = terms.log_flow.gather(1, terms.length[:, None]).squeeze(1)
        ends = terms.complete
        return learned, torch.ones_like(learned, dtype=torch.bool) if ends is None else ends

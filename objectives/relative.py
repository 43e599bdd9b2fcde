"""Relative trajectory balance: posteriors under a sampler that is there already."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Natural
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.errors import IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.objective import LogZ, Objective, Regression, Solution, squared
from gflow.objectives.tb import TrajectoryBalance
from gflow.objectives.vargrad import LogPartitionVariance
from gflow.policies.base import Policy
from gflow.policies.even import EvenPolicy
from gflow.policies.untold import Untold
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.exact.graph import ExactFlows, StateGraph

FORWARD = Needs(log_pb=False)
"""What is read of the prior."""


class RelativeTrajectoryBalance(Objective):
    r"""Trajectory balance with a fixed forward policy, the prior, in the place of the backward one.

    .. math:: \delta(\tau) = \log Z + \sum_t \log P_F(s_{t+1} \mid s_t) - \log R(x)
              - \sum_t \log P_F^{prior}(s_{t+1} \mid s_t)

    Where it vanishes objects are sampled in proportion to p_prior(x) R(x): the reward is a
    likelihood, and the policy the posterior under the sampler that was there. No moves back are
    read, and how often the states count an object (symmetries) cancels. log Z is that of the
    posterior, the log of the prior's mean reward.

    Args:
        prior: The sampler; it is frozen and not copied.
        partition: "learned" trains a log Z; "mean" takes the mean of the log-weights of the batch,
            among trajectories of equal condition (VarGrad).
        log_z: Initial log Z, where it is learned.
        condition_dim: Width of the condition that log Z depends on, 0 for none.
        condition_encoder: Module for the condition, with `out_features`.
        regression: How residuals are punished.

    Reference:
        Venkatraman et al., Amortizing intractable inference in diffusion models for vision,
        language, and control, 2024, https://arxiv.org/abs/2405.20971
    """

    name = "rtb"
    needs = Needs(log_pb=False, scores=True)
    solution = Solution.POSTERIOR

    @checked
    def __init__(
        self,
        prior: Policy,
        partition: Literal["learned", "mean"] = "learned",
        log_z: float = 0.0,
        condition_dim: Natural = 0,
        condition_encoder: nn.Module | None = None,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.base: Objective = (
            TrajectoryBalance(log_z, condition_dim, condition_encoder)
            if partition == "learned"
            else LogPartitionVariance()
        )
        self.compares = partition == "mean"  # type: ignore[misc]
        self._prior = (prior,)  # no part of this module: nothing of it trains, or is saved with it

    @classmethod
    @checked
    def build(
        cls, env: Environment[Any], prior: str | Policy = "", **settings: Any
    ) -> "RelativeTrajectoryBalance":
        """With the sampler of a run as prior.

        Args:
            env: The environment.
            prior: Folder of a run over the same states, or a policy; nothing for even moves.
            settings: Further arguments of the class.

        Raises:
            IncompatibleError: If the run is over other states or moves.
        """
        reason = cls.refusal(env)
        if reason is not None:
            raise IncompatibleError(
                f"RelativeTrajectoryBalance cannot train on {env.name}: {reason}"
            )
        if isinstance(prior, Policy):
            return cls(prior, **settings)
        if not prior:
            return cls(EvenPolicy.of(env), **settings)
        from gflow.outcomes.pretrained import same_moves
        from gflow.runs.trained import load

        trained = load(Path(prior))
        same_moves(env, trained.env)
        if not trained.env.condition_dim:
            return cls(Untold(trained.policy), **settings)
        if trained.env.condition_dim != env.condition_dim:
            raise IncompatibleError(
                f"{env.name}: its conditions have {env.condition_dim} numbers, and the prior in "
                f"{prior} reads {trained.env.condition_dim}. Use the conditions that it was "
                f"trained with, or a prior that is told nothing."
            )
        return cls(trained.policy, **settings)

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Where chance moves, too: nobody can make its moves those of a posterior."""
        if env.has_chance:
            return (
                "a posterior changes the probabilities of all moves, and some here are chance's. "
                "Use edb, or tb with a reward that holds the prior."
            )
        return super().refusal(env)

    @property
    def prior(self) -> Policy:
        """The sampler whose posteriors are learned."""
        return self._prior[0]

    @property
    def log_z(self) -> LogZ | None:
        """The learned log Z, if it is learned."""
        found: LogZ | None = getattr(self.base, "log_z", None)
        return found

    def check(
        self, env: Environment[Any], policy: Policy | None = None, conditional: bool = False
    ) -> None:
        """As of every objective; a log Z that the reward knows is not that of the posterior."""
        super().check(env, policy, conditional)
        if conditional and self.log_z is not None and self.log_z.network is None:
            raise IncompatibleError(
                "RelativeTrajectoryBalance was built with one log Z for all conditions, and each "
                "has its own. Build it with condition_dim=env.condition_dim, or partition='mean' "
                "(--partition mean)."
            )

    @torch.no_grad()
    def log_prior(self, env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor:
        """(B, T) log-probabilities of the transitions under the prior, stops included."""
        device = trajectories.length.device
        return evaluate(env, self.prior.to(device), trajectories, FORWARD).log_pf

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """Terms in which the prior stands where log P_B does, and R is that of the objects."""
        terms = super().evaluate(env, policy, trajectories)
        likelihood = terms.log_reward
        if terms.log_symmetry is not None:
            likelihood = likelihood + terms.log_symmetry
        return replace(
            terms,
            log_pb=self.log_prior(env, trajectories).to(terms.log_pf.dtype),
            log_reward=likelihood,
            known_log_z=None,
            has_log_pb=True,
        )

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B,) log Z less the log-weight."""
        return self.base.residual(terms)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B,) equal weights."""
        return self.base.weight(terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log of the mean reward under the prior, as far as it is learned."""
        return self.base.log_z_estimate(terms)

    def exact_flows(self, graph: "StateGraph[Any]", log_pb: Tensor | None = None) -> "ExactFlows":
        """The posterior: each move counts for the mean reward that the prior has behind it.

        Args:
            graph: All states of an environment.
            log_pb: Not read: of the flows of a posterior, the prior says what leads back.
        """
        from gflow.exact.posterior import posterior_flows

        require_numbered(graph.env, "exact_flows", "A continuum of states has no list.")
        return posterior_flows(graph, *graph.log_pf(self.prior))

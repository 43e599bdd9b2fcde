"""What every objective is: a residual that vanishes at the solution, and how it becomes a loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.deferred import require
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.shown import in_a_line
from gflow.source import Source
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.exact.graph import ExactFlows, StateGraph

Regression = Callable[[Tensor], Tensor]

NO_MARGINALS = (
    "it is for marginals of places that are filled in any order, and this policy has none. Train a "
    "MarginalPolicy (`gflow train marginals`), or use another one."
)
"""Why a policy that is no `MarginalPolicy` will not do."""


def squared(residual: Tensor) -> Tensor:
    """Residual squared."""
    return residual.square()


class Solution(Enum):
    """What an objective has as its solution, by which `check_objective` judges it.

    Attributes:
        PROPORTIONAL: Objects are sampled in proportion to the reward.
        EXPECTED: Flows balance on average over moves of chance (`gflow.exact.expected_flows`); on a
            tree without chance, objects are sampled in proportion to the reward.
        ADVERSARIAL: Two players have opposite rewards; one flow is the soft value of their game
            with even moves as the prior of both.
        EQUILIBRIUM: Each player has a flow, of expected rewards under the policies of the others.
        POSTERIOR: Objects are sampled in proportion to the reward times the probability of another
            sampler (`gflow.exact.posterior_flows`).
        ORDERED: Objects are the likelier the better, and the best take over. The objective learns
            a reward of its own (`implied_log_reward`), of which the order alone is given.
    """

    PROPORTIONAL = "proportional"
    EXPECTED = "expected"
    ADVERSARIAL = "adversarial"
    EQUILIBRIUM = "equilibrium"
    POSTERIOR = "posterior"
    ORDERED = "ordered"


class Objective(nn.Module, ABC):
    """A short formula over flow terms.

    Subclasses give `residual`, one number per transition, sub-trajectory, state or trajectory that
    is zero exactly at the solution, and `weight`, how much each counts. How a residual is punished
    (`regression`) is an independent choice. Learned quantities that belong to the formula (log Z)
    are parameters of the objective and train at their own rate.

    Args:
        regression: Elementwise, zero at zero and positive elsewhere.

    Attributes:
        name: Short name, as on the command line.
        needs: What the formula reads.
        learns_from: Where its trajectories may come from: any sampler with full support, unless it
            reads the distribution that they were drawn from.
        compares: Trajectories of equal condition in a batch are compared, so there must be several.
        self_contained: Whether residuals vanish at exact flows whatever the `learners` of the
            objective have learned; False if only as far as that fits.
        epsilon: Probability of a uniform action that trainers explore with if nothing is said.
        solution: What the policy samples where the loss is smallest.
        reads_policy: Whether it reads what the policy says of the states of its batches
            (`evaluate`), so that sampling may keep it for the loss.
        for_parts: What to use instead for trajectories that were cut, or begin elsewhere.
    """

    name: ClassVar[str]
    needs: Needs = Needs()
    learns_from: Source = Source.ANY
    compares: ClassVar[bool] = False
    self_contained: bool = True
    epsilon: ClassVar[float] = 0.0
    solution: ClassVar[Solution] = Solution.PROPORTIONAL
    reads_policy: ClassVar[bool] = True
    for_parts: ClassVar[str] = "DetailedBalance, SubTrajectoryBalance or FlowMatching"

    def __init__(self, regression: Regression = squared) -> None:
        super().__init__()
        self.regression = regression

    @classmethod
    def build(cls, env: Environment[Any], **settings: Any) -> "Objective":
        """The objective for an environment; overridden by those that hold networks of states."""
        return cls(**settings)

    @abstractmethod
    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, ...) residuals; zero where there is nothing to balance."""

    @abstractmethod
    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, ...) weights of the residuals, without gradient; zero where there is nothing."""

    @abstractmethod
    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) what the objective believes log Z to be, for the condition of each trajectory.

        Meaningless for those that begin elsewhere than at the source.
        """

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Why this objective cannot work on `env` and what would, or None if it can."""
        if env.num_players > 1 and cls.solution not in (Solution.ADVERSARIAL, Solution.EQUILIBRIUM):
            return (
                f"it has one reward for all moves, and here {env.num_players} players have rewards "
                f"of their own. Use aedb, or atb, adb and asubtb for two players without chance."
            )
        if cls.needs.log_pb and not env.has_backward:
            return (
                "it reads log P_B, and no moves back are defined here. Use an objective of moves "
                "forward alone (atb, adb, asubtb, aedb for games, edb with chance), or define "
                "`backward_mask` and `_backstep`."
            )
        if cls.needs.children != "none" and not env.numbered:
            return (
                "it sums over all children of a state, and here they form a continuum. Use an "
                "objective that balances transitions or trajectories (tb, vargrad, db, subtb)."
            )
        if cls.needs.edge_flow and env.has_movers:
            return (
                "it reads the flows through states from the policy, and some moves here are not "
                "the agent's. Use an objective that balances transitions or trajectories: edb, "
                "which has a solution whatever chance does, or aedb for games; tb, vargrad, db, "
                "subtb and sgfn where chance can be made up for."
            )
        if cls.needs.edge_flow and not env.numbered:
            return (
                "it sums over all parents and children of a state, and here they form a continuum. "
                "Use an objective that balances transitions or trajectories (tb, vargrad, db, "
                "subtb)."
            )
        if cls.needs.energy and not env.has_partial:
            return (
                "it looks forward to the energies of unfinished objects, and the reward "
                f"{env.reward!r} is defined on finished ones only. Use FunctionReward(function, "
                "partial=True) if yours makes sense for them, define `LogReward.partial`, or use "
                "an objective that learns the energies (led)."
            )
        return None

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The flow terms that this objective reads, with gradients."""
        return evaluate(env, policy, trajectories, self.needs)

    def extra_repr(self) -> str:
        """Its settings."""
        return in_a_line(self).partition("(")[2][:-1]

    def begin(self, batch: Trajectories[Any]) -> None:
        """See the first training batch before any step is taken; nothing by default."""

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """() what else there is to log about a batch, by name; nothing is read by the host here."""
        return {}

    def learners(self, env: Environment[Any]) -> list[Learner]:
        """What the objective learns beside the policy with optimisers of its own; made once."""
        return []

    @property
    def networks(self) -> list[nn.Module]:
        """Networks of states that the objective holds; they train at the policy's rate.

        With all their parameters at zero they must say nothing: exact solutions are written so.
        """
        return []

    def extra(self, terms: FlowTerms) -> Tensor | None:
        """(B,) share of each trajectory in what the loss has beside residuals; None for nothing.

        Order losses and regularisers; it need not vanish at the solution.
        """
        return None

    def exact_flows(self, graph: "StateGraph[Any]", log_pb: Tensor | None = None) -> "ExactFlows":
        """The flows at which all residuals vanish, for a backward policy.

        Args:
            graph: All states of an environment.
            log_pb: (E,) log P_B of every transition; uniform over parents by default.

        Raises:
            IncompatibleError: If there are none on this environment.
        """
        return graph.exact_flows(log_pb)

    def implied_log_reward(self, terms: FlowTerms) -> Tensor | None:
        """(B,) log-reward that each trajectory implies where it is learned; None where it is given.

        At the exact flows of a reward it is log R of the object up to one constant for all.
        """
        return None

    def per_trajectory(self, terms: FlowTerms) -> Tensor:
        """(B,) share of each trajectory in the loss; the loss is their sum."""
        self._require_whole(terms)
        share: Tensor = self.weight(terms) * self.regression(self.residual(terms))
        share = share.flatten(1).sum(1) if share.dim() > 1 else share
        extra = self.extra(terms)
        return share if extra is None else share + extra

    def forward(self, terms: FlowTerms) -> Tensor:
        """() the loss of a batch."""
        return self.per_trajectory(terms).sum()

    def check(
        self, env: Environment[Any], policy: Policy | None = None, conditional: bool = False
    ) -> None:
        """Refuse an environment or a policy that the objective cannot work with.

        Args:
            env: The environment.
            policy: The policy to train, if it is there already.
            conditional: Whether trajectories will carry conditions.

        Raises:
            IncompatibleError: With the reason and what would work.
        """
        reason = self.refusal(env)
        if reason is not None:
            raise IncompatibleError(f"{type(self).__name__} cannot train on {env.name}: {reason}")
        if policy is not None and self.needs.log_flow and not policy.has_log_flow:
            raise IncompatibleError(
                f"{type(self).__name__} reads log F(s), and this {type(policy).__name__} has no "
                f"such head. Build the policy with log_flow=True."
            )
        if policy is not None and self.needs.marginals and not policy.has_marginals:
            raise IncompatibleError(
                f"{type(self).__name__} cannot train this {type(policy).__name__}: {NO_MARGINALS}"
            )
        log_z = getattr(self, "log_z", None)
        known = env.reward.has_known_log_z
        if conditional and not known and isinstance(log_z, LogZ) and log_z.network is None:
            raise IncompatibleError(
                f"{type(self).__name__} was built with one log Z for all conditions, and each has "
                f"its own. Build it with condition_dim=env.condition_dim, or use "
                f"LogPartitionVariance, DetailedBalance or SubTrajectoryBalance."
            )

    def _require_whole(self, terms: FlowTerms) -> None:
        if self.needs.whole and terms.complete is not None:
            require(terms.complete, self._refuse_cut, "whole trajectories")
        if self.needs.from_source and terms.from_source is not None:
            require(terms.from_source, self._refuse_begun, "trajectories from the source")

    def _refuse_cut(self) -> NoReturn:
        raise IncompatibleError(
            f"{type(self).__name__} needs whole trajectories and was given trajectories cut "
            f"before their end. Use {self.for_parts} for those."
        )

    def _refuse_begun(self) -> NoReturn:
        raise IncompatibleError(
            f"{type(self).__name__} needs trajectories that begin at the source, where its log Z "
            f"or its sums begin, and was given some that begin elsewhere. Use {self.for_parts} for "
            f"those."
        )


class LogZ(nn.Module):
    """log Z: one number, or a small network of the condition plus that number.

    Args:
        initial: Starting value.
        condition_dim: Width of the condition, 0 for none.
        encoder: Module for the condition with `out_features`, or None to read it as it is.
        width: Hidden units of the network.
    """

    @checked
    def __init__(
        self,
        initial: float = 0.0,
        condition_dim: Natural = 0,
        encoder: nn.Module | None = None,
        width: Count = 64,
    ) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(initial), dtype=torch.get_default_dtype()))
        self.encoder = encoder
        self.network: nn.Sequential | None = None
        if condition_dim:
            read = getattr(encoder, "out_features", condition_dim)
            self.network = nn.Sequential(nn.Linear(read, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, terms: FlowTerms) -> Tensor:
        """(B,) log Z, or () when it does not depend on the trajectory; what is known goes first."""
        if terms.known_log_z is not None:
            return terms.known_log_z.to(self.value)
        if self.network is None:
            if terms.condition is not None:
                raise IncompatibleError(
                    "log Z depends on the condition, and this objective was built for none. Build "
                    "it with condition_dim=env.condition_dim."
                )
            return self.value
        if terms.condition is None:
            raise IncompatibleError("This objective is conditional and the batch has no condition.")
        read = self.encoder(terms.condition) if self.encoder is not None else terms.condition
        log_z: Tensor = self.network(read).squeeze(-1) + self.value
        return log_z

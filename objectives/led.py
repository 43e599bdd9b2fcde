"""Learned energy decomposition: forward-looking balance where no partial energy is known."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from gflow.bounds import Bounds, Count, Natural, Positive, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.learner import Learner
from gflow.objective import Objective, Regression, squared
from gflow.objectives.db import DetailedBalance
from gflow.objectives.potential import PairPotential, Potential, PotentialFit
from gflow.objectives.subtb import SubTrajectoryBalance
from gflow.policies.base import Policy
from gflow.policies.encoder import FeatureEncoder, StateEncoder
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

Residual = Literal["none", "redistribute", "terminal"]


class LearnedEnergyDecomposition(Objective):
    r"""Balance with learned potentials phi in the place of energy differences.

    .. math:: \delta(s \to s') = \log \tilde F(s) + \log P_F(s' \mid s) - \log \tilde F(s')
              - \log P_B(s \mid s') + \phi(s \to s')

    and the same along sub-trajectories. The potentials are fitted beside the policy so that they
    sum to E(x) = -log R(x) along trajectories, and send no gradient into the flows. How the part
    delta(tau) = E(x) - sum phi that they leave unexplained enters:

    ============  ===============================================================================
    redistribute  in equal parts at every transition of the trajectory; sums become exact
    terminal      at the end: F(x) = R(x) as always
    none          not at all: the solution samples p(x) proportional to
                  E_{P_B(tau | x)}[exp(-sum phi)], R(x) only where the decomposition is exact
    ============  ===============================================================================

    The first two depend on the trajectory and not only on the transition, so that balance of less
    than whole trajectories is slightly biased until the potentials fit; watch `mean_gap`.
    Trajectories without transitions are anchored at log R in every mode.

    Args:
        potential: phi.
        base: The balance that reads the flows: detailed or sub-trajectory balance.
        residual: Row of the table.
        lr: Learning rate of the potentials.
        steps: Gradient steps on the potentials per training batch.
        memory: Number of batches remembered for them.
        dropout: See `potential_loss`.

    Reference:
        Jang et al., Learning Energy Decompositions for Partial Inference of GFlowNets, 2024,
        https://arxiv.org/abs/2310.03301
    """

    name = "led"
    needs = Needs(log_flow=True, whole=False)
    self_contained = False

    @checked
    def __init__(
        self,
        potential: Potential,
        base: Objective | None = None,
        residual: Residual = "redistribute",
        lr: Rate = 1e-3,
        steps: Natural = 8,
        memory: Count = 300,
        dropout: Annotated[float, Bounds(0, 1, open_high=True)] = 0.1,
    ) -> None:
        base = SubTrajectoryBalance() if base is None else base
        super().__init__(base.regression)
        if not isinstance(base, DetailedBalance | SubTrajectoryBalance) or base.needs.energy:
            raise ConfigError(
                f"LearnedEnergyDecomposition puts potentials into the log-flows of detailed or "
                f"sub-trajectory balance, and {type(base).__name__} is neither."
            )
        self.potential, self.base, self.mode = potential, base, residual
        self.fit_settings: dict[str, Any] = {
            "lr": lr,
            "steps": steps,
            "memory": memory,
            "dropout": dropout,
        }

    @classmethod
    @checked
    def build(
        cls,
        env: Environment[Any],
        encoder: StateEncoder | None = None,
        width: Count = 128,
        regression: Regression = squared,
        base: Literal["subtb", "db"] = "subtb",
        lam: Positive = 0.9,
        **settings: Any,
    ) -> "LearnedEnergyDecomposition":
        """With a network of pairs of states as potential.

        Args:
            env: The environment.
            encoder: Encodes states; by default their categorical features.
            width: Units of the layers of the potential.
            regression: How residuals are punished.
            base: "subtb" or "db".
            lam: Decay of sub-trajectory balance.
            settings: Further arguments of the class.

        Raises:
            ConfigError: If a number is out of range, or a choice is none.
        """
        balance = (
            SubTrajectoryBalance(lam, regression=regression)
            if base == "subtb"
            else DetailedBalance(regression)
        )
        if encoder is None and not env.feature_sizes:
            raise IncompatibleError(
                f"LearnedEnergyDecomposition cannot train on {env.name}: it holds a network of "
                f"states and knows none for an environment without `feature_sizes`. Use fldb "
                f"or flsubtb, or, in Python, LearnedEnergyDecomposition.build(encoder=...)."
            )
        encoder = FeatureEncoder(env, width) if encoder is None else encoder
        return cls(PairPotential(encoder, width), balance, **settings)

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The terms of the base, and the potentials of all transitions."""
        terms = super().evaluate(env, policy, trajectories)
        with torch.no_grad():
            potential = self.potential(env, trajectories)
        return replace(terms, potential=potential.to(terms.log_pf.dtype))

    def learners(self, env: Environment[Any]) -> list[Learner]:
        """The fit of the potentials."""
        return [PotentialFit(env, self.potential, **self.fit_settings)]

    def credited(self, terms: FlowTerms) -> FlowTerms:
        """Terms whose log-flows are log F~ less the potentials so far."""
        assert terms.log_flow is not None
        assert terms.potential is not None
        moves = terms.moves
        ends = terms.length if terms.complete is None else terms.length.where(terms.complete, -1)
        phi = terms.potential.where(moves, 0.0)
        gap = self._gap(terms)
        if self.mode == "redistribute":
            shared = (gap / moves.sum(-1).clamp(min=1)).where(ends >= 0, 0.0)
            phi = phi + shared[:, None] * moves
        spent = torch.nn.functional.pad(phi.cumsum(-1), (1, 0))  # (B, T + 1)
        steps = torch.arange(spent.shape[1], device=spent.device)
        end = terms.log_reward.to(spent.dtype)
        if self.mode == "none":
            end = (-phi.sum(-1)).where(moves.any(-1), end)
        flow = torch.where(steps == ends[:, None], end[:, None], terms.log_flow - spent)
        return replace(terms, log_flow=flow.where(steps <= terms.length[:, None], 0.0))

    def residual(self, terms: FlowTerms) -> Tensor:
        """Residuals of the base at the credited flows."""
        return self.base.residual(self.credited(terms))

    def weight(self, terms: FlowTerms) -> Tensor:
        """Weights of the base."""
        return self.base.weight(terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log F~ of the source, whose energy counts as zero."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """`mean_gap`: mean over trajectories of the absolute unexplained energy, in nats."""
        whole = terms.moves.any(-1)
        if terms.complete is not None:
            whole = whole & terms.complete
        gap = self._gap(terms).abs().where(whole, 0.0)
        return {"mean_gap": gap.sum() / whole.sum().clamp(min=1)}

    @staticmethod
    def _gap(terms: FlowTerms) -> Tensor:
        """(B,) E(x) - sum phi."""
        assert terms.potential is not None
        return -terms.log_reward - terms.potential.where(terms.moves, 0.0).sum(-1)

"""Modified detailed balance, for environments in which every state may stop."""

from typing import Any

from torch import Tensor

from gflow.environment.base import Environment
from gflow.objective import Objective
from gflow.terms import FlowTerms, Needs


class ModifiedDetailedBalance(Objective):
    r"""Detailed balance with F(s) = R(s) / P_F(stop | s) put in: no flow to learn.

    .. math:: \delta(s \to s') = \log R(s) + \log P_F(s' \mid s) + \log P_F(\text{stop} \mid s')
              - \log R(s') - \log P_B(s \mid s') - \log P_F(\text{stop} \mid s)

    Stop transitions are left out: their residual is identically zero.

    Reference:
        Deleu et al., Bayesian Structure Learning with Generative Flow Networks, 2022,
        https://arxiv.org/abs/2202.13903
    """

    name = "mdb"
    needs = Needs(stop=True, whole=False, from_source=False)

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Only environments that may stop everywhere have P_F(stop | s) at every state."""
        if env.every_state_stops and env.stop_action is not None:
            return None
        return (
            "it needs an environment in which every state may stop (`every_state_stops`), so that "
            "F(s) = R(s) / P_F(stop | s). Use DetailedBalance, which learns F(s)."
        )

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one per transition that is not a stop."""
        assert terms.state_log_reward is not None
        assert terms.log_stop is not None
        implied = terms.state_log_reward - terms.log_stop  # (B, T + 1) log F(s)
        delta = implied[:, :-1] + terms.log_pf - implied[:, 1:] - terms.log_pb
        return delta.where(terms.moves, 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all transitions that are not stops."""
        moves = terms.moves
        return moves.to(terms.log_pf.dtype) / moves.sum().clamp(min=1)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log R(s0) - log P_F(stop | s0)."""
        assert terms.state_log_reward is not None
        assert terms.log_stop is not None
        return terms.state_log_reward[:, 0] - terms.log_stop[:, 0]

"""Modified sub-trajectory balance: flows are rewards divided by the probability of stopping."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.objective import Objective, Regression, squared
from gflow.terms import FlowTerms, Needs

Pairs = Literal["all", "consecutive"]


class ModifiedSubTrajectoryBalance(Objective):
    r"""Sub-trajectory balance with F(s) = R(s) / P_F(stop | s) put in: no flow, no log Z to learn.

    .. math:: h_t = \log R(s_t) - \log P_F(\text{stop} \mid s_t)
              - \sum_{u<t} (\log P_F - \log P_B), \qquad \delta_{ij} = h_i - h_j

    for pairs i < j of states that may stop, weighted by :math:`\lambda^{l-1}` over the whole batch,
    where l counts the states that may stop from one to the other. At the solution every h_t is
    log Z. States in which nobody may stop (too short, or in the midst of what a tool says) are left
    out. Where the source is one of them, nothing but its flow connects the trajectories: h_t less
    its mean over all states of the trajectories of one condition is a further residual, which needs
    no log Z to be learned (`VarGrad`, Richter et al., 2020).

    The stop must be forced where a trajectory can go no further, so that its probability is 1
    there; environments do that by their masks.

    Args:
        lam: Decay per unit of length, positive.
        pairs: "all", or "consecutive" states, which is modified detailed balance.
        regression: How residuals are punished.

    Raises:
        ConfigError: If lam is not positive.

    Reference:
        Hu et al., Amortizing intractable inference in large language models, 2024,
        https://arxiv.org/abs/2310.04363; Deleu et al., 2022, https://arxiv.org/abs/2202.13903
    """

    name = "msubtb"
    needs = Needs(stop=True, whole=False)
    compares = True

    @checked
    def __init__(
        self, lam: Positive = 1.0, pairs: Pairs = "all", regression: Regression = squared
    ) -> None:
        super().__init__(regression)
        self.lam, self.pairs = lam, pairs

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Only objects that end by a stop have P_F(stop | s)."""
        instead = "Use SubTrajectoryBalance, which learns F(s), or LogPartitionVariance."
        if env.stop_action is None:
            return (
                "it needs an environment with a `stop_action`, so that "
                f"F(s) = R(s) / P_F(stop | s). {instead}"
            )
        if not env.numbered:
            return (
                "it reads P_F(stop | s) at every state, which is known only where moves are "
                f"numbered and have no densities. {instead}"
            )
        return None

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T (T + 1) / 2 + T + 1): of pairs as `torch.triu_indices` has them, then of states."""
        total, there = self._estimates(terms)
        i, j = self._pairs(terms)
        pairs = (total[:, i] - total[:, j]).where(there[:, i] & there[:, j], 0.0)
        root = total - self._mean(terms, total, there).detach()[:, None]
        return torch.cat([pairs, root.where(self._rooted(there), 0.0)], 1)

    def weight(self, terms: FlowTerms) -> Tensor:
        """Weights of pairs, which sum to 1 over the batch, and of states, which do so too."""
        _, there = self._estimates(terms)
        i, j = self._pairs(terms)
        place = there.long().cumsum(1)
        apart = (place[:, j] - place[:, i]).clamp(min=1)
        both = there[:, i] & there[:, j]
        if self.pairs == "consecutive":
            both = both & (apart == 1)
        decay = self.lam ** (apart - 1).to(terms.log_pf.dtype)
        pairs = decay.where(both, 0.0)
        root = self._rooted(there).to(pairs.dtype)
        least = torch.finfo(pairs.dtype).tiny
        parts = [part / part.sum().clamp(min=least) for part in (pairs, root)]
        return torch.cat(parts, 1)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the mean of h_t over all states of the trajectories of the same condition."""
        return self._mean(terms, *self._estimates(terms))

    @staticmethod
    def _estimates(terms: FlowTerms) -> tuple[Tensor, Tensor]:
        """(B, T + 1) h_t, 0 where there is none, and (B, T + 1) bool where there is one."""
        assert terms.state_log_reward is not None
        assert terms.log_stop is not None
        moves = terms.length - terms.stopped.long()
        time = torch.arange(terms.log_stop.shape[1], device=moves.device)
        there = (time <= moves[:, None]) & (terms.log_stop > -torch.inf)
        log_flow = terms.state_log_reward - terms.log_stop.masked_fill(~there, 0.0)
        forced = ~terms.stopped if terms.complete is None else ~terms.stopped & terms.complete
        end = (time == moves[:, None]) & forced[:, None]
        log_flow = torch.where(end, terms.log_reward[:, None].to(log_flow.dtype), log_flow)
        there = there | end
        gain = (terms.log_pf - terms.log_pb).where(terms.moves, 0.0).cumsum(1)
        total = log_flow - torch.nn.functional.pad(gain, (1, 0))
        return total.where(there, 0.0), there

    @staticmethod
    def _rooted(there: Tensor) -> Tensor:
        """(B, T + 1) bool: states of trajectories whose source may not stop."""
        return there & ~there[:, :1]

    @staticmethod
    def _mean(terms: FlowTerms, total: Tensor, there: Tensor) -> Tensor:
        """(B,) mean of h_t in the condition of each trajectory; log Z where it is known."""
        if terms.known_log_z is not None:
            return terms.known_log_z.to(total)
        if terms.condition is None:
            group = torch.zeros_like(terms.length)
        else:
            group = torch.unique(terms.condition, dim=0, return_inverse=True)[1]
        sums = total.new_zeros(len(group), 2)
        each = torch.stack([total.sum(1), there.to(total.dtype).sum(1)], 1)
        value, count = sums.index_add(0, group, each)[group].unbind(1)
        return value / count.clamp(min=1)

    @staticmethod
    def _pairs(terms: FlowTerms) -> Tensor:
        states = terms.log_pf.shape[1] + 1
        return torch.triu_indices(states, states, offset=1, device=terms.length.device)

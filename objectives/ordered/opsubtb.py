"""Order-preserving sub-trajectory balance, and its form with a learned partial reward."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import NotNegative, Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.objectives.ordered.order_preserving import Order, OrderPreserving, Ranking, corrected
from gflow.policies.base import Policy
from gflow.policies.encoder import FeatureEncoder, StateEncoder
from gflow.policies.state_value import StateValue
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


class OrderPreservingSubTrajectoryBalance(OrderPreserving):
    r"""Order-preserving sub-trajectory balance: every suffix of a trajectory implies a reward.

    .. math:: \log \hat R_\ell(\tau) = \log F(s_{n-\ell})
              + \sum_{t \ge n-\ell} (\log P_F - \log P_B)

    For each length l the R^_l of the trajectories that are long enough are ordered, and all
    sub-trajectories of length l that end before s_n balance, with weights lam^(l-1) that sum to 1:

    .. math:: \sum_\ell w_\ell \Bigl[\lambda_{flow} \operatorname{mean}_{j - i = \ell,\, j < n}
              \delta_{ij}^2 + \lambda_{op} L_{order}(\hat R_\ell)\Bigr]

    l = 1 is the R^ of `OrderPreservingDetailedBalance`, l = n reaches back to the source.

    Args:
        lam: Decay per unit of length, positive.
        settings: Those of `OrderPreserving`, here with lambda_op = 0.1.

    Reference:
        Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
    """

    name = "opsubtb"
    needs = Needs(log_flow=True, scores=True, from_source=False)

    @checked
    def __init__(
        self,
        order: Order = "auto",
        lam: Positive = 0.9,
        lambda_op: NotNegative = 0.1,
        **settings: Any,
    ) -> None:
        super().__init__(order, lambda_op=lambda_op, **settings)
        self.lam = lam

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T (T + 1) / 2) one per pair i < j < length, in the order of `torch.triu_indices`."""
        g = self._level(terms)
        i, j = _pairs(terms)
        return (g[:, i] - g[:, j]).where(j < terms.length[:, None], 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T (T + 1) / 2) w_l over the number of such pairs in the batch."""
        j = _pairs(terms)[1]
        within = (j < terms.length[:, None]).to(terms.log_pf.dtype)
        weight: Tensor = self.lambda_flow * within * self._per_pair(terms, within.sum(0))
        return weight

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        """(B,) R^ of the longest suffix, which is the whole trajectory."""
        place = terms.length[:, None] - 1
        return self._suffixes(terms).gather(1, place).squeeze(1)

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        """One column per length of a suffix."""
        assert terms.scores is not None
        rho = corrected(self._suffixes(terms), terms)
        return [Ranking(rho, terms.scores, terms.mask, self._by_length(terms))]

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source: log of the sum of R^."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    def _level(self, terms: FlowTerms) -> Tensor:
        """(B, T + 1) log F(s_t) - sum_{u < t} (log P_F - log P_B)."""
        assert terms.log_flow is not None
        gain = (terms.log_pf - terms.log_pb).where(terms.mask, 0.0).cumsum(-1)
        return terms.log_flow - nn.functional.pad(gain, (1, 0))

    def _suffixes(self, terms: FlowTerms) -> Tensor:
        """(B, T) log R^_l for l = 1 ... T; meaningless where l exceeds the length."""
        g = self._level(terms)
        whole = (terms.log_pf - terms.log_pb).where(terms.mask, 0.0).sum(-1, keepdim=True)
        lengths = torch.arange(1, g.shape[1], device=g.device)
        return g.gather(1, (terms.length[:, None] - lengths).clamp(min=0)) + whole

    def _by_length(self, terms: FlowTerms) -> Tensor:
        """(T,) weights lam^(l-1) of the lengths l = 1 ... T that occur, summing to 1."""
        lengths = torch.arange(1, terms.log_pf.shape[1] + 1, device=terms.length.device)
        decay = (lengths - 1) * torch.tensor(self.lam, dtype=terms.log_pf.dtype).log()
        return decay.masked_fill(lengths > terms.length.max(), -torch.inf).softmax(0)

    def _per_pair(self, terms: FlowTerms, count: Tensor) -> Tensor:
        """(pairs,) w_l over the number of pairs of length l, given the (pairs,) number of each."""
        i, j = _pairs(terms)
        of_length = self._by_length(terms)
        total = torch.zeros_like(of_length).index_add(0, j - i - 1, count)
        return (of_length / total.clamp(min=1))[j - i - 1]


class ForwardLookingOrderPreservingSubTrajectoryBalance(OrderPreservingSubTrajectoryBalance):
    r"""Order-preserving sub-trajectory balance with a learned reward of unfinished objects.

    The flow is F = F~ R^_eta, with the head for log F~ and a network of states for log R^_eta. It
    is `OrderPreservingSubTrajectoryBalance` of that flow, and one thing more: along trajectories
    log R^_eta is to rise where the true reward of unfinished objects does. For each length l the
    differences log R^_eta(s_j) - log R^_eta(s_i), j - i = l, are ordered like the true ones with
    weight w_l, those of different trajectories from the same i being compared. Only the order of
    the true differences enters, and log R^_eta is fixed to nothing at finished objects.

    "all_pairs" takes time and memory of B^2 T^2 / 2 numbers; "pairwise" takes B T^2 / 2.

    Args:
        network: log R^_eta of states; it trains at the policy's rate.
        lam: Decay per unit of length, positive.
        settings: Those of `OrderPreserving`, here with lambda_op = 0.1.

    Reference:
        Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
    """

    name = "opflsubtb"

    def __init__(
        self,
        network: StateValue,
        order: Order = "auto",
        lam: Positive = 0.9,
        lambda_op: NotNegative = 0.1,
        **settings: Any,
    ) -> None:
        super().__init__(order, lam, lambda_op, **settings)
        self.network = network

    @classmethod
    def build(
        cls,
        env: Environment[Any],
        network: StateValue | None = None,
        encoder: StateEncoder | None = None,
        **settings: Any,
    ) -> "OrderPreserving":
        """The objective with a network for `env`.

        Args:
            env: The environment.
            network: log R^_eta; by default linear in what `encoder` says.
            encoder: Encodes states; by default their categorical features.
            settings: Further arguments of the class.

        Raises:
            IncompatibleError: If the environment is refused, or has no features and no encoder.
        """
        reason = cls.refusal(env)
        if reason is not None:
            raise IncompatibleError(f"{cls.__name__} cannot train on {env.name}: {reason}")
        if network is None:
            network = StateValue(FeatureEncoder(env, 64, 2) if encoder is None else encoder)
        return cls(network, **settings)

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Only rewards of unfinished objects can be looked forward to."""
        if env.has_partial:
            return super().refusal(env)
        return (
            f"it orders the rewards of unfinished objects, and the reward {env.reward!r} is "
            f"defined on finished ones only. Define `LogReward.partial`, or use "
            f"OrderPreservingSubTrajectoryBalance."
        )

    @property
    def networks(self) -> list[nn.Module]:
        """The network of log R^_eta."""
        return [self.network]

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """Terms with the learned and the true log-reward of every state; log F includes the former.

        The energy is as the reward has it, without an anchor to the target at finished objects.
        """
        terms = super().evaluate(env, policy, trajectories)
        assert terms.log_flow is not None
        index, given = trajectories.state_index, trajectories.condition_of_states
        visited = torch.arange(index.shape[1], device=index.device) <= terms.length[:, None]
        value: Tensor = self.network(env, trajectories.states, given)
        learned = value[index].where(visited, 0.0)
        energy = env.partial_of_trajectories(trajectories)[index].neg()
        return replace(
            terms,
            log_flow=terms.log_flow + learned,
            learned_log_reward=learned,
            energy=energy.where(visited, 0.0),
        )

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        """One column per length of a suffix, and one per pair of states.

        Raises:
            IncompatibleError: If the terms lack what `evaluate` of this objective fills in.
        """
        learned, energy = terms.learned_log_reward, terms.energy
        if learned is None or energy is None:
            raise IncompatibleError(
                f"{type(self).__name__} reads its own network of states. Fill the terms by "
                f"`objective.evaluate(env, policy, trajectories)`."
            )
        i, j = _pairs(terms)
        moves = terms.length - terms.stopped.long()
        exists = j <= moves[:, None]
        differences = Ranking(
            learned[:, j] - learned[:, i],
            (energy[:, i] - energy[:, j])[..., None],
            exists,
            self._per_pair(terms, exists.any(0).to(learned.dtype)),
        )
        return [*super().rankings(terms), differences]


def _pairs(terms: FlowTerms) -> Tensor:
    """(2, pairs) all i < j of the T + 1 states."""
    states = terms.log_pf.shape[1] + 1
    return torch.triu_indices(states, states, offset=1, device=terms.length.device)

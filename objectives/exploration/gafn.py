"""Generative augmented flow networks: balance with a bonus for new states on the way."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Natural, Positive, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.exact.graph import ExactFlows, StateGraph, group_logsumexp
from gflow.learner import Learner
from gflow.objective import LogZ, Objective, Regression, squared
from gflow.objectives.exploration.novelty import Novelty, RandomDistillation
from gflow.policies.base import Policy
from gflow.policies.encoder import FeatureEncoder, StateEncoder
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


class GenerativeAugmentation(Objective):
    r"""Trajectory or detailed balance in which every new state is worth a bonus b of its own.

    .. math:: \delta(\tau) &= \log Z + \sum_t \log P_F(s_{t+1} \mid s_t) - \log (R(x) + b(x))
              - \sum_t \log \Bigl( P_B(s_t \mid s_{t+1}) + \frac{b(s_{t+1})}{F(s_{t+1})} \Bigr) \\
              \delta(s \to s') &= \log F(s) + \log P_F(s' \mid s)
              - \log \bigl( F(s') P_B(s \mid s') + b(s') \bigr)

    The bonus of an object is added to its reward, that of a state on the way to the flow of the
    move into it. It is a novelty fitted beside the policy, and vanishes where that has been often
    enough; what is left is balance with the reward alone. To explore for another sampler, train it
    on a small even reward.

    Args:
        novelty: b.
        form: "trajectory" sums along whole trajectories, where any flows F can be made up for;
            "transition" balances each move, which fixes them.
        lr: Learning rate of the novelty.
        log_z: Initial log Z, of the form that reads one.
        condition_dim: Width of the condition that log Z depends on, 0 for none.
        condition_encoder: Module for the condition, with `out_features`.
        regression: How residuals are punished.

    Reference:
        Pan et al., Generative Augmented Flow Networks, 2023, https://arxiv.org/abs/2210.03308
    """

    name = "gafn"
    needs = Needs(log_flow=True)
    self_contained = False

    @checked
    def __init__(
        self,
        novelty: Novelty,
        form: Literal["trajectory", "transition"] = "trajectory",
        lr: Rate = 1e-3,
        log_z: float = 0.0,
        condition_dim: Natural = 0,
        condition_encoder: nn.Module | None = None,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.novelty, self.form, self.lr = novelty, form, lr
        self.log_z: LogZ | None = None
        if form == "trajectory":
            self.log_z = LogZ(log_z, condition_dim, condition_encoder)

    @classmethod
    @checked
    def build(
        cls,
        env: Environment[Any],
        encoder: StateEncoder | None = None,
        width: Count = 256,
        scale: Positive = 0.005,
        **settings: Any,
    ) -> "GenerativeAugmentation":
        """With a novelty of its own.

        Args:
            env: The environment.
            encoder: Encodes states; by default their categorical features.
            width: Units of the layers of the novelty.
            scale: Bonus of a state per unit of what is not yet known of it.
            settings: Further arguments of the class.
        """
        reason = cls.refusal(env)
        if reason is None and encoder is None and not env.feature_sizes:
            reason = (
                "it holds a network of states and knows none for an environment without "
                "`feature_sizes`. In Python, GenerativeAugmentation.build(env, encoder=...)."
            )
        if reason is not None:
            raise IncompatibleError(f"GenerativeAugmentation cannot train on {env.name}: {reason}")
        encoder = FeatureEncoder(env, width) if encoder is None else encoder
        return cls(Novelty(encoder, width, scale=scale), **settings)

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Where bonuses cannot be added: to densities of moves, and to a log Z that is known."""
        if not env.numbered:
            return (
                "it adds bonuses to probabilities of moves, and here moves have densities. Use tb, "
                "with exploration noise."
            )
        if env.reward.has_known_log_z:
            return (
                f"log Z of the reward {env.reward!r} is known and bonuses change it. Use db, subtb "
                f"or tb, and let another sampler explore (Explorer)."
            )
        return super().refusal(env)

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The terms of balance, and the bonuses of all states."""
        terms = super().evaluate(env, policy, trajectories)
        given = trajectories.condition_of_states
        bonus = self.novelty(env, trajectories.states, given)[trajectories.state_index]
        steps = torch.arange(bonus.shape[1], device=bonus.device)
        bonus = bonus.where(steps <= terms.length[:, None], 0.0)
        return replace(terms, bonus=bonus.to(terms.log_pf.dtype))

    def learners(self, env: Environment[Any]) -> list[Learner]:
        """The fit of the novelty."""
        return [RandomDistillation(self.novelty, self.lr)]

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B,) one per trajectory, or (B, T) one per transition."""
        assert terms.log_flow is not None
        log_bonus, log_end = self._bonuses(terms)
        log_pb, into = terms.log_pb.where(terms.moves, 0.0), terms.log_flow[:, 1:]
        into = into.where(terms.moves, 0.0)
        if self.log_z is not None:
            back = torch.logaddexp(log_pb, log_bonus - into)
            steps = (terms.log_pf - back).where(terms.mask, 0.0)
            log_z: Tensor = self.log_z(terms)
            return log_z + steps.sum(-1) - log_end
        ends = torch.arange(into.shape[1], device=into.device) == terms.length[:, None] - 1
        balanced = torch.where(ends, log_end[:, None], into) + log_pb
        balanced = torch.logaddexp(balanced, log_bonus)
        return (terms.log_flow[:, :-1] + terms.log_pf - balanced).where(terms.mask, 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """Equal weights of all trajectories, or of all transitions."""
        if self.log_z is not None:
            return torch.full_like(terms.log_reward, 1 / len(terms.log_reward))
        return terms.mask.to(terms.log_pf.dtype) / terms.length.sum().clamp(min=1)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log Z, bonuses included."""
        if self.log_z is not None:
            log_z: Tensor = self.log_z(terms)
            return log_z.expand(len(terms.log_reward))
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    @staticmethod
    def _bonuses(terms: FlowTerms) -> tuple[Tensor, Tensor]:
        """(B, T) log bonus of the move of each transition, and (B,) log of R + b at the ends.

        Moves that finish an object by force have none: the bonus of the object is in its reward.
        """
        assert terms.bonus is not None
        steps = torch.arange(terms.log_pf.shape[1], device=terms.length.device)
        passing = steps < terms.length[:, None] - 1
        log_bonus = terms.bonus[:, 1:].where(passing, 0.0).log()
        at_end = terms.bonus.gather(1, terms.length[:, None]).squeeze(1)
        return log_bonus, torch.logaddexp(terms.log_reward.to(at_end), at_end.log())

    def exact_flows(self, graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
        """The flows that balance the reward and the bonuses as they are now.

        Args:
            graph: All states of an environment without moves of chance.
            log_pb: (E,) log P_B of every transition; uniform over parents by default.
        """
        log_pb = graph.uniform_log_pb() if log_pb is None else log_pb.double()
        given = None if graph.condition is None else graph.condition.expand(len(graph), -1)
        log_bonus = self.novelty(graph.env, graph.states, given).double().log()
        log_end = torch.logaddexp(graph.log_reward(), log_bonus)
        log_end = log_end.where(graph.can_end, -torch.inf)
        forced = graph.env.is_terminal(graph.states)
        on_the_way = log_bonus.where(~forced, -torch.inf)
        flow, log_edge = log_end.clone(), torch.full_like(log_pb, -torch.inf)
        for edges in reversed(graph.levels):
            child = graph.child[edges]
            log_edge[edges] = torch.logaddexp(flow[child] + log_pb[edges], on_the_way[child])
            parents, group = torch.unique(graph.parent[edges], return_inverse=True)
            out = group_logsumexp(log_edge[edges], group, len(parents))
            flow[parents] = torch.logaddexp(flow[parents], out)
        log_pf = log_edge - flow[graph.parent]
        return ExactFlows(flow, log_pf, log_pb, log_end - flow, float(flow[0]))

r"""From an outcome-conditioned policy to a sampler of any reward, without training.

Mixtures of flows are flows: with flows F(. | y) to single outcomes y, all on the same scale,

.. math:: F_r(s) = \sum_y r(y) F(s \mid y), \quad
          P_r(a \mid s) = \sum_y r(y) F(s \mid y) P_F(a \mid s, y) / F_r(s)

are the flows and the policy of the reward r, whatever the backward policies to each outcome are.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError, ShapeError
from gflow.outcomes.conditioned import outcome_reward, require_apart
from gflow.outcomes.flows import OutcomeFlows, PairFlows
from gflow.policies.base import Policy, PolicyOutput
from gflow.state import batch_size, device_of, take, to_device

EMPTY = -1e4
"""Stands for the log of a sum over no outcome at all, so that rows of these come out even."""


@dataclass(frozen=True)
class Outcomes:
    """Outcomes to sum over, each with its weight.

    Attributes:
        conditions: (K, C) the outcomes as the policy is told them.
        log_weight: (K,) log of how much each counts; -inf for those that do not.
        objects: K objects that fulfil them, or None. Where the environment can tell which states
            lead to an object (`Environment.reaches`), only these are asked about.
    """

    conditions: Tensor
    log_weight: Tensor
    objects: Any = None

    def __post_init__(self) -> None:
        count = len(self.conditions)
        if self.conditions.dim() != 2 or tuple(self.log_weight.shape) != (count,) or not count:
            raise ShapeError(
                f"Outcomes: conditions must be (K, C) and weights (K,) with K > 0, got "
                f"{tuple(self.conditions.shape)} and {tuple(self.log_weight.shape)}."
            )
        if not bool((self.log_weight > -torch.inf).any()) or bool(self.log_weight.isnan().any()):
            raise IncompatibleError(
                f"Outcomes: none of the {count} outcomes has a weight above zero (or one is NaN), "
                f"so there is nothing to sample."
            )

    def __len__(self) -> int:
        return len(self.log_weight)

    def to(self, device: torch.device) -> "Outcomes":
        """The same on another device."""
        if self.log_weight.device == device:
            return self
        objects = None if self.objects is None else to_device(self.objects, device)
        return Outcomes(self.conditions.to(device), self.log_weight.to(device), objects)

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        target: DiscreteEnvironment[Any],
        conditioned: DiscreteEnvironment[Any],
        objects: Any,
        log_proposal: Tensor | None = None,
    ) -> "Outcomes":
        r"""The outcomes of objects, weighted so that their mixture is the flow of a reward.

        The weight is :math:`r(x) / R(x \mid y)` for an object x with the outcome y, r being the
        reward of `target` and R that of `conditioned`. Outcomes that several objects share are
        listed once; r must then be the same for these.

        Args:
            target: The environment whose reward is wanted, with the states of `conditioned`.
            conditioned: The environment that the policy was trained on.
            objects: All objects, or M that were drawn independently.
            log_proposal: (M,) log-probability with which each was drawn: they then count r / q / M,
                so that sums over them are right on average, and may repeat. None: they are all.

        Raises:
            IncompatibleError: If objects of one outcome differ in their reward; if objects are
                drawn and several share an outcome.
        """
        conditions = outcome_reward(conditioned, "Outcomes").outcomes(objects)
        log_r = target.target_log_reward(objects, zero=True).double()
        log_weight = log_r - conditioned.target_log_reward(objects, conditions).double()
        if log_proposal is not None:
            require_apart(outcome_reward(conditioned, "Outcomes"), conditions, "Outcomes")
            log_weight = log_weight - log_proposal.double() - torch.tensor(len(log_r)).log()
            return cls(conditions, log_weight, objects)
        distinct, group = torch.unique(conditions, dim=0, return_inverse=True)
        if len(distinct) == len(conditions):
            return cls(conditions, log_weight, objects)
        top = log_weight.new_full((len(distinct),), -torch.inf)
        top.scatter_reduce_(0, group, log_weight, "amax")
        if bool(((top[group] - log_weight).nan_to_num(0.0) > 1e-6).any()):
            raise IncompatibleError(
                f"{target.name}: objects with the same outcome differ in their reward, which "
                f"flows to outcomes cannot tell apart. The reward must be a function of the "
                f"outcome."
            )
        return cls(distinct, top)


class Converted(Policy):
    """The policy of a reward as a mixture of frozen flows to outcomes; nothing is trained.

    It samples exactly in proportion to the reward if the flows are exact and all outcomes are
    listed. Its flows, F_r, and its backward policy are the mixtures too, so that it has every head.

    Args:
        flows: The frozen outcome-conditioned policy.
        outcomes: What to sum over.
        pairs: At most so many pairs of a state and an outcome are asked about at a time.

    Reference:
        Pan et al., Pre-Training and Fine-Tuning Generative Flow Networks, 2023,
        https://arxiv.org/abs/2310.03419
    """

    has_log_flow = True

    @checked
    def __init__(self, flows: OutcomeFlows, outcomes: Outcomes, pairs: Count = 1 << 16) -> None:
        super().__init__()
        self.flows, self.outcomes, self.pairs = flows, outcomes, pairs
        self.backward = flows.policy.backward

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """The mixture at N states: log numerators of actions and of moves back, and log F_r."""
        return self._mixed(states, back=True)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) log numerators of the actions."""
        return self._mixed(states, back=False).forward_logits

    @torch.no_grad()
    def _mixed(self, states: Any, back: bool) -> PolicyOutput:
        count, device = batch_size(states), device_of(states)
        outcomes = self.outcomes = self.outcomes.to(device)
        sums = Sums(self.flows, count, back)
        useful = (outcomes.log_weight > -torch.inf).nonzero().squeeze(1)
        for columns in useful.split(max(1, self.pairs // max(count, 1))):
            for rows in torch.arange(count, device=device).split(self.pairs):
                at = rows.repeat_interleave(len(columns))
                which = columns.repeat(len(rows))
                kept = self._reached(take(states, at), which)
                at, which = at[kept], which[kept]
                sums.add(
                    take(states, at), at, outcomes.conditions[which], outcomes.log_weight[which]
                )
        return sums.output(device)

    def _reached(self, states: Any, which: Tensor) -> Tensor:
        """(P,) bool: the state leads to the outcome, as far as the environment can tell."""
        objects = self.outcomes.objects
        known = None if objects is None else self.flows.env.reaches(states, take(objects, which))
        return torch.ones_like(which, dtype=torch.bool) if known is None else known


class Sums:
    """Sums of weighted flows at N states, over pairs of a state and an outcome that come in parts.

    Args:
        flows: The flows.
        count: N.
        back: Whether moves back are summed.
    """

    def __init__(self, flows: OutcomeFlows, count: int, back: bool) -> None:
        self.flows, self.count = flows, count
        self.back = back and flows.policy.backward == "learned"
        self.sums: list[Tensor | None] = [None, None, None]

    def add(self, states: Any, at: Tensor, conditions: Tensor, log_weight: Tensor) -> None:
        """P more pairs.

        Args:
            states: P states.
            at: (P,) int64 which of the N each is.
            conditions: (P, C) the outcome of each.
            log_weight: (P,) how much it counts.
        """
        if not len(at):
            return
        self.add_flows(self.flows(states, conditions, self.back), at, log_weight)

    def add_flows(self, found: PairFlows, at: Tensor, log_weight: Tensor) -> None:
        """P more pairs whose flows are known already."""
        if not len(at):
            return
        weight = log_weight.double() + found.log_flow.double()
        parts = [weight, weight[:, None] + found.log_pf.double()]
        if found.log_pb is not None:
            parts.append(weight[:, None] + found.log_pb.double())
        for i, part in enumerate(parts):
            self.sums[i] = _added(self.sums[i], part, at, self.count)

    def output(self, device: torch.device) -> PolicyOutput:
        """Log sums of flows through the actions, through the moves back, and through the states."""
        env, dtype = self.flows.env, torch.get_default_dtype()

        def said(i: int, *width: int) -> Tensor:
            total = self.sums[i]
            if total is None:
                return torch.full((self.count, *width), EMPTY, dtype=dtype, device=device)
            return total.clamp(min=EMPTY).to(dtype)

        back = said(2, env.num_backward_actions) if self.back else None
        return PolicyOutput(said(1, env.num_actions), back, said(0))


def _added(total: Tensor | None, part: Tensor, rows: Tensor, count: int) -> Tensor:
    """(N, ...) log of the sums so far and of the exponentials of (P, ...) parts, by their rows."""
    if total is None:
        total = part.new_full((count, *part.shape[1:]), -torch.inf)
    place = rows.view(-1, *[1] * (part.dim() - 1)).expand_as(part)
    top = total.scatter_reduce(0, place, part, "amax")
    base = top.masked_fill(top == -torch.inf, 0.0)
    mass = (total - base).exp().scatter_add(0, place, (part - base[rows]).exp())
    return mass.log() + base

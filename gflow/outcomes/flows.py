"""The flows of a frozen outcome-conditioned policy, for pairs of a state and an outcome."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.masking import class_log_prob, masked_log_softmax
from gflow.outcomes.conditioned import outcome_reward
from gflow.policies.base import Policy, backward_law
from gflow.state import batch_size, take

NEAR = 0.6
"""Weight of what the state that a move leads to says, against 1 - NEAR of that which it leaves.

More than half, as it is nearer to the outcome: there is less in its flow to be wrong about, and
none of the errors of P_F.
"""


@dataclass(frozen=True)
class PairFlows:
    """What a policy says of P pairs of a state s and an outcome y.

    Attributes:
        log_flow: (P,) log F(s | y).
        log_pf: (P, A) log P_F(a | s, y) of each action by itself; -inf where it is illegal.
        log_pb: (P, B) log P_B of each move back, -inf likewise; None for a fixed backward policy.
    """

    log_flow: Tensor
    log_pf: Tensor
    log_pb: Tensor | None


class OutcomeFlows(nn.Module):
    """A frozen policy that was trained on outcomes, read as flows F(s | y), P_F(a | s, y), P_B.

    What is known stands in place of what the network says: log Z(y) at the source, R(x | y) = 1 at
    finished objects with the outcome, 0 at others, and that a stop achieves the outcome of the
    state at hand and no other. Where that outcome is this object's alone, nothing else is left to
    do: the flow is R, and the only move is the stop.

    Args:
        policy: The policy; its parameters never change.
        env: The outcome-conditioned environment that it was trained on.

    Raises:
        IncompatibleError: If the policy has no log-flow head, or the environment is another.
    """

    def __init__(self, policy: Policy, env: DiscreteEnvironment[Any]) -> None:
        super().__init__()
        if not policy.has_log_flow:
            raise IncompatibleError(
                f"OutcomeFlows reads flows, and this {type(policy).__name__} has no log-flow head. "
                f"Train it by an objective that reads log F(s), such as db or subtb."
            )
        self.policy, self.env = policy, env
        self.reward = outcome_reward(env, "OutcomeFlows")

    @torch.no_grad()
    def forward(self, states: Any, outcomes: Tensor, back: bool = False) -> PairFlows:
        """Flows at P states, each for its outcome.

        Args:
            states: P states.
            outcomes: (P, C) the outcome of each.
            back: Whether moves back are asked for.
        """
        env, stop = self.env, self.env.stop_action
        output = self.policy(env, states, outcomes)
        flow, mask = output.log_flow, env.forward_mask(states)
        assert flow is not None  # there is such a head
        known = env.known_log_z(outcomes, len(outcomes))
        if known is not None:
            flow = torch.where(env.is_initial(states), known.to(flow.dtype), flow)
        end = None
        if stop is not None or env.has_forced_terminals:
            end = self._end(states, outcomes).to(flow.dtype)
        if env.has_forced_terminals:
            assert end is not None
            flow = torch.where(env.is_terminal(states), end, flow)
        if stop is not None:  # other outcomes go on, where that is possible
            assert end is not None
            others = torch.arange(mask.shape[1], device=mask.device) != stop
            goes_on = (end == -torch.inf) & (mask & others).any(-1)
            mask = mask & (others | ~goes_on[:, None])
            if known is not None:
                there = (end > -torch.inf) & (known <= 0)
                flow, mask = torch.where(there, end, flow), mask & ~(others & there[:, None])
        log_pf = masked_log_softmax(output.forward_logits, mask)
        if stop is not None and end is not None:
            log_pf[:, stop] = (end - flow).masked_fill(~mask[:, stop], -torch.inf)
        log_pb = None
        if back and self.policy.backward == "learned":
            assert output.backward_logits is not None
            log_pb = masked_log_softmax(output.backward_logits, env.backward_mask(states))
        return PairFlows(flow, log_pf, log_pb)

    @torch.no_grad()
    def carried(self, states: Any, actions: Tensor, children: Any, outcomes: Tensor) -> Tensor:
        """(M,) log of the flow that M moves carry, each to its outcome.

        A move says it twice (see `PairTable`), and this is the mean that conversion takes.

        Args:
            states: M states.
            actions: (M,) what is done there.
            children: M states that this leads to; anything for stops.
            outcomes: (M, C) outcomes that the children lead to.
        """
        env, found = self.env, self(states, outcomes)
        classes = env.forward_classes(states)
        if classes is None:
            log_pf = found.log_pf.gather(1, actions[:, None]).squeeze(1)
        else:  # as the policy's own: of all actions with that result
            exists = torch.ones_like(actions, dtype=torch.bool)
            log_pf = class_log_prob(found.log_pf, classes, actions, exists)
        carried: Tensor = found.log_flow + log_pf
        if not self.has_both_ends(states):
            return carried
        stop = -1 if env.stop_action is None else env.stop_action
        goes = (actions != stop).nonzero().squeeze(1)
        there = self(take(children, goes), outcomes[goes], back=True)
        undo = env.backward_action(take(states, goes), actions[goes])
        law = there.log_pb
        if law is None:
            law = backward_law(env, self.policy, take(children, goes), None).table()
        log_pb = law.gather(1, undo[:, None]).squeeze(1).to(carried.dtype)
        both = (1 - NEAR) * carried[goes] + NEAR * (there.log_flow + log_pb)
        return carried.index_copy(0, goes, both)

    def has_both_ends(self, states: Any) -> bool:
        """Whether both ends of moves say what these carry: not where actions are equivalent."""
        env = self.env
        alike = env.forward_classes(states) is not None or env.backward_classes(states) is not None
        return env.has_backward and not alike

    def _end(self, states: Any, outcomes: Tensor) -> Tensor:
        """(P,) target log R(s | y) of states that are objects and achieve y; -inf for others."""
        rows = self.env.can_end(states).nonzero().squeeze(1)
        found = outcomes.new_full((batch_size(states),), -torch.inf)
        if not len(rows):
            return found
        objects, wanted = take(states, rows), outcomes[rows]
        reward = self.env.target_log_reward(objects, wanted, zero=True).to(found.dtype)
        achieved = self.reward.achieved(objects, wanted)
        return found.index_put((rows,), reward.where(achieved, -torch.inf))

"""Log-probabilities of transitions where moves are numbered, by gathers from the stored states."""

from typing import Any

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.evaluation.anchored import anchor, times
from gflow.evaluation.children import children
from gflow.evaluation.parts import Parts, outputs
from gflow.listed import flows
from gflow.listed.env import Listed
from gflow.masking import class_log_prob, representatives
from gflow.policies.base import BackwardNetwork, Policy, PolicyOutput, backward_law
from gflow.state import batch_size, cat, take
from gflow.terms import Needs
from gflow.trajectories import Trajectories


def parts(
    env: DiscreteEnvironment[Any], policy: Policy, trajectories: Trajectories[Any], needs: Needs
) -> Parts:
    """See `gflow.evaluate`."""
    states, index = trajectories.states, trajectories.state_index
    given = trajectories.condition_of_states
    table = env if isinstance(env, Listed) and states is env.all else None
    if needs.edge_flow and table is None:
        output, inflow, outflow = _edge_flows(env, policy, states, given)
    else:
        output = outputs(env, policy, trajectories)
    if needs.edge_flow and table is not None:
        inflow, outflow = flows.edge_flows(table, output)
    law = env.law(states, output.forward_logits)
    asked = (trajectories.actions, index[:, :-1], trajectories.mask)
    if needs.stop:
        assert env.stop_action is not None  # refused by the objective otherwise
        log_pf, log_stop = law.log_prob_and(env.stop_action, *asked)
    else:
        log_pf = law.log_prob(*asked)
    back = None
    if env.has_backward and needs.log_pb:
        back = backward_law(env, policy, states, output.backward_logits)
        log_pb = _of_moves(back, trajectories).to(log_pf.dtype)
    else:
        log_pb = torch.zeros_like(log_pf)
    found = Parts(output, log_pf, log_pb)
    if needs.edge_flow:
        ends = _at_the_end(env, output.forward_logits, inflow, outflow, trajectories)
        found.others["log_inflow"], found.others["log_outflow"] = ends
    if needs.stop:
        objects = None if env.every_state_stops else log_stop.detach() > -torch.inf
        found.others["log_stop"] = log_stop[index]
        found.others["state_log_reward"] = env.target_of_trajectories(trajectories, objects)[index]
    if needs.branching:
        count = law.distinct.sum(-1).clamp(min=1).to(log_pf.dtype)
        found.others["log_branching"] = count.log()[index[:, :-1]].where(trajectories.mask, 0.0)
    if needs.children != "none" and table is not None:
        found.others.update(flows.children(table, output, law, index, needs))
    elif needs.children != "none":
        found.others.update(children(env, policy, trajectories, law, needs))
    if needs.backward_divergence:
        assert back is not None  # refused by the objective otherwise
        divergence = _divergence(back).to(log_pf.dtype)
        found.others["backward_divergence"] = divergence[index[:, 1:]].where(
            trajectories.moves, 0.0
        )
    return found


def log_pb(
    env: DiscreteEnvironment[Any],
    policy: BackwardNetwork,
    trajectories: Trajectories[Any],
    learned: Tensor | None,
) -> Tensor:
    """See `gflow.evaluation.evaluate.log_pb`."""
    dtype = torch.get_default_dtype() if learned is None else learned.dtype
    if not env.has_backward:
        return torch.zeros(
            trajectories.actions.shape, dtype=dtype, device=trajectories.length.device
        )
    law = backward_law(env, policy, trajectories.states, learned)
    return _of_moves(law, trajectories).to(dtype)


def _of_moves(law: Categorical, trajectories: Trajectories[Any]) -> Tensor:
    """(B, T) log P_B from the backward law of the stored states."""
    entered = trajectories.state_index[:, 1:]
    return law.log_prob(trajectories.backward_actions, entered, trajectories.moves)


def _divergence(law: Categorical) -> Tensor:
    """(N,) KL(uniform over distinct parents || P_B); meaningless at the source."""
    parents = law.distinct
    count = parents.sum(-1).clamp(min=1)
    return -law.table().masked_fill(~parents, 0.0).sum(-1) / count - count.log()


def _at_the_end(
    env: DiscreteEnvironment[Any],
    logits: Tensor,
    inflow: Tensor,
    outflow: Tensor,
    trajectories: Trajectories[Any],
) -> tuple[Tensor, Tensor]:
    """(B, T + 1) log-flows into and out of the states, with a stop and log R at the ends."""
    index, last = trajectories.state_index, trajectories.length[:, None]
    log_inflow, log_outflow = inflow[index], outflow[index]
    if env.stop_action is not None:
        into_end = logits[:, env.stop_action][index].gather(1, last)
        stopped = trajectories.stopped[:, None] & (times(index) == last)
        log_inflow = torch.where(stopped, into_end, log_inflow)
    log_inflow = log_inflow.where((times(index) > 0) & (times(index) <= last), 0.0)
    return log_inflow, anchor(log_outflow, trajectories).where(times(index) <= last, 0.0)


def _edge_flows(
    env: DiscreteEnvironment[Any], policy: Policy, states: Any, given: Tensor | None
) -> tuple[PolicyOutput, Tensor, Tensor]:
    """Outputs for N states and the (N,) log-flows into and out of each.

    The flow out of a finished object is meaningless here and is anchored by the caller.
    """
    count = batch_size(states)
    mask = env.backward_mask(states)
    classes = env.backward_classes(states)
    if classes is not None:
        mask = representatives(mask, classes)
    rows, undo = mask.nonzero(as_tuple=True)  # one entry per state and distinct parent
    parents = env._backstep(take(states, rows), undo)
    actions = env.forward_action(take(states, rows), undo)
    together = cat([states, parents])
    if given is not None:
        given = torch.cat([given, given[rows]])
        output = policy(env, together, given)
        place = None
    elif env.has_keys:
        first, place = Distinct(env.num_keys)(env.key(together))
        together = take(together, first)
        output = policy(env, together)
    else:
        output = policy(env, together)
        place = None
    legal = env.forward_mask(together)
    legal = legal | ~legal.any(-1, keepdim=True)
    edge = output.forward_logits.masked_fill(~legal, -torch.inf)  # (U, A) log edge flows
    here = slice(0, count) if place is None else place[:count]
    there = slice(count, None) if place is None else place[count:]
    forward_classes = env.forward_classes(together)
    if forward_classes is None:
        flow = edge[there].gather(1, actions[:, None]).squeeze(1)
    else:
        exists = torch.ones_like(actions, dtype=torch.bool)
        flow = class_log_prob(edge[there], forward_classes[there], actions, exists)
    padded = flow.new_full(mask.shape, -torch.inf).index_put((rows, undo), flow)
    padded = padded.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    own = PolicyOutput(
        output.forward_logits[here],
        None if output.backward_logits is None else output.backward_logits[here],
        None if output.log_flow is None else output.log_flow[here],
    )
    return own, padded.logsumexp(-1), edge[here].logsumexp(-1)

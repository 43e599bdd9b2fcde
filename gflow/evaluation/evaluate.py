"""From trajectories to flow terms, in one network pass over the stored states."""

from typing import Any

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.evaluation.anchored import anchor, energies, log_flows, scores_of, times
from gflow.evaluation.kernel_terms import kernel_log_pb, kernel_terms
from gflow.masking import (
    class_log_prob,
    masked_log_softmax,
    merge_classes,
    representatives,
    uniform_log_prob,
)
from gflow.policies.base import BackwardNetwork, Policy, PolicyOutput, backward_scores
from gflow.state import batch_size, cat, take
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


def evaluate(
    env: Environment[Any],
    policy: Policy,
    trajectories: Trajectories[Any],
    needs: Needs = Needs(),
) -> FlowTerms:
    """The flow terms of trajectories under the policy as it is now, with gradients.

    Args:
        env: The environment.
        policy: The policy to evaluate, whoever sampled the trajectories.
        trajectories: B trajectories, on the policy's device.
        needs: What the objective reads.

    Returns:
        Flow terms, (B, T).

    Raises:
        IncompatibleError: If the policy lacks a head that is needed.
    """
    if isinstance(env, ContinuousEnvironment):
        return kernel_terms(env, policy, trajectories, needs)
    assert isinstance(env, DiscreteEnvironment)
    states, index = trajectories.states, trajectories.state_index
    given = trajectories.condition_of_states
    log_inflow = log_outflow = None
    if needs.edge_flow:
        output, inflow, outflow = _edge_flows(env, policy, states, given)
    else:
        output = policy.of_trajectories(env, trajectories, given)
    mask = env.forward_mask(states)
    log_prob = masked_log_softmax(output.forward_logits, mask)
    steps = trajectories.mask
    classes = env.forward_classes(states)
    log_pf = _of_actions(log_prob, index[:, :-1], trajectories.actions, classes, steps)
    back, dtype = output.backward_logits, output.forward_logits.dtype
    backward = _log_pb(env, policy, back, dtype, trajectories, trajectories.moves)

    if needs.edge_flow:
        last = trajectories.length[:, None]
        log_inflow, log_outflow = inflow[index], outflow[index]
        if env.stop_action is not None:
            into_end = output.forward_logits[:, env.stop_action][index].gather(1, last)
            stopped = trajectories.stopped[:, None] & (times(index) == last)
            log_inflow = torch.where(stopped, into_end, log_inflow)
        log_inflow = log_inflow.where((times(index) > 0) & (times(index) <= last), 0.0)
        log_outflow = anchor(log_outflow, trajectories).where(times(index) <= last, 0.0)
    energy = energies(env, trajectories) if needs.energy else None
    log_flow = log_flows(policy, output, trajectories, energy) if needs.log_flow else None
    state_log_reward = log_stop = None
    if needs.stop:
        assert env.stop_action is not None  # refused by the objective otherwise
        log_stop = log_prob[:, env.stop_action][index]
        state_log_reward = env.target_log_reward(states, given)[index]
    scores = log_symmetry = divergence = None
    if needs.scores:
        scores, log_symmetry = scores_of(env, trajectories)
    if needs.backward_divergence:
        divergence = _backward_divergence(env, policy, output, states)
        divergence = divergence[index[:, 1:]].where(trajectories.moves, 0.0)
    return FlowTerms(
        log_pf=log_pf,
        log_pb=backward,
        log_reward=trajectories.log_reward,
        length=trajectories.length,
        stopped=trajectories.stopped,
        log_flow=log_flow,
        log_inflow=log_inflow,
        log_outflow=log_outflow,
        state_log_reward=state_log_reward,
        log_stop=log_stop,
        energy=energy,
        scores=scores,
        log_symmetry=log_symmetry,
        backward_divergence=divergence,
        condition=trajectories.condition,
        complete=trajectories.complete,
    )


def log_pb(
    env: Environment[Any], policy: BackwardNetwork, trajectories: Trajectories[Any]
) -> Tensor:
    """(B, T) log P_B of trajectories alone, with gradients; zero for stops and after the end."""
    if isinstance(env, ContinuousEnvironment):
        return kernel_log_pb(env, policy, trajectories)
    assert isinstance(env, DiscreteEnvironment)
    learned = None
    if policy.backward == "learned":
        given = trajectories.condition_of_states
        learned = policy.backward_logits(env, trajectories.states, given)
    dtype = torch.get_default_dtype() if learned is None else learned.dtype
    return _log_pb(env, policy, learned, dtype, trajectories, trajectories.moves)


def _of_actions(
    log_prob: Tensor, index: Tensor, actions: Tensor, classes: Tensor | None, exists: Tensor
) -> Tensor:
    """(B, T) entries of (N, A) `log_prob` at states `index` and `actions`; zero unless `exists`."""
    if classes is None:
        found = log_prob.view(-1)[index * log_prob.shape[1] + actions]
    else:
        rows = index.flatten()
        found = class_log_prob(log_prob[rows], classes[rows], actions.flatten(), exists.flatten())
        found = found.view(index.shape)
    return found.where(exists, 0.0)


def _log_pb(
    env: DiscreteEnvironment[Any],
    policy: BackwardNetwork,
    learned: Tensor | None,
    dtype: torch.dtype,
    trajectories: Trajectories[Any],
    moves: Tensor,
) -> Tensor:
    states, index = trajectories.states, trajectories.state_index[:, 1:]
    logits, mask, classes = backward_scores(env, policy, states, learned)
    if policy.backward == "uniform":
        value = uniform_log_prob(mask).to(dtype)
        return value[index].where(moves, 0.0)
    log_prob = masked_log_softmax(logits.to(dtype), mask)
    return _of_actions(log_prob, index, trajectories.backward_actions, classes, moves)


def _backward_divergence(
    env: DiscreteEnvironment[Any], policy: Policy, output: PolicyOutput, states: Any
) -> Tensor:
    """(N,) KL(uniform over distinct parents || P_B); meaningless at the source."""
    logits, mask, classes = backward_scores(env, policy, states, output.backward_logits)
    log_prob = masked_log_softmax(logits.to(output.forward_logits.dtype), mask)
    if classes is not None:
        log_prob = merge_classes(log_prob.masked_fill(~mask, -torch.inf), classes)
        mask = representatives(mask, classes)
    count = mask.sum(-1).clamp(min=1)
    return -log_prob.masked_fill(~mask, 0.0).sum(-1) / count - count.log()


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

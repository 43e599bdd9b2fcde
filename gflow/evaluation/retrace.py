"""Flow terms with gradients through the samples: trajectories as functions of the policy."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.continuous import ContinuousEnvironment
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy
from gflow.state import cat, tensors
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories


def retraced_terms(
    env: ContinuousEnvironment[Any], policy: Policy, trajectories: Trajectories[Any]
) -> FlowTerms:
    """The flow terms of trajectories of the policy itself, differentiable along their paths.

    The noise of each step is recovered from the trajectories under the laws as they are, and the
    trajectories are built again with it: the states are the same, and now functions of the
    policy's parameters. So are log P_F, log P_B and the log-reward. The noise is standard only if
    the trajectories were sampled by this very policy, without exploration.

    Args:
        env: An environment with `reparametrised` laws and trajectories of one length.
        policy: The policy that sampled the trajectories.
        trajectories: B whole trajectories.

    Raises:
        IncompatibleError: If the reward stops the gradient.
    """
    condition, count = trajectories.condition, len(trajectories)
    states = trajectories.states_at(0)
    session = policy.begin(env, count, condition)
    rows = torch.arange(count, device=trajectories.length.device)
    path, log_pf = [states], []
    for time in range(env.horizon):
        if session is not None:
            outputs = session(states, rows)
        else:
            outputs = policy.forward_logits(env, states, condition)
        law = env.law(states, outputs)
        states = law.retrace(trajectories.states_at(time + 1))
        log_pf.append(law.log_prob(states))
        path.append(states)

    after, back = cat(path[1:]), None
    if policy.backward == "learned":
        given = None if condition is None else condition.repeat(env.horizon, 1)
        back = policy.backward_logits(env, after, given)
    log_pb = env.backward_law(after, back).log_prob(cat(path[:-1]))
    table = torch.stack(log_pf, 1)
    return FlowTerms(
        log_pf=table,
        log_pb=log_pb.view(env.horizon, count).T.to(table.dtype),
        log_reward=_with_gradient(env, states, trajectories),
        length=trajectories.length,
        stopped=trajectories.stopped,
        condition=condition,
        complete=trajectories.complete,
        from_source=trajectories.from_source,
    )


def _with_gradient(
    env: ContinuousEnvironment[Any], objects: Any, trajectories: Trajectories[Any]
) -> Tensor:
    """(B,) the target log-rewards as they are known, with the gradient of the reward."""
    given = trajectories.condition
    value = env.reward(objects) if given is None else env.reward(objects, given)
    moves = any(part.requires_grad for part in tensors(objects))
    if moves and not value.requires_grad:
        raise IncompatibleError(
            f"{env.name}: the reward {env.reward!r} stops the gradient with respect to the object, "
            f"and the objective goes through it. Write the reward with differentiable torch "
            f"operations, or use tb, vargrad, db or subtb, which need its values only."
        )
    return trajectories.log_reward + (value - value.detach())

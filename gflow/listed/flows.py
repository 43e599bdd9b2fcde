"""Flows along the moves of all states at once, where children and parents are known by rows."""

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.movers import CHANCE
from gflow.errors import IncompatibleError
from gflow.listed.env import Listed
from gflow.masking import merge_classes, representatives
from gflow.policies.base import PolicyOutput
from gflow.terms import Needs


def edge_flows(env: Listed, output: PolicyOutput) -> tuple[Tensor, Tensor]:
    """(N,) log-flows into and out of each state, from logits that are log edge flows.

    The flow out of a finished object is meaningless here and is anchored by the caller.
    """
    logits, mask, tables = output.forward_logits, env.tables.mask, env.tables
    legal = mask | ~mask.any(-1, keepdim=True)
    edge = logits.masked_fill(~legal, -torch.inf)
    led = edge
    if tables.classes is not None:
        led = merge_classes(edge, tables.classes).gather(1, tables.classes)
    back = tables.back_mask
    if tables.back_classes is not None:
        back = representatives(back, tables.back_classes)
    flow = led.view(-1)[tables.parent * env.num_actions + tables.redo]
    flow = flow.masked_fill(~back, -torch.inf)
    flow = flow.masked_fill(~back.any(-1, keepdim=True), 0.0)
    return flow.logsumexp(-1), edge.logsumexp(-1)


def children(
    env: Listed, output: PolicyOutput, law: Categorical, index: Tensor, needs: Needs
) -> dict[str, Tensor]:
    """`child_log_flow` and `child_log_prob` of `FlowTerms`, with gradients.

    Args:
        env: The environment.
        output: Of the policy at all states.
        law: Of the next move at all states, whoever makes it.
        index: (B, T + 1) rows of the trajectories.
        needs: Says at which states, and whether each player has a flow.

    Raises:
        IncompatibleError: If the policy gives no log F.
    """
    learned = output.log_flow
    if learned is None:
        raise IncompatibleError(
            "The objective needs log F(s), and the policy was built without that head. Build the "
            "policy with log_flow=True."
        )
    legal, tables = law.distinct, env.tables
    if needs.children == "chance":
        here = torch.zeros_like(tables.terminal) if tables.mover is None else tables.mover == CHANCE
        legal = legal & here[:, None]
    prob = law.table().masked_fill(~legal, -torch.inf)
    if needs.flows(env) > 1:
        reward = env.player_log_reward(env.all)
    else:
        reward = env.target_log_reward(env.all)
    reward = reward.to(learned.dtype)
    if needs.energy:
        learned = learned + env.partial_log_reward(env.all).to(learned.dtype)
    wide = (len(learned), *[1] * (learned.dim() - 1))
    value = torch.where(tables.terminal.view(wide), reward, learned)
    flow = value[tables.child]
    if env.stop_action is not None:
        stops = torch.arange(env.num_actions, device=index.device) == env.stop_action
        flow = torch.where(stops.view(-1, *wide[1:]), reward[:, None], flow)
    flow = flow.masked_fill(~legal.view(*legal.shape, *wide[1:]), -torch.inf)
    at = index[:, :-1]
    return {"child_log_flow": flow[at], "child_log_prob": prob[at]}

"""The exact posterior of a sampler, where all states are listed."""

from typing import Any

import torch
from torch import Tensor

from gflow.exact.graph import ExactFlows, StateGraph, group_logsumexp
from gflow.state import take


def posterior_flows(
    graph: StateGraph[Any],
    log_prior: Tensor,
    log_stop: Tensor,
    condition: Tensor | None = None,
) -> ExactFlows:
    r"""The flows of the policy that samples objects in proportion to p_prior(x) R(x).

    With V(s) the mean of R over what the prior builds from s, the posterior's moves are

    .. math:: P_F(s' \mid s) = P_F^{prior}(s' \mid s)\, V(s') / V(s),

    and its flow through s is V(s) times the probability with which the prior comes there.

    Args:
        graph: All N states and E transitions.
        log_prior: (E,) log P_F of every transition under the prior.
        log_stop: (N,) log-probability with which it ends in each state, once there.
        condition: (1, C) that the reward reads, or None for that of the list.
    """
    objects = graph.objects
    given = graph.condition if condition is None else condition
    rows = None if given is None else given.expand(len(objects), -1)
    log_reward = graph.env.log_reward(take(graph.states, objects), rows, zero=True).double()
    ends = log_reward.new_full((len(graph),), -torch.inf)
    ends[objects] = log_reward + log_stop[objects]
    value = ends.clone()
    for edges in reversed(graph.levels):
        parents, inverse = torch.unique(graph.parent[edges], return_inverse=True)
        behind = value[graph.child[edges]] + log_prior[edges]
        total = group_logsumexp(behind, inverse, len(parents))
        value[parents] = torch.logaddexp(value[parents], total)
    reached = torch.full_like(value, -torch.inf)
    reached[0] = 0
    reached = graph.summed_over_paths(reached, log_prior)
    log_pf = log_prior + value[graph.child] - value[graph.parent]
    back = reached[graph.parent] + log_prior - reached[graph.child]
    return ExactFlows(
        reached + value,
        log_pf.where(value[graph.child] > -torch.inf, -torch.inf),
        back.where(reached[graph.child] > -torch.inf, -torch.inf),
        (ends - value).where(ends > -torch.inf, -torch.inf),
        float(value[0]),
    )

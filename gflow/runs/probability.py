"""How likely a trained sampler is to give an object."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gflow.environment.discrete import require_numbered
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph, group_logsumexp
from gflow.metrics import log_likelihood
from gflow.policies.base import Policy
from gflow.state import take

if TYPE_CHECKING:
    from gflow.runs.trained import Trained


@torch.no_grad()
def log_prob(
    trained: "Trained", objects: Any, condition: Tensor | None, trajectories: int, seed: int
) -> Tensor:
    """(B,) float64 log-probabilities of objects; see `Trained.log_prob`."""
    graph, env = trained.context.graph, trained.env
    if not env.has_backward:
        raise IncompatibleError(
            f"{env.name} has no moves back, so nothing says by which trajectories an object is "
            f"reached, and its probability cannot be had. Count a sample: trained.sample(n)."
        )
    if graph is not None and graph.env is env and condition is None:
        return exact_log_prob(graph, trained.policy, objects)
    return log_likelihood(
        env,
        trained.policy,
        objects,
        trajectories,
        condition=condition,
        generator=torch.Generator(trained.device).manual_seed(seed),
        sampler=trained.sampler,
    ).log_prob


def exact_log_prob(graph: StateGraph[Any], policy: Policy, objects: Any) -> Tensor:
    """(B,) float64 exact log-probabilities of objects whose states are listed.

    Those of all finished states that stand for one object together.

    Raises:
        IncompatibleError: If one is not among those listed.
    """
    env = require_numbered(graph.env, "log_prob", "Its states cannot be listed.")
    law = graph.terminal_distribution(policy)
    keys, inverse = torch.unique(
        env.object_key(take(graph.states, graph.objects)), return_inverse=True
    )
    total = group_logsumexp(law, inverse, len(keys))
    wanted = env.object_key(objects)
    place = torch.searchsorted(keys, wanted.contiguous()).clamp(max=len(keys) - 1)
    wrong = (keys[place] != wanted).nonzero()
    if len(wrong):
        raise IncompatibleError(
            f"log_prob: {env.shown(objects, int(wrong[0]))} is no finished object of {env.name}."
        )
    return total[place]

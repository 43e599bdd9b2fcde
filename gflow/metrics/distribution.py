"""Distances between distributions over the X objects of an enumerable environment.

A distribution is given by its (X,) log-probabilities, -inf for impossible objects, natural
logarithms: `StateGraph.terminal_distribution` of a policy, `StateGraph.log_target`, or
`empirical_distribution` of samples.
"""

import math
from typing import TypeVar

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import check_numbers, check_shapes, checked
from gflow.errors import ConfigError
from gflow.exact.graph import StateGraph
from gflow.state import take

S = TypeVar("S")

NORMALIZED = 1e-4
"""Probabilities may miss a total of 1 by this much: float32 policies do, rewards do not."""


def l1(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Sum of absolute differences, :math:`\sum_x |p(x) - q(x)|`, in [0, 2].

    Args:
        log_p: (X,) log-probabilities.
        log_q: (X,) log-probabilities.

    Returns:
        () float64.

    Example:
        >>> p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log()
        >>> l1(p, q).item(), mean_l1(p, q).item(), total_variation(p, q).item()
        (1.0, 0.5, 0.5)
    """
    p, q = _distributions("l1", log_p, log_q)
    return (p.exp() - q.exp()).abs().sum()


def mean_l1(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""The "L1 error" that papers print: :math:`|X|^{-1} \sum_x |p(x) - q(x)|`, `l1` over X."""
    return l1(log_p, log_q) / log_p.shape[0]


def total_variation(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Largest difference in the probability of any event, :math:`\frac12 \sum_x |p - q|`."""
    return l1(log_p, log_q) / 2


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence :math:`\sum_x p(x) (\log p(x) - \log q(x))` of p from q.

    Objects with p = 0 contribute nothing, whatever q is; it is infinite if q = 0 where p > 0.
    An empirical distribution that missed an object therefore only makes sense as p.

    Args:
        log_p: (X,) log-probabilities of the distribution under which the mean is taken.
        log_q: (X,) log-probabilities of the other.

    Returns:
        () float64, not negative up to rounding.
    """
    p, q = _distributions("kl", log_p, log_q)
    possible = p > -torch.inf
    return (p.exp() * (p - q)).where(possible, 0.0).sum()


def jsd(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""Jensen-Shannon divergence, the mean of KL(p || m) and KL(q || m) with m = (p + q) / 2.

    Symmetric, in [0, log 2], finite whatever the supports.
    """
    p, q = _distributions("jsd", log_p, log_q)
    middle = torch.logaddexp(p, q) - math.log(2)
    middle = middle.where((p > -torch.inf) | (q > -torch.inf), -torch.inf)
    return (kl(p, middle) + kl(q, middle)) / 2


def entropy(log_p: Tensor) -> Tensor:
    r"""Shannon entropy :math:`-\sum_x p(x) \log p(x)` in nats, () float64."""
    (p,) = _distributions("entropy", log_p)
    return -(p.exp() * p).where(p > -torch.inf, 0.0).sum()


def expected_reward(log_p: Tensor, log_reward: Tensor) -> Tensor:
    r"""Exact mean reward :math:`E_p[R] = \sum_x p(x) R(x)`, () float64.

    Args:
        log_p: (X,) log-probabilities.
        log_reward: (X,) log R of the same objects, -inf where the reward is zero.
    """
    (p,) = _distributions("expected_reward", log_p)
    check_shapes("expected_reward", log_p=(log_p, "X"), log_reward=(log_reward, "X"))
    check_numbers("expected_reward", neg_inf=True, log_reward=log_reward)
    return (p + log_reward.double()).logsumexp(0).exp()


def empirical_distribution(graph: StateGraph[S], objects: S) -> Tensor:
    """Frequencies of sampled objects among all objects of the graph.

    Args:
        graph: All states, from `enumerate_states`.
        objects: B finished objects, repetitions included, e.g. `Trajectories.final_states`.

    Returns:
        (X,) float64 log-frequencies in the order of `graph.objects`; -inf for those never seen.

    Raises:
        IncompatibleError: If a state is not in the graph.
        ConfigError: If a state is in the graph and is not an object, or there are no objects.
    """
    rows = graph.rows(objects)
    if not len(rows):
        raise ConfigError(
            "empirical_distribution: there are no objects, so that no distribution is known."
        )
    if not bool(graph.can_end[rows].all()):
        row = int((~graph.can_end[rows]).nonzero()[0])
        which = graph.env.shown(objects, row)
        raise ConfigError(
            f"empirical_distribution: row {row}, the state {which}, is not a finished object of "
            f"{graph.env.name}. Pass `trajectories.final_states` of whole trajectories."
        )
    count = torch.bincount(rows, minlength=len(graph))[graph.objects].double()
    return (count / count.sum()).log()


@checked
def draw_objects(
    graph: StateGraph[S],
    count: Count,
    *,
    condition: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> S:
    """Independent objects from the exact target: the perfect sampler to compare with.

    Args:
        graph: All states.
        count: B.
        condition: (1, C) or None.
        generator: Source of randomness.
    """
    target = graph.log_target(condition).exp()
    chosen = torch.multinomial(target, count, replacement=True, generator=generator)
    return take(graph.states, graph.objects[chosen])


def _distributions(where: str, *given: Tensor) -> list[Tensor]:
    """Distributions in float64, refused where they are none."""
    names = ("log_p", "log_q")
    check_shapes(where, **{name: (log_p, "X") for name, log_p in zip(names, given, strict=False)})
    out = []
    for name, log_p in zip(names, given, strict=False):
        log_p = log_p.detach().double()
        total = float(log_p.exp().sum())
        if not abs(total - 1) < NORMALIZED:  # NaN fails too
            raise ConfigError(
                f"{where}: `{name}` must hold the logarithms of probabilities that sum to 1, and "
                f"they sum to {total:.6g}. Normalise log-rewards first: log_reward.log_softmax(0)."
            )
        out.append(log_p)
    return out

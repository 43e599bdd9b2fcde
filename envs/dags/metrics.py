"""What a posterior over graphs says about edges, paths and Markov blankets, and how true it is.

A posterior is N graphs, (N, d, d) bool, with (N,) log-weights: the exact one lists every graph,
samples are equally likely.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.checks import check_numbers, check_shapes
from gflow.envs.dags.env import reachable
from gflow.errors import ConfigError
from gflow.metrics import average_ranks, pearson


@dataclass(frozen=True)
class Marginals:
    """Probabilities of features of a random graph, (d, d) float64 each, the diagonal zero.

    Attributes:
        edge: i -> j is an edge.
        path: A directed path leads from i to j.
        blanket: i is in the Markov blanket of j: parent, child, or parent of a common child.
    """

    edge: Tensor
    path: Tensor
    blanket: Tensor

    @classmethod
    def of(cls, graphs: Tensor, log_weight: Tensor | None = None) -> "Marginals":
        """Marginals of a posterior.

        Args:
            graphs: (N, d, d) bool, without cycles.
            log_weight: (N,), normalised here; None for equal weights.
        """
        trivial = torch.eye(graphs.shape[-1], dtype=torch.bool, device=graphs.device)
        paths = reachable(graphs) & ~trivial
        features = (graphs, paths, markov_blankets(graphs))
        return cls(*(_mean(feature, log_weight) for feature in features))

    def correlations(self, other: "Marginals") -> dict[str, float]:
        """Pearson's correlation of each kind of marginal over the d (d - 1) ordered pairs."""
        return {
            name: float(pearson(off_diagonal(mine), off_diagonal(getattr(other, name))))
            for name, mine in vars(self).items()
        }


def markov_blankets(graphs: Tensor) -> Tensor:
    """(N, d, d) bool: i and j are joined, or both are parents of a third variable."""
    edges = graphs.double()
    together = edges @ edges.mT > 0
    blanket = graphs | graphs.mT | together
    return blanket & ~torch.eye(graphs.shape[-1], dtype=torch.bool, device=graphs.device)


def expected_shd(graphs: Tensor, truth: Tensor, log_weight: Tensor | None = None) -> float:
    """Expected structural Hamming distance to one graph.

    The distance is the number of pairs of variables that are joined differently: a missing, an
    additional and a reversed edge count one each.

    Args:
        graphs: (N, d, d) bool.
        truth: (d, d) bool.
        log_weight: (N,), or None for equal weights.
    """
    differs = graphs != truth
    pairs = (differs | differs.mT).triu(1)
    return float(_mean(pairs, log_weight).sum())


def expected_edges(graphs: Tensor, log_weight: Tensor | None = None) -> float:
    """Expected number of edges of (N, d, d) graphs."""
    return float(_mean(graphs, log_weight).sum())


def edge_auroc(edge: Tensor, truth: Tensor, diagonal: bool = False) -> float:
    """Area under the receiver operating characteristic of edge marginals.

    The probability that an edge of the true graph has a higher marginal than a pair that is none,
    ties counting half.

    Args:
        edge: (d, d) marginals.
        truth: (d, d) bool.
        diagonal: Count the d pairs (i, i), never an edge, as some published numbers do.

    Raises:
        ConfigError: If the true graph has no edge, or nothing else.
    """
    score, label = _labelled("edge_auroc", edge, truth, diagonal)
    positive, negative = int(label.sum()), int((~label).sum())
    rank = average_ranks(score)[label].sum()
    return float(rank - positive * (positive + 1) / 2) / (positive * negative)


def edge_average_precision(edge: Tensor, truth: Tensor, diagonal: bool = False) -> float:
    """Mean precision over the edges of the true graph, each at the threshold that just finds it.

    Arguments as for `edge_auroc`.
    """
    score, label = _labelled("edge_average_precision", edge, truth, diagonal)
    found = score >= score[label][:, None]  # (positive, pairs)
    return float((found & label).sum(1).div(found.sum(1)).mean())


def off_diagonal(matrix: Tensor) -> Tensor:
    """(d (d - 1),) entries of a (d, d) matrix."""
    return matrix[~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)]


def _labelled(name: str, edge: Tensor, truth: Tensor, diagonal: bool) -> tuple[Tensor, Tensor]:
    check_shapes(name, edge=(edge, "d d"), truth=(truth, "d d"))
    check_numbers(name, edge=edge)
    score, label = edge.detach().double(), truth.bool()
    score, label = (
        (score.flatten(), label.flatten())
        if diagonal
        else (off_diagonal(score), off_diagonal(label))
    )
    if bool(label.all()) or not bool(label.any()):
        raise ConfigError(
            f"{name}: the true graph has {int(label.sum())} edges of {len(label)} pairs; there is "
            f"nothing to tell apart. Use `expected_shd`."
        )
    return score, label


def _mean(feature: Tensor, log_weight: Tensor | None) -> Tensor:
    """(d, d) float64 mean of (N, d, d) bool features."""
    if log_weight is None:
        return feature.double().mean(0)
    check_shapes("log_weight", graphs=(feature, "N d d"), log_weight=(log_weight, "N"))
    check_numbers("log_weight", neg_inf=True, log_weight=log_weight)
    if not bool((log_weight > -torch.inf).any()):
        raise ConfigError("log_weight: all graphs have the weight 0, and so no mean.")
    weight = log_weight.detach().double().softmax(0)
    return torch.einsum("n,nij->ij", weight, feature.double())

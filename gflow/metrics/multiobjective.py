"""How well a set of score vectors covers a Pareto front; all scores are to be made large.

Shapes: N vectors of a sample, M of a reference front, K scores. Everything is computed in float64.
"""

import math
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.conditions.preferences import simplex_grid
from gflow.errors import ConfigError, MissingExtraError
from gflow.memory.pareto import non_dominated
from gflow.rewards.scalarizations import cosine_similarity

CHUNK = 2**22
"""Distances computed at a time."""


def hypervolume(scores: Tensor, reference: Tensor | float = 0.0) -> Tensor:
    r"""Volume of what lies below the sample and above a reference point.

    .. math:: \lambda\Big(\bigcup_i [r, u_i]\Big)

    One and two scores are summed here; for more the package moocore is asked.

    Args:
        scores: (N, K).
        reference: (K,) or one number; vectors that are not above it in every score add nothing.

    Returns:
        () float64.

    Raises:
        MissingExtraError: For three or more scores without moocore.

    Example:
        >>> hypervolume(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).item()
        3.0
    """
    num = check_shapes("hypervolume", scores=(scores, "N K"))["K"]
    points = scores.detach().double().cpu()
    low = torch.as_tensor(reference, dtype=torch.float64).cpu().expand(num)
    points = points[(points > low).all(-1)]
    if not len(points):
        return torch.zeros((), dtype=torch.float64)
    if num == 1:
        return (points.max() - low).squeeze(0)
    if num == 2:
        return _area(points - low)
    volume = _moocore().hypervolume(points.numpy(), ref=low.numpy(), maximise=True)
    return torch.tensor(float(volume), dtype=torch.float64)


def igd_plus(scores: Tensor, front: Tensor) -> Tensor:
    r"""Inverted generational distance plus: how far the front is from being covered.

    .. math:: \mathrm{IGD}^+ = \frac1M \sum_j \min_i \| \max(p_j - u_i, 0) \|_2

    Zero exactly if every vector of the front is equalled or dominated by one of the sample.

    Args:
        scores: (N, K) sample.
        front: (M, K) reference.

    Returns:
        () float64.

    Reference:
        Ishibuchi et al., Modified distance calculation in generational distance and inverted
        generational distance, 2015, https://doi.org/10.1007/978-3-319-15892-1_8
    """
    scores, front = _pair("igd_plus", scores, front)
    return _nearest(front, scores, lambda p, u: (p - u).clamp(min=0)).mean()


def gd_plus(scores: Tensor, front: Tensor) -> Tensor:
    r"""Generational distance plus: how far the sample is from the front.

    .. math:: \mathrm{GD}^+ = \frac1N \sum_i \min_j \| \max(p_j - u_i, 0) \|_2

    Args:
        scores: (N, K) sample.
        front: (M, K) reference.
    """
    scores, front = _pair("gd_plus", scores, front)
    return _nearest(scores, front, lambda u, p: (p - u).clamp(min=0)).mean()


def averaged_hausdorff(scores: Tensor, front: Tensor) -> Tensor:
    """The larger of `gd_plus` and `igd_plus`; papers print it as the Hausdorff distance."""
    return torch.maximum(gd_plus(scores, front), igd_plus(scores, front))


def hausdorff(scores: Tensor, front: Tensor) -> Tensor:
    r"""The Hausdorff distance of two sets: the largest Euclidean distance to the other set.

    .. math:: \max\big(\max_i \min_j \|u_i - p_j\|, \max_j \min_i \|u_i - p_j\|\big)
    """
    scores, front = _pair("hausdorff", scores, front)
    there = _nearest(scores, front, torch.sub).max()
    return torch.maximum(there, _nearest(front, scores, torch.sub).max())


def r2_indicator(
    scores: Tensor,
    ideal: Tensor | float = 1.0,
    weights: Tensor | None = None,
    norm: Literal["count", "frobenius"] = "count",
) -> Tensor:
    r"""Mean loss of the best vector by weighted Chebyshev distance from an ideal point.

    .. math:: R_2 = c^{-1} \sum_{v \in V} \min_i \max_k v_k |z_k - u_{ik}|

    Args:
        scores: (N, K) sample.
        ideal: (K,) or one number, z.
        weights: (V, K) trade-offs; by default all multiples of 1/4 on the simplex.
        norm: c. "count": V, a mean. "frobenius": the Frobenius norm of the weights, as released
            code of multi-objective GFlowNets divides.

    Reference:
        Hansen and Jaszkiewicz, Evaluating the quality of approximations to the non-dominated set,
        1998.
    """
    num = check_shapes("r2_indicator", scores=(scores, "N K"))["K"]
    _require_some("r2_indicator", scores)
    points = scores.detach().double()
    table = simplex_grid(num, 4) if weights is None else weights
    check_shapes("r2_indicator", scores=(scores, "N K"), weights=(table, "V K"))
    table = table.to(points)
    gap = (torch.as_tensor(ideal).to(points) - points).abs()
    loss: Tensor = (table[:, None] * gap).amax(-1).amin(-1).sum()
    match norm:
        case "count":
            return loss.div(len(table))
        case "frobenius":
            return loss.div(table.norm())
    raise ConfigError(f"r2_indicator: norm must be 'count' or 'frobenius', got {norm!r}.")


def pc_entropy(scores: Tensor, front: Tensor) -> Tensor:
    r"""How evenly the non-dominated vectors of a sample spread over a front, in nats.

    Each is counted for the nearest vector of the front; the entropy of these counts is largest,
    log M, if all are hit alike.

    Args:
        scores: (N, K) sample; repetitions count.
        front: (M, K) reference, or `unit_faces` if there is none.

    Reference:
        Roy et al., Goal-conditioned GFlowNets for controllable multi-objective molecular design,
        2023, https://arxiv.org/abs/2306.04620
    """
    scores, front = _pair("pc_entropy", scores, front)
    best = scores[non_dominated(scores)]
    nearest = torch.cdist(best, front, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    share = torch.bincount(nearest).double() / len(best)
    return -torch.xlogy(share, share).sum()


def focus_accuracy(scores: Tensor, direction: Tensor, cosine: float = 0.98) -> Tensor:
    """() float64 share of vectors within the cone asked for.

    Args:
        scores: (N, K).
        direction: (N, K) direction asked for with each, or (K,) one for all.
        cosine: Cosine at the edge of the cone.
    """
    check_shapes("focus_accuracy", scores=(scores, "N K"))
    _require_some("focus_accuracy", scores)
    wanted = direction.detach().double().expand(scores.shape)
    return (cosine_similarity(scores.detach().double(), wanted) >= cosine).double().mean()


def top_k(values: Tensor, k: int) -> Tensor:
    """() float64 mean of the k highest of (N,) values, repetitions included.

    `top_k_mean` counts each object once.

    Raises:
        ConfigError: If there are fewer than k.
    """
    count = check_shapes("top_k", values=(values, "N"))["N"]
    if not 1 <= k <= count:
        raise ConfigError(f"top_k: k must lie in 1 ... {count}, got {k}.")
    return values.detach().double().topk(k).values.mean()


def unit_faces(num_scores: int, per_dim: int = 10) -> Tensor:
    """(M, K) float64 grid on the upper faces of the unit cube: a reference where none is known.

    All vectors of `per_dim` equally spaced values in [0, 1] of which at least one is 1.
    """
    if num_scores < 1 or per_dim < 2:
        raise ConfigError(
            f"unit_faces: need num_scores >= 1 and per_dim >= 2, got {num_scores} and {per_dim}."
        )
    steps = [i / (per_dim - 1) for i in range(per_dim)]
    grid = torch.tensor(list(product(steps, repeat=num_scores)), dtype=torch.float64)
    return grid[(grid == 1).any(-1)]


def _area(points: Tensor) -> Tensor:
    """Of two scores above zero, from the largest first score down."""
    x, order = points[:, 0].sort(descending=True)
    height = points[order, 1].cummax(0).values  # reached by what lies at least this far out
    return (height * (x - torch.cat([x[1:], x.new_zeros(1)]))).sum()


def _moocore() -> Any:
    try:
        import moocore
    except ImportError as e:
        raise MissingExtraError("moocore", "moo", "The hypervolume of three or more scores") from e
    return moocore


def _pair(where: str, scores: Tensor, front: Tensor) -> tuple[Tensor, Tensor]:
    check_shapes(where, scores=(scores, "N K"), front=(front, "M K"))
    _require_some(where, scores)
    _require_some(where, front)
    return scores.detach().double(), front.detach().double().to(scores.device)


def _require_some(where: str, vectors: Tensor) -> None:
    if not len(vectors) or not math.isfinite(float(vectors.double().sum())):
        what = "an empty set" if not len(vectors) else "numbers that are not finite"
        raise ConfigError(f"{where}: got {what}; it needs at least one vector of finite scores.")


def _nearest(source: Tensor, target: Tensor, difference: Any) -> Tensor:
    """(N,) smallest length of `difference` between each of N vectors and any of M."""
    rows = max(1, CHUNK // target.numel())
    found = [difference(part[:, None], target).norm(dim=-1).amin(1) for part in source.split(rows)]
    return torch.cat(found)

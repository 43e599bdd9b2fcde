"""How well a set of score vectors covers a Pareto front; all scores are to be made large.

Shapes: N vectors of a sample, M of a reference front, K scores. Everything is computed in float64.
"""

from itertools import product
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from gflow.bounds import Bounds, Count
from gflow.checks import check_numbers, check_shapes, checked
from gflow.conditions.preferences import simplex_grid
from gflow.errors import ConfigError, MissingExtraError, ShapeError
from gflow.memory.pareto import non_dominated
from gflow.rewards.scalarizations import cosine_similarity

CHUNK = 2**22
"""Distances computed at a time."""
MOST_FACES = 10**7
"""Vectors on the faces of a unit cube, at most."""


def hypervolume(scores: Tensor, reference: Tensor | float = 0.0) -> Tensor:
    r"""Volume of what lies below the sample and above a reference point.

    .. math:: \lambda\Big(\bigcup_i [r, u_i]\Big)

    One and two scores are summed here; for more the package moocore is asked.

    Args:
        scores: (N, K), finite; without any the volume is 0.
        reference: (K,) or one number; vectors that are not above it in every score add nothing.

    Returns:
        () float64.

    Raises:
        ConfigError: If a score or the reference is NaN or infinite.
        MissingExtraError: For three or more scores without moocore.

    Example:
        >>> hypervolume(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).item()
        3.0
    """
    num = check_shapes("hypervolume", scores=(scores, "N K"))["K"]
    check_numbers("hypervolume", scores=scores)
    points = scores.detach().double().cpu()
    low = _corner("hypervolume", "reference", reference, num).cpu()
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

    Raises:
        ConfigError: If a number is NaN or infinite, weights are negative, or there are none.

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
    check_numbers("r2_indicator", weights=table)
    if not len(table) or bool((table < 0).any()):
        raise ConfigError(
            "r2_indicator: `weights` must be some trade-offs without negative entries, got "
            f"{len(table)} with a smallest entry of {float(table.min()) if len(table) else None}."
        )
    gap = (_corner("r2_indicator", "ideal", ideal, num).to(points) - points).abs()
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


@checked
def focus_accuracy(
    scores: Tensor, direction: Tensor, cosine: Annotated[float, Bounds(-1, 1)] = 0.98
) -> Tensor:
    """() float64 share of vectors within the cone asked for.

    Args:
        scores: (N, K).
        direction: (N, K) direction asked for with each, or (K,) one for all.
        cosine: Cosine at the edge of the cone.
    """
    num = check_shapes("focus_accuracy", scores=(scores, "N K"))["K"]
    _require_some("focus_accuracy", scores)
    shape = str(num) if direction.dim() == 1 else f"{len(scores)} {num}"
    check_shapes("focus_accuracy", direction=(direction, shape))
    check_numbers("focus_accuracy", direction=direction)
    wanted = direction.detach().double().expand(scores.shape)
    return (cosine_similarity(scores.detach().double(), wanted) >= cosine).double().mean()


@checked
def top_k(values: Tensor, k: Count) -> Tensor:
    """() float64 mean of the k highest of (N,) values, repetitions included.

    `top_k_mean` counts each object once.

    Raises:
        ConfigError: If there are fewer than k, or a value is NaN or inf.
    """
    count = check_shapes("top_k", values=(values, "N"))["N"]
    check_numbers("top_k", neg_inf=True, values=values)
    if k > count:
        raise ConfigError(f"top_k: k must lie in 1 ... {count}, got {k}.")
    return values.detach().double().topk(k).values.mean()


@checked
def unit_faces(num_scores: Count, per_dim: Annotated[int, Bounds(2)] = 10) -> Tensor:
    """(M, K) float64 grid on the upper faces of the unit cube: a reference where none is known.

    All vectors of `per_dim` equally spaced values in [0, 1] of which at least one is 1.
    """
    if num_scores > 64 or per_dim**num_scores > MOST_FACES:
        raise ConfigError(
            f"unit_faces: {per_dim} values of each of {num_scores} scores are more than "
            f"{MOST_FACES:,} vectors. Take fewer values, per_dim=2."
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
    _require_some(where, front, "front")
    return scores.detach().double(), front.detach().double().to(scores.device)


def _require_some(where: str, vectors: Tensor, name: str = "scores") -> None:
    if not vectors.numel():
        raise ConfigError(
            f"{where}: `{name}` is an empty set; it needs at least one vector of finite scores."
        )
    check_numbers(where, False, False, **{name: vectors})


def _corner(where: str, name: str, given: Tensor | float, num: int) -> Tensor:
    """(K,) float64 of a vector or one number for all scores."""
    point = torch.as_tensor(given, dtype=torch.float64).detach()
    if point.dim() and tuple(point.shape) != (num,):
        raise ShapeError(
            f"{where}: `{name}` must have shape ({num},), or be a number, got {tuple(point.shape)}."
        )
    check_numbers(where, False, False, **{name: point})
    return point.expand(num)


def _nearest(source: Tensor, target: Tensor, difference: Any) -> Tensor:
    """(N,) smallest length of `difference` between each of N vectors and any of M."""
    rows = max(1, CHUNK // target.numel())
    found = [difference(part[:, None], target).norm(dim=-1).amin(1) for part in source.split(rows)]
    return torch.cat(found)

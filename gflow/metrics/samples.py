"""What a set of samples holds: how many modes, how good, how different from each other."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import check_finite, check_numbers, check_shapes, checked
from gflow.errors import ConfigError, ShapeError
from gflow.state import batch_size, take

S = TypeVar("S")

ROUNDING = 1e-4
"""By so much a similarity in single precision may be outside of [0, 1]."""


class ModeCounter(Generic[S]):
    """Counts the distinct modes seen so far, over all batches it is shown.

    Args:
        is_mode: ``states -> (B,) bool``.
        label: ``states -> (B,) int64``, equal for states of one mode. `Environment.object_key`
            counts objects; on the hypergrid papers count regions, `corner_regions`.

    Example:
        >>> found = ModeCounter(lambda s: (s == 3).all(-1), lambda s: corner_regions(s, side=5))
        >>> found.update(torch.tensor([[3, 3], [3, 3], [0, 1]])), len(found)
        (1, 1)
    """

    def __init__(self, is_mode: Callable[[S], Tensor], label: Callable[[S], Tensor]) -> None:
        self.is_mode, self.label = is_mode, label
        self.seen: set[int] = set()

    def update(self, states: S) -> int:
        """Look at B finished objects; the number of modes that are new."""
        hit = self.is_mode(states)
        if tuple(hit.shape) != (batch_size(states),):
            raise ShapeError(
                f"ModeCounter: `is_mode` must return ({batch_size(states)},) bool, "
                f"got {tuple(hit.shape)}."
            )
        before = len(self.seen)
        if bool(hit.any()):
            rows = hit.nonzero().squeeze(1)
            self.seen.update(torch.unique(self.label(take(states, rows))).tolist())
        return len(self.seen) - before

    def __len__(self) -> int:
        return len(self.seen)


@checked
def corner_regions(states: Tensor, side: Count) -> Tensor:
    """(B,) int64 number of the orthant of a grid of given side that each cell lies in.

    The 2^dim regions of modes of the hypergrid's corner reward lie one in each orthant.

    Args:
        states: (B, dim) int64 cells.
        side: Values per coordinate.

    Raises:
        ConfigError: For more than 62 dimensions, whose orthants have no number of 64 bits.
    """
    dim = check_shapes("corner_regions", states=(states, "B dim"))["dim"]
    if dim > 62:
        raise ConfigError(
            f"corner_regions: the orthants of {dim} dimensions have no number of 64 bits, 62 at "
            f"most. Count those of some coordinates: states[:, :62]."
        )
    upper = (2 * states > side - 1).long()
    return (upper * 2 ** torch.arange(states.shape[1], device=states.device)).sum(-1)


def greedy_modes(
    scores: Tensor,
    threshold: float,
    similarity: Tensor | Callable[[int, list[int]], Tensor],
    cutoff: float = 0.7,
) -> list[int]:
    """Rows of objects that are good and unlike each other, chosen greedily from the best down.

    An object is accepted if its score is at least `threshold` and its similarity to every object
    accepted before is below `cutoff`. The number accepted is the "number of diverse modes". Equal
    scores are visited in their given order.

    Args:
        scores: (n,) rewards or scores; -inf for what is worth nothing. NaN is refused: it has no
            place in an order, and would hide what comes after it.
        threshold: Smallest score accepted; -inf for all.
        similarity: (n, n), or a function of a row and a list of accepted rows that returns its
            similarities to them, for when the table would be large.
        cutoff: An object this similar to an accepted one is not another mode.

    Returns:
        Accepted rows, best first.

    Raises:
        ConfigError: If a score or a similarity is NaN or inf, or a number is none.
    """
    check_shapes("greedy_modes", scores=(scores, "n"))
    check_numbers("greedy_modes", neg_inf=True, scores=scores)
    check_finite("greedy_modes", cutoff=cutoff)
    check_numbers("greedy_modes", neg_inf=True, threshold=torch.tensor(float(threshold)))
    if isinstance(similarity, Tensor):
        check_shapes("greedy_modes", scores=(scores, "n"), similarity=(similarity, "n n"))
        check_numbers("greedy_modes", similarity=similarity)
    accepted: list[int] = []
    for row in torch.argsort(scores, descending=True, stable=True).tolist():
        if not scores[row] >= threshold:
            break
        if accepted:
            if isinstance(similarity, Tensor):
                near = similarity[row, accepted]
            else:
                near = similarity(row, accepted)
                check_shapes("greedy_modes", similarity=(near, str(len(accepted))))
                check_numbers("greedy_modes", similarity=near)
            if not bool((near < cutoff).all()):
                continue
        accepted.append(row)
    return accepted


@checked
def top_k_mean(values: Tensor, keys: Tensor, k: Count = 100) -> Tensor:
    """() float64 mean value of the k best *distinct* objects, of all if there are fewer.

    Args:
        values: (n,) rewards or scores.
        keys: (n,) int64, equal for equal objects (`Environment.object_key`). Of these the best
            value counts.
        k: How many.
    """
    check_shapes("top_k_mean", values=(values, "n"), keys=(keys, "n"))
    check_numbers("top_k_mean", neg_inf=True, values=values)
    check_numbers("top_k_mean", keys=keys)
    if not len(values):
        raise ConfigError("top_k_mean: there are no objects.")
    groups: Tensor = torch.unique(keys, return_inverse=True)[1]
    best = values.new_full((int(groups.max()) + 1,), -torch.inf, dtype=torch.float64)
    best = best.scatter_reduce(0, groups, values.detach().double(), "amax")
    return best.topk(min(k, len(best))).values.mean()


def hamming_distances(sequences: Tensor) -> Tensor:
    """(n, n) float64 number of positions in which each two of (n, length) sequences differ."""
    check_shapes("hamming_distances", sequences=(sequences, "n length"))
    check_numbers("hamming_distances", sequences=sequences)
    codes = sequences.double()
    return torch.cdist(codes, codes, p=0)


def mean_pairwise_distance(distances: Tensor) -> Tensor:
    r"""() float64 mean over pairs, :math:`\frac{2}{n(n-1)} \sum_{i<j} d_{ij}`.

    Args:
        distances: (n, n) symmetric; the diagonal is not read.

    Raises:
        ConfigError: For fewer than two objects, which have no pair, or distances that are not
            finite.

    Example:
        >>> mean_pairwise_distance(hamming_distances(torch.tensor([[0], [1]]))).item()
        1.0
    """
    n = check_shapes("mean_pairwise_distance", distances=(distances, "n n"))["n"]
    if n < 2:
        raise ConfigError(f"mean_pairwise_distance: needs at least two objects, got {n}.")
    i, j = torch.triu_indices(n, n, offset=1, device=distances.device)
    table = distances.detach().double()
    check_numbers("mean_pairwise_distance", distances=table.clone().fill_diagonal_(0))
    return table[i, j].mean()


def diversity(similarities: Tensor) -> Tensor:
    """() float64 one minus the mean similarity over pairs.

    Args:
        similarities: (n, n) symmetric, in [0, 1], such as Tanimoto's.

    Raises:
        ConfigError: If a similarity lies outside of [0, 1] by more than rounding.
    """
    check_shapes("diversity", similarities=(similarities, "n n"))
    if bool(((similarities < -ROUNDING) | (similarities > 1 + ROUNDING)).any()):
        raise ConfigError(
            f"diversity: similarities must lie in [0, 1], got {float(similarities.min()):.4g} to "
            f"{float(similarities.max()):.4g}. Of distances take `mean_pairwise_distance`."
        )
    return mean_pairwise_distance(1 - similarities.detach().double())


def mean_reward_accuracy(mean_reward: Tensor | float, target: Tensor | float) -> Tensor:
    r"""() float64 :math:`100 \min(1, E_p[R] / E_\pi[R])`, per cent.

    It says nothing above the target: a sampler that collapsed on the best object scores 100.

    Args:
        mean_reward: Mean reward (not log) of the samples, or `expected_reward` of a distribution.
        target: E_pi[R], mean reward under the target.
    """
    return 100 * _ratio("mean_reward_accuracy", mean_reward, target).clamp(max=1)


def relative_mean_error(mean_reward: Tensor | float, target: Tensor | float) -> Tensor:
    r"""() float64 :math:`(E_p[R] - E_\pi[R]) / E_\pi[R]`, signed.

    Args:
        mean_reward: Mean reward (not log) of the samples.
        target: E_pi[R].
    """
    return _ratio("relative_mean_error", mean_reward, target) - 1


def unique_fraction(keys: Tensor) -> Tensor:
    """() float64 number of distinct (n,) keys over n."""
    n = check_shapes("unique_fraction", keys=(keys, "n"))["n"]
    check_numbers("unique_fraction", keys=keys)
    if n == 0:
        raise ConfigError("unique_fraction: there are no objects.")
    return torch.tensor(len(torch.unique(keys)) / n, dtype=torch.float64)


def _ratio(where: str, mean: Tensor | float, target: Tensor | float) -> Tensor:
    a, b = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (mean, target))
    check_numbers(where, mean_reward=a, target=b)
    if not bool(b > 0):
        raise ConfigError(f"{where}: the target's mean reward must be positive, got {float(b)}.")
    if not bool((a >= 0).all()):
        raise ConfigError(
            f"{where}: a mean of rewards is not negative, got {float(a.min())}. Pass rewards, not "
            f"their logarithms."
        )
    return a / b

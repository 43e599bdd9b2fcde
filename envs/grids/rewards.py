r"""Rewards on the hypergrid.

All are functions of the integer cell through tables with one entry per coordinate value, so that
scoring is a gather and the partition function of a free-ending grid has a closed form where the
reward is a sum of products over coordinates.

a_i = |s_i / (side - 1) - 1/2| lies in [0, 1/2]; inequalities are strict.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from gflow.constants import constant
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

TIE = 1e-12


class GridReward(LogReward[Tensor]):
    """A reward on cells of a grid of given side.

    Attributes:
        side: Values per coordinate.
    """

    has_partial = True
    side: int

    @abstractmethod
    def value(self, states: Tensor) -> Tensor:
        """(B,) float64 reward R of (B, dim) cells."""

    def log_partition(self, dim: int) -> float | None:
        """Log of the sum over all side^dim cells, if known in closed form."""
        return None

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self.value(states).log().to(torch.get_default_dtype())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(side={self.side})"


class _Products(GridReward):
    """constant + sum over k of weight_k prod_i table_k[s_i]."""

    def __init__(self, side: int, constant: float, weights: list[float], tables: Tensor) -> None:
        self.side, self.constant = side, constant
        self._tables = tables.double()  # (K, side)
        self._weights = torch.tensor(weights, dtype=torch.float64)

    def value(self, states: Tensor) -> Tensor:
        """(B,) the sum of products."""
        device = states.device
        tables, weights = constant(self._tables, device), constant(self._weights, device)
        return weights @ tables[:, states].prod(-1) + self.constant

    def log_partition(self, dim: int) -> float | None:
        """log(constant side^dim + sum_k weight_k (sum of table_k)^dim)."""
        terms = [(self.constant, dim * math.log(self.side))]
        for weight, table in zip(self._weights.tolist(), self._tables, strict=True):
            total = float(table.sum())
            if total:
                terms.append((weight, dim * math.log(total)))
        return log_sum(terms)


def log_sum(terms: list[tuple[float, float]]) -> float:
    """Log of a positive sum of weight e^x for pairs (weight, x): e^x may be beyond all floats.

    Example:
        >>> log_sum([(3.0, 1000.0), (-1.0, 1000.0)]) == 1000 + math.log(2)
        True
    """
    top = max(x for _, x in terms)
    return top + math.log(sum(weight * math.exp(x - top) for weight, x in terms))


def _distance(side: int) -> Tensor:
    return (torch.arange(side, dtype=torch.float64) / (side - 1) - 0.5).abs()


def _between(a: Tensor, low: float, high: float = math.inf) -> Tensor:
    return (a > low + TIE) & (a < high - TIE)


def _require(name: str, positive: dict[str, float]) -> None:
    for key, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{name}: {key} must be positive, got {value}.")


class Corners(_Products):
    """R0 + R1 [all a_i > 0.25] + R2 [all 0.3 < a_i < 0.4]: 2^dim regions of modes.

    The usual settings are 0.1 / 0.5 / 2 (easy) and 1e-4 / 1 / 3 (hard).

    Args:
        side: Values per coordinate.
        r0: Reward everywhere.
        r1: Reward of the outer ring.
        r2: Reward of the modes.

    Reference:
        Bengio et al., 2021, https://arxiv.org/abs/2106.04399
    """

    def __init__(self, side: int, r0: float = 0.1, r1: float = 0.5, r2: float = 2.0) -> None:
        _require("Corners", {"r0": r0})
        a = _distance(side)
        self.top = r0 + r1 + r2
        tables = torch.stack([_between(a, 0.25), _between(a, 0.3, 0.4)])
        super().__init__(side, r0, [r1, r2], tables)

    def is_mode(self, states: Tensor) -> Tensor:
        """(B,) bool: the reward is the highest, R0 + R1 + R2."""
        return self.value(states) >= self.top - TIE


class Cosine(_Products):
    """R0 + R1 prod (cos(50 a_i) + 1) N(5 a_i), N the standard normal density."""

    def __init__(self, side: int, r0: float = 0.1, r1: float = 0.5) -> None:
        _require("Cosine", {"r0": r0})
        a = _distance(side)
        table = ((50 * a).cos() + 1) * (-((5 * a) ** 2) / 2).exp() / math.sqrt(2 * math.pi)
        super().__init__(side, r0, [r1], table[None])


class CosineProduct(_Products):
    """prod (cos(50 x_i) + 1) N(5 x_i) + 0.01 with x = 2 s / (side - 1) - 1."""

    def __init__(self, side: int) -> None:
        x = 2 * torch.arange(side, dtype=torch.float64) / (side - 1) - 1
        table = ((50 * x).cos() + 1) * (-((5 * x) ** 2) / 2).exp() / math.sqrt(2 * math.pi)
        super().__init__(side, 0.01, [1.0], table[None])


class Deceptive(_Products):
    """R0 + R1 - R1 [all a_i > 0.1] + R2 [all 0.3 < a_i < 0.4]: the middle pulls away from modes."""

    def __init__(self, side: int, r0: float = 1e-5, r1: float = 0.1, r2: float = 2.0) -> None:
        _require("Deceptive", {"r0": r0})
        a = _distance(side)
        tables = torch.stack([_between(a, 0.1), _between(a, 0.3, 0.4)])
        super().__init__(side, r0 + r1, [-r1, r2], tables)


class Sparse(GridReward):
    """1 on permutations of ones and values side - 2 (at least one of these), else `epsilon`.

    Reference:
        Pan et al., Generative Augmented Flow Networks, 2022, https://arxiv.org/abs/2210.03308
    """

    def __init__(self, side: int, epsilon: float = 1e-12) -> None:
        _require("Sparse", {"epsilon": epsilon})
        if side < 3:
            raise ConfigError(f"Sparse: needs side >= 3 for a value side - 2 >= 1, got {side}.")
        self.side, self.epsilon = side, epsilon

    def value(self, states: Tensor) -> Tensor:
        """(B,) 1 or epsilon."""
        far = states == self.side - 2
        hit = (far | (states == 1)).all(-1) & far.any(-1)
        return torch.where(hit, 1.0, self.epsilon).double()

    def log_partition(self, dim: int) -> float | None:
        """2^dim - 1 cells of reward 1 (one, if side - 2 is 1 itself)."""
        low = [(1.0, 0.0)] if self.side == 3 else [(1.0, dim * math.log(2)), (-1.0, 0.0)]
        hits = [(weight * (1 - self.epsilon), x) for weight, x in low]
        return log_sum([(self.epsilon, dim * math.log(self.side)), *hits])


class MultiScale(GridReward):
    r"""R0 + sum_t w_t [tiers 0 ... t pass]: large grids with structure at every scale and known Z.

    Coordinates are read as `levels` digits of base `base`, most significant first; tier t passes
    if in every coordinate ``(digit_t + digit_{t-1}) mod base < base / 2``. Half of the digits pass
    whatever came before, so the number of cells that pass the first T tiers is
    (base/2)^(T dim) base^((levels - T) dim).

    Args:
        levels: Number of digits; side = base^levels.
        weights: One per tier, by default 1.
        r0: Reward everywhere.
        base: Even.
    """

    def __init__(
        self, levels: int = 3, weights: tuple[float, ...] = (), r0: float = 1e-3, base: int = 4
    ) -> None:
        _require("MultiScale", {"r0": r0, "levels": levels})
        if base < 2 or base % 2:
            raise ConfigError(f"MultiScale: base must be even and at least 2, got {base}.")
        weights = weights or (1.0,) * levels
        if len(weights) != levels:
            raise ConfigError(f"MultiScale: need {levels} weights, got {len(weights)}.")
        self.side, self.levels, self.base, self.r0 = base**levels, levels, base, r0
        values = torch.arange(self.side)
        digits = torch.stack([values // base**p % base for p in reversed(range(levels))])
        before = torch.cat([torch.zeros_like(digits[:1]), digits[:-1]])
        passes = (digits + before) % base < base // 2
        self._passes = passes.long().cumprod(0).bool()  # (levels, side): tiers 0..t pass
        self._weights = torch.tensor(weights, dtype=torch.float64)

    def value(self, states: Tensor) -> Tensor:
        """(B,) R0 plus the weights of the tiers passed."""
        passed = self._passes.to(states.device)[:, states].all(-1).double()  # (levels, B)
        return self._weights.to(states.device) @ passed + self.r0

    def log_partition(self, dim: int) -> float | None:
        """log(R0 side^dim + sum_t w_t modes_t)."""
        half, base = math.log(self.base // 2), math.log(self.base)
        terms = [(self.r0, dim * math.log(self.side))]
        for tier, weight in enumerate(self._weights.tolist(), start=1):
            terms.append((weight, dim * (tier * half + (self.levels - tier) * base)))
        return log_sum(terms)


class Independent(GridReward):
    r"""log R = the sum of a number for each coordinate and its value: for grids of any dimension.

    Coordinates are independent under the target, so that log Z and all marginals are known however
    large the grid is, and log R is a float where R is none.

    Args:
        side: Values per coordinate.
        dim: Number of coordinates.
        spread: Standard deviation of the numbers.
        seed: Of the numbers.
    """

    def __init__(self, side: int, dim: int, spread: float = 1.0, seed: int = 0) -> None:
        _require("Independent", {"spread": spread})
        self.side, self.dim = side, dim
        generator = torch.Generator().manual_seed(seed)
        self._table = torch.randn(dim, side, generator=generator, dtype=torch.float64) * spread

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        coordinate = torch.arange(self.dim, device=states.device)
        value = constant(self._table, states.device)[coordinate, states].sum(-1)
        return value.to(torch.get_default_dtype())

    def value(self, states: Tensor) -> Tensor:
        """(B,) R, which in many dimensions leaves the range of floats: log R is what counts."""
        return self(states).double().exp()

    def marginals(self) -> Tensor:
        """(dim, side) float64 probabilities of the values of each coordinate under the target."""
        return self._table.softmax(-1)

    def log_partition(self, dim: int) -> float | None:
        """Sum over coordinates of logsumexp over values."""
        return float(self._table.logsumexp(-1).sum())


class Landscape(GridReward):
    """A test function of optimisation on a two-dimensional grid, all to be maximised.

    Names: branin, currin, shubert, beale, sphere; with x, y in [-1, 1].

    Args:
        side: Values per coordinate.
        weights: Weight of each function by name; their weighted sum is R.
        floor: Added to R, which may reach zero.
    """

    def __init__(
        self, side: int, weights: dict[str, float] | None = None, floor: float = 1e-6
    ) -> None:
        weights = {"branin": 1.0} if weights is None else weights
        unknown = set(weights) - set(LANDSCAPES)
        if unknown:
            raise ConfigError(
                f"Landscape: unknown function {sorted(unknown)[0]!r}; known: "
                f"{', '.join(LANDSCAPES)}."
            )
        self.side, self.weights, self.floor = side, weights, floor

    def value(self, states: Tensor) -> Tensor:
        """(B,) weighted sum of the functions."""
        if states.shape[1] != 2:
            raise ConfigError(f"Landscape is defined for dim=2, got {states.shape[1]} coordinates.")
        scores = self.functions(states, list(self.weights))
        weights = torch.tensor(list(self.weights.values()), dtype=torch.float64)
        return (scores @ weights.to(states.device)).clamp(min=0) + self.floor

    def functions(self, states: Tensor, names: list[str]) -> Tensor:
        """(B, K) float64 values of the named functions."""
        x, y = (2 * states.double() / (self.side - 1) - 1).unbind(-1)
        return torch.stack([LANDSCAPES[name](x, y) for name in names], -1)


def branin(x: Tensor, y: Tensor) -> Tensor:
    """Branin's function, turned over and scaled to about [0, 1]."""
    a, b = 15 * (x / 2 + 0.5) - 5, 15 * (y / 2 + 0.5)
    bowl = b - 5.1 * a**2 / (4 * math.pi**2) + 5 * a / math.pi - 6
    return 1 - (bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * a.cos() + 10) / 308.13


def currin(x: Tensor, y: Tensor) -> Tensor:
    """Currin's exponential function, scaled to about [0, 1]."""
    a, b = x / 2 + 0.5, y / 2 + 0.5
    top = 2300 * a**3 + 1900 * a**2 + 2092 * a + 60
    bottom = 100 * a**3 + 500 * a**2 + 4 * a + 20
    return (1 - (-1 / (2 * b + 1e-10)).exp()) * top / bottom / 13.77


def shubert(x: Tensor, y: Tensor) -> Tensor:
    """Shubert's function, scaled to about [0, 1]."""

    def ripple(t: Tensor) -> Tensor:
        return sum((i * ((i + 1) * t + i).cos() for i in range(1, 6)), torch.zeros_like(t))

    return (ripple(-1.5 * x) * ripple(-1.5 * y) + 186.8) / 397


def beale(x: Tensor, y: Tensor) -> Tensor:
    """Beale's function scaled to about [0, 1]; as released, larger counts as better."""
    parts = [(1.5, 1), (2.25, 2), (2.625, 3)]
    total = sum(((c - x + x * y**p) ** 2 for c, p in parts), torch.zeros_like(x))
    return total / 38.8


def sphere(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared distance from the centre."""
    return (x**2 + y**2) / 2


LANDSCAPES = {
    "branin": branin,
    "currin": currin,
    "shubert": shubert,
    "beale": beale,
    "sphere": sphere,
}

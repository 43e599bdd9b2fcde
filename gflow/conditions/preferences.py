"""Conditions for several objectives: preferences among them, and directions to aim at."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gflow.conditions.draws import ConditionSampler, in_turns
from gflow.conditions.temperatures import GammaBeta
from gflow.conditions.thermometer import MarksBeside, Thermometer
from gflow.errors import ConfigError
from gflow.rewards.scalarizations import cosine_similarity
from gflow.trajectories import Trajectories


class DirichletPreferences(ConditionSampler):
    """K weights of sum 1 from a symmetric Dirichlet distribution, and beta if that is drawn too.

    Args:
        num_scores: K.
        alpha: Concentration; 1 is uniform on the simplex, more prefers the middle.
        beta: Draws a last column, or None for none.
        repeat: Each draw serves this many trajectories in a row; what is left over joins the last.

    Reference:
        Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765
    """

    def __init__(
        self, num_scores: int, alpha: float = 1.5, beta: GammaBeta | None = None, repeat: int = 1
    ) -> None:
        if num_scores < 1 or not alpha > 0 or repeat < 1:
            raise ConfigError(
                f"DirichletPreferences: need num_scores >= 1, alpha > 0 and repeat >= 1, got "
                f"{num_scores}, {alpha}, {repeat}."
            )
        self.num_scores, self.alpha, self.beta, self.repeat = num_scores, alpha, beta, repeat

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, K) or (count, K + 1)."""
        shape = (max(1, count // self.repeat), self.num_scores)
        alpha = torch.full(shape, self.alpha, device=_device(generator))
        parts = torch._standard_gamma(alpha, generator=generator)
        parts = parts.clamp(min=torch.finfo(parts.dtype).tiny)
        weights = parts / parts.sum(-1, keepdim=True)
        return _with_beta(weights, self.beta, generator)[in_turns(count, self.repeat, alpha.device)]

    def probes(self, count: int) -> Tensor:
        """(E, C) weights on a grid, with the median of beta."""
        return _with_median(finest_grid(self.num_scores, count), self.beta)


class UniformDirections(ConditionSampler):
    """Unit vectors without negative entries, uniform on that part of the sphere.

    Args:
        num_scores: K.
        beta: Draws a last column, or None for none.
        repeat: Each draw serves this many trajectories in a row; what is left over joins the last.
    """

    def __init__(self, num_scores: int, beta: GammaBeta | None = None, repeat: int = 1) -> None:
        if num_scores < 1 or repeat < 1:
            raise ConfigError(
                f"UniformDirections: need num_scores >= 1 and repeat >= 1, got {num_scores} and "
                f"{repeat}."
            )
        self.num_scores, self.beta, self.repeat = num_scores, beta, repeat

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, K) or (count, K + 1)."""
        shape = (max(1, count // self.repeat), self.num_scores)
        normal = torch.randn(shape, generator=generator, device=_device(generator)).abs()
        directions = nn.functional.normalize(normal, dim=-1)
        drawn = _with_beta(directions, self.beta, generator)
        return drawn[in_turns(count, self.repeat, normal.device)]

    def probes(self, count: int) -> Tensor:
        """(E, C) directions of a grid of weights, with the median of beta."""
        grid = finest_grid(self.num_scores, count)
        return _with_median(nn.functional.normalize(grid, dim=-1), self.beta)


class FocusTable(ConditionSampler):
    """Directions from a table that learns which of them objects can be found in.

    A direction that was asked for and in whose cone no object was ever seen is drawn less often.
    Give `observe` to the trainer as a callback.

    Args:
        directions: (N, K) directions to choose from, see `simplex_grid`.
        beta: Draws a last column, or None for none.
        cosine: Cosine at the edge of the cone around each direction.
        infeasible: Weight of a direction that was tried in vain, against 1 for all others.

    Attributes:
        tried: (N,) bool.
        reached: (N,) bool.

    Reference:
        Roy et al., Goal-conditioned GFlowNets for controllable multi-objective molecular design,
        2023, https://arxiv.org/abs/2306.04620
    """

    def __init__(
        self,
        directions: Tensor,
        beta: GammaBeta | None = None,
        cosine: float = 0.98,
        infeasible: float = 0.1,
    ) -> None:
        if directions.dim() != 2 or not bool((directions.norm(dim=-1) > 0).all()):
            raise ConfigError(
                f"FocusTable: directions must be (N, K) and none of them zero, got shape "
                f"{tuple(directions.shape)}."
            )
        if not (0 < cosine < 1 and 0 <= infeasible <= 1):
            raise ConfigError(
                f"FocusTable: cosine must lie in (0, 1) and infeasible in [0, 1], got {cosine} "
                f"and {infeasible}."
            )
        self.directions = nn.functional.normalize(directions, dim=-1)
        self.beta, self.cosine, self.infeasible = beta, cosine, infeasible
        self.tried = torch.zeros(len(directions), dtype=torch.bool)
        self.reached = torch.zeros(len(directions), dtype=torch.bool)

    @property
    def weights(self) -> Tensor:
        """(N,) how often each is drawn, up to a factor."""
        vain = self.tried & ~self.reached
        if self.infeasible == 0 and bool(vain.all()):
            return torch.ones(len(vain))
        return torch.where(vain, self.infeasible, 1.0)

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, K) or (count, K + 1)."""
        weights = self.weights.to(_device(generator))
        rows = torch.multinomial(weights, count, replacement=True, generator=generator)
        directions = self.directions.to(rows.device)[rows]
        return _with_beta(directions, self.beta, generator)

    def observe(self, trainer: Any, batch: Trajectories[Any], record: dict[str, float]) -> None:
        """Learn from the scores and the conditions of a training batch."""
        if batch.scores is None or batch.condition is None:
            raise ConfigError("FocusTable: the batch has no scores or no conditions to learn from.")
        table = self.directions.to(batch.scores)
        num = table.shape[1]
        self.reached |= (self._cosines(batch.scores, table) >= self.cosine).any(0).cpu()
        asked = self._cosines(batch.condition[:, :num].to(table), table)
        nearest = asked.max(-1)  # a relabelled direction need not be in the table
        self.tried[nearest.indices[nearest.values > 1 - 1e-5].cpu()] = True

    def state_dict(self) -> dict[str, Any]:
        """What was learned."""
        return {"tried": self.tried.clone(), "reached": self.reached.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.tried, self.reached = state["tried"].clone(), state["reached"].clone()

    @staticmethod
    def _cosines(vectors: Tensor, table: Tensor) -> Tensor:
        return cosine_similarity(vectors[:, None], table[None])


class PreferenceEncoder(MarksBeside):
    """Weights or a direction as they are, or as marks, and beta, if it is there, as marks.

    Args:
        num_scores: K.
        beta: Whether the condition ends with an inverse temperature.
        low: Smallest inverse temperature told apart.
        high: Largest.
        size: Number of marks of that.
        marks: Number of marks on [0, 1] of each weight; 0 reads weights as they are.
    """

    def __init__(
        self,
        num_scores: int,
        beta: bool = False,
        low: float = 0.0,
        high: float = 64.0,
        size: int = 32,
        marks: int = 0,
    ) -> None:
        super().__init__(
            num_scores,
            Thermometer(low, high, size) if beta else None,
            Thermometer(0.0, 1.0, marks) if marks else None,
        )


def simplex_grid(num_scores: int, partitions: int) -> Tensor:
    """(N, K) all vectors of multiples of 1 / `partitions` that are not negative and have sum 1.

    N = C(partitions + K - 1, K - 1). As weights they cover all trade-offs evenly, as directions all
    of the positive orthant.

    Example:
        >>> simplex_grid(2, 2).tolist()
        [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    if num_scores < 1 or partitions < 1:
        raise ConfigError(
            f"simplex_grid: need num_scores >= 1 and partitions >= 1, got {num_scores} and "
            f"{partitions}."
        )
    steps = torch.arange(partitions + 1)
    free = torch.cartesian_prod(*[steps] * (num_scores - 1)) if num_scores > 1 else steps[:0]
    free = free.view(-1 if num_scores > 1 else 1, num_scores - 1)
    free = free[free.sum(-1) <= partitions]
    last = partitions - free.sum(-1, keepdim=True)
    return torch.cat([free, last], -1).to(torch.get_default_dtype()) / partitions


def finest_grid(num_scores: int, count: int) -> Tensor:
    """The finest `simplex_grid` of at most `count` rows; the middle alone where none is so small.

    Example:
        >>> finest_grid(2, 4).tolist() == simplex_grid(2, 3).tolist()
        True
    """
    parts = 0
    while num_scores > 1 and math.comb(parts + num_scores, num_scores - 1) <= count:
        parts += 1
    if not parts:
        return torch.full((1, num_scores), 1 / num_scores)
    return simplex_grid(num_scores, parts)


def _device(generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")


def _with_median(values: Tensor, beta: GammaBeta | None) -> Tensor:
    if beta is None:
        return values
    return torch.cat([values, values.new_full((len(values), 1), beta.quantile(0.5))], -1)


def _with_beta(values: Tensor, beta: GammaBeta | None, generator: torch.Generator | None) -> Tensor:
    return values if beta is None else torch.cat([values, beta(len(values), generator)], -1)

"""How K scores, each to be made large, become one log-reward: fixed, by preference, or by goal.

Scores may lie near or at zero, where a logarithm is -inf: every scalarization here keeps log R
above `low`. The best scale for scores is [0, 1].
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from gflow.errors import ConfigError, ShapeError


class Scalarization(ABC):
    """(B, K) scores and (B, C) conditions or None to (B,) log R, row by row."""

    @abstractmethod
    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""

    def condition_dim(self, num_scores: int) -> int:
        """C for K scores, 0 if no condition is read."""
        return 0


class LogSum(Scalarization):
    """log R = beta log sum_k w_k u_k with fixed weights of sum 1, kept above `low`.

    Args:
        weights: (K,) positive, scaled to sum 1; None for equal ones.
        beta: Inverse temperature.
        low: Smallest log-reward.
    """

    def __init__(
        self, weights: Tensor | None = None, beta: float = 1.0, low: float = -75.0
    ) -> None:
        self.weights, self.beta, self.low = _fixed("LogSum", weights, beta), beta, low

    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return (self.beta * _log(_mean(scores, self.weights))).clamp(min=self.low)


class LogProduct(Scalarization):
    """log R = beta sum_k w_k log u_k with fixed weights of sum 1, kept above `low`.

    The geometric mean: an object that fails in one score fails.

    Args:
        weights: (K,) positive, scaled to sum 1; None for equal ones.
        beta: Inverse temperature.
        low: Smallest log-reward.
    """

    def __init__(
        self, weights: Tensor | None = None, beta: float = 1.0, low: float = -75.0
    ) -> None:
        self.weights, self.beta, self.low = _fixed("LogProduct", weights, beta), beta, low

    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return (self.beta * _mean(_log(scores), self.weights)).clamp(min=self.low)


class Preferences(Scalarization):
    r"""Preference conditioning, :math:`\log R = \beta \log \sum_k w_k u_k`, above `low`.

    The condition holds the K weights w, and as its last column beta unless that is fixed.

    Args:
        beta: Inverse temperature, or None to read it from the condition.
        low: Smallest log-reward.

    Reference:
        Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765
    """

    def __init__(self, beta: float | None = 1.0, low: float = -75.0) -> None:
        _require_beta("Preferences", beta)
        self.beta, self.low = beta, low

    def condition_dim(self, num_scores: int) -> int:
        """K, or K + 1 with beta."""
        return num_scores + (self.beta is None)

    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        weights, beta = _parts(self, self.beta, scores, condition)
        return (beta * _log((scores * weights).sum(-1))).clamp(min=self.low)


class Goals(Scalarization):
    r"""Goal conditioning: a reward for scores that point where the condition does, and none else.

    With c the cosine between the scores u and the direction, :math:`R = (\bar u\, c^\gamma)^\beta`
    inside the cone c >= `cosine` and :math:`\log R` = `low` outside, where gamma is such that the
    factor falls from 1 on the axis to `limit` at the edge of the cone.

    The condition holds the K entries of the direction, not negative and of any length, and as its
    last column beta unless that is fixed.

    Args:
        cosine: Cosine at the edge of the cone.
        limit: Factor of the reward there; 1 for none.
        beta: Inverse temperature, or None to read it from the condition.
        low: Log-reward outside the cone, and the smallest inside.

    Reference:
        Roy et al., Goal-conditioned GFlowNets for controllable multi-objective molecular design,
        2023, https://arxiv.org/abs/2306.04620
    """

    def __init__(
        self,
        cosine: float = 0.98,
        limit: float = 0.2,
        beta: float | None = 1.0,
        low: float = -75.0,
    ) -> None:
        _require_beta("Goals", beta)
        if not (0 < cosine < 1 and 0 < limit <= 1):
            raise ConfigError(
                f"Goals: cosine must lie in (0, 1) and limit in (0, 1], got {cosine} and {limit}."
            )
        self.cosine, self.limit, self.beta, self.low = cosine, limit, beta, low
        self.gamma = math.log(limit) / math.log(cosine)

    def condition_dim(self, num_scores: int) -> int:
        """K, or K + 1 with beta."""
        return num_scores + (self.beta is None)

    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        direction, beta = _parts(self, self.beta, scores, condition)
        near = cosine_similarity(scores, direction)
        value = beta * (_log(scores.mean(-1)) + self.gamma * _log(near))
        return value.clamp(min=self.low).where(near >= self.cosine, self.low)


class AtTemperature(Scalarization):
    """Another rule, its log R multiplied by beta, the last entry of the condition.

    Args:
        rule: The other; of a condition it reads what comes before beta.
    """

    def __init__(self, rule: Scalarization) -> None:
        self.rule = rule

    def condition_dim(self, num_scores: int) -> int:
        """One more than the other reads."""
        return self.rule.condition_dim(num_scores) + 1

    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        wanted = (len(scores), self.condition_dim(scores.shape[1]))
        if condition is None or tuple(condition.shape) != wanted:
            got = "none" if condition is None else f"shape {tuple(condition.shape)}"
            raise ShapeError(
                f"AtTemperature: needs conditions of shape {wanted} that end with an inverse "
                f"temperature, got {got}."
            )
        inner = condition[:, :-1] if condition.shape[1] > 1 else None
        return condition[:, -1].to(scores.dtype) * self.rule(scores, inner)


def cosine_similarity(scores: Tensor, direction: Tensor) -> Tensor:
    """(B,) cosine of the angle between (B, K) scores and directions; 0 where one is zero."""
    lengths = scores.norm(dim=-1) * direction.norm(dim=-1)
    cosine: Tensor = (scores * direction).sum(-1) / lengths.where(lengths > 0, 1.0)
    return cosine.clamp(max=1.0)


def _require_beta(where: str, beta: float | None) -> None:
    if beta is not None and not beta > 0:
        raise ConfigError(f"{where}: beta must be positive, got {beta}.")


def _fixed(where: str, weights: Tensor | None, beta: float) -> Tensor | None:
    """The weights, scaled to sum 1."""
    _require_beta(where, beta)
    if weights is None:
        return None
    if weights.dim() != 1 or not bool((weights > 0).all()):
        raise ConfigError(
            f"{where}: weights must be one positive number per score, got {weights.tolist()}."
        )
    return weights / weights.sum()


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return values.mean(-1)
    if len(weights) != values.shape[-1]:
        raise ShapeError(
            f"{values.shape[-1]} scores need as many weights, got {len(weights)}: "
            f"{weights.tolist()}."
        )
    return values @ weights.to(values)


def _parts(
    what: Scalarization, beta: float | None, scores: Tensor, condition: Tensor | None
) -> tuple[Tensor, Tensor | float]:
    """(B, K) weights or directions, and beta, () or (B,)."""
    name, num = type(what).__name__, scores.shape[-1]
    wanted = (len(scores), what.condition_dim(num))
    if condition is None or tuple(condition.shape) != wanted:
        got = "none" if condition is None else f"shape {tuple(condition.shape)}"
        raise ShapeError(
            f"{name}: {num} scores{' and beta' if beta is None else ''} need a condition of shape "
            f"{wanted}, got {got}. Draw conditions of that width, see "
            f"`gflow.conditions.preferences`, and set env.condition_dim = env.reward.condition_dim."
        )
    condition = condition.to(scores.dtype)
    return condition[:, :num], condition[:, num] if beta is None else beta


def _log(value: Tensor) -> Tensor:
    return value.clamp(min=torch.finfo(value.dtype).tiny).log()

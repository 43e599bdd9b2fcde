"""Inverse temperatures, drawn anew for every trajectory."""

import math

import torch
from torch import Tensor

from gflow.conditions.draws import ConditionSampler, UniformCondition, evenly, in_turns
from gflow.errors import ConfigError


class LogUniformCondition(UniformCondition):
    """One number per trajectory, its logarithm uniform: every ratio has its share.

    Args:
        low: Smallest value, positive.
        high: Largest value.
        repeat: Each draw serves this many trajectories in a row.
        levels: Draw from this many values of equal ratios instead of the whole interval.
    """

    def __init__(self, low: float, high: float, repeat: int = 1, levels: int | None = None) -> None:
        if not low > 0:
            raise ConfigError(f"LogUniformCondition: low must be positive, got {low}.")
        super().__init__(low, high, repeat, levels)

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 1) values."""
        value = super().__call__(count, generator)
        if self.high == self.low:
            return value
        return self.low * (self.high / self.low) ** ((value - self.low) / (self.high - self.low))

    def probes(self, count: int) -> Tensor:
        """(E, 1) of equal ratios, from the lowest to the highest."""
        return evenly(count, math.log(self.low), math.log(self.high)).exp()


class GammaBeta(ConditionSampler):
    """Inverse temperatures from a Gamma distribution.

    Args:
        shape: Shape parameter; the mean is shape * scale.
        scale: Scale parameter.
        repeat: Each draw serves this many trajectories in a row.
    """

    def __init__(self, shape: float = 16.0, scale: float = 1.0, repeat: int = 1) -> None:
        if not (shape > 0 and scale > 0) or repeat < 1:
            raise ConfigError(
                f"GammaBeta: shape and scale must be positive and repeat at least 1, got {shape}, "
                f"{scale}, {repeat}."
            )
        self.shape, self.scale, self.repeat = shape, scale, repeat

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 1) values."""
        device = generator.device if generator is not None else torch.device("cpu")
        shape = torch.full((max(1, count // self.repeat), 1), self.shape, device=device)
        value = self.scale * torch._standard_gamma(shape, generator=generator)
        return value[in_turns(count, self.repeat, device)]

    def probes(self, count: int) -> Tensor:
        """(E, 1) quantiles, from 5 % to 95 %."""
        shares = torch.linspace(0.05, 0.95, count).tolist()
        return torch.tensor([[self.quantile(share)] for share in shares])

    def quantile(self, share: float) -> float:
        """The value below which a share of all draws lies."""
        shape = torch.tensor(self.shape, dtype=torch.float64)
        low, high = 0.0, 1.0
        while float(torch.special.gammainc(shape, torch.tensor(high).double())) < share:
            high *= 2
        for _ in range(60):
            middle = (low + high) / 2
            below = float(torch.special.gammainc(shape, torch.tensor(middle).double()))
            low, high = (middle, high) if below < share else (low, middle)
        return self.scale * high


class BesideOwn(ConditionSampler):
    """What an environment is told already, followed by another condition.

    Args:
        own: Draws the first entries.
        draw: Draws the last ones, of which each of `own` gets its own.
    """

    def __init__(self, own: ConditionSampler, draw: ConditionSampler) -> None:
        self.own, self.draw = own, draw

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, C + 1); trajectories in a row that share the first part share all of it."""
        first = self.own(count, generator)
        other = self.draw(count, generator)
        _, group = torch.unique_consecutive(first, dim=0, return_inverse=True)
        start = torch.full_like(group, count).scatter_reduce(
            0, group, torch.arange(count, device=group.device), "amin"
        )
        return torch.cat([first.to(other.dtype), other[start[group]]], -1)

    def state_dict(self) -> dict[str, object]:
        """Of both."""
        return {"own": self.own.state_dict(), "draw": self.draw.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take back what `state_dict` gave."""
        self.own.load_state_dict(state["own"])  # type: ignore[arg-type]
        self.draw.load_state_dict(state["draw"])  # type: ignore[arg-type]

"""What all chains share: where they stand, how they accept, what they bring home."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.errors import ConfigError, ShapeError

Function = Callable[[Tensor], Tensor]
"""A log-density ``(B, d) -> (B,)`` or a score ``(B, d) -> (B, d)``."""


@dataclass(frozen=True)
class Place:
    """B points with what is known there.

    Attributes:
        x: (B, d).
        log_density: (B,).
        score: (B, d).
    """

    x: Tensor
    log_density: Tensor
    score: Tensor

    def moved(self, accept: Tensor, proposal: "Place") -> "Place":
        """The proposal in the rows of (B,) bool `accept`, this place in the others."""
        rows = accept[:, None]
        return Place(
            torch.where(rows, proposal.x, self.x),
            torch.where(accept, proposal.log_density, self.log_density),
            torch.where(rows, proposal.score, self.score),
        )


Kernel = Callable[[Place, Tensor], tuple[Place, Tensor]]
"""``(place, step_size) -> (proposal, (B,) log of the acceptance ratio)``."""


@dataclass(frozen=True)
class Chains:
    """B chains at their end.

    Attributes:
        final: (B, d) where they stand: draws of the target, if they ran long enough.
        log_density: (B,) there; not tempered.
        accepted: (N, d) every proposal accepted after burn-in, oldest first. A rejection does not
            repeat the point, so these are no draws of the target: they feed a replay buffer.
        accepted_log_density: (N,) not tempered.
        accepted_chain: (N,) int64 the chain, and so the row of its condition, of each.
        acceptance: () share accepted after burn-in.
        step_size: () the last one used.
    """

    final: Tensor
    log_density: Tensor
    accepted: Tensor
    accepted_log_density: Tensor
    accepted_chain: Tensor
    acceptance: Tensor
    step_size: Tensor


def look(log_density: Function, score: Function, x: Tensor) -> Place:
    """The place at (B, d) points, detached."""
    x = x.detach()
    return Place(x, log_density(x).detach(), score(x).detach())


def draw_acceptance(log_ratio: Tensor, generator: torch.Generator | None) -> Tensor:
    """(B,) bool: Metropolis and Hastings' choice. A ratio that is NaN is a rejection."""
    uniform = torch.rand(
        log_ratio.shape, generator=generator, dtype=log_ratio.dtype, device=log_ratio.device
    )
    return uniform.log() < log_ratio


def adapted(step_size: Tensor, accept: Tensor, target_acceptance: float, gain: float) -> Tensor:
    """A larger step if more were accepted than wanted, a smaller one if fewer; positive.

    Its logarithm rises by `gain` times what was accepted too much. Multiplying by a fixed factor
    instead, as published code does, circles around the right size and may be stopped anywhere.
    """
    surplus = accept.double().mean() - target_acceptance
    grown = step_size * (gain * surplus).exp().to(step_size)
    return grown.clamp(min=torch.finfo(step_size.dtype).tiny)


@torch.no_grad()
def run_chains(
    where: str,
    kernel: Kernel,
    place: Place,
    steps: int,
    burn_in: int,
    step_size: float,
    target_acceptance: float,
    adapt_steps: int | None,
    inverse_temperature: float,
    generator: torch.Generator | None,
) -> Chains:
    """Run B chains side by side; no step waits for the host.

    Args:
        where: Name of the caller, for messages.
        kernel: One proposal.
        place: Where the chains start, with tempered log-density and score.
        steps: In all, burn-in included.
        burn_in: First steps, of which nothing is kept.
        step_size: To begin with.
        target_acceptance: What adaptation aims at.
        adapt_steps: First steps that adapt; None means the burn-in.
        inverse_temperature: By which the log-density in `place` was multiplied.
        generator: Source of randomness, on the device of the points.
    """
    check_run(where, place.x, steps, burn_in, step_size, target_acceptance, inverse_temperature)
    adapt_steps = burn_in if adapt_steps is None else adapt_steps
    step = torch.as_tensor(step_size, dtype=place.x.dtype, device=place.x.device)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for number in range(steps):
        proposal, log_ratio = kernel(place, step)
        accept = draw_acceptance(log_ratio, generator)
        place = place.moved(accept, proposal)
        if number >= burn_in:
            found.append((proposal.x, proposal.log_density, accept))
        if number < adapt_steps:
            step = adapted(step, accept, target_acceptance, (1 + number / 10) ** -0.6)
    points, heights, accepts = (torch.stack(part) for part in zip(*found, strict=True))
    chain = torch.arange(len(place.x), device=place.x.device).expand(accepts.shape)
    return Chains(
        place.x,
        place.log_density / inverse_temperature,
        points[accepts],
        heights[accepts] / inverse_temperature,
        chain[accepts],
        accepts.double().mean(),
        step,
    )


def check_run(
    where: str,
    x: Tensor,
    steps: int,
    burn_in: int,
    step_size: float,
    target_acceptance: float,
    inverse_temperature: float,
) -> None:
    """Refuse what cannot be run.

    Raises:
        ShapeError: If the points are not (B, d).
        ConfigError: If a number is out of its range.
    """
    if x.ndim != 2 or not x.is_floating_point():
        raise ShapeError(f"{where}: `start` must be float (B, d), got {x.dtype} {tuple(x.shape)}.")
    if not 0 <= burn_in < steps:
        raise ConfigError(
            f"{where}: `burn_in` must be at least 0 and below `steps`, got {burn_in} of {steps}."
        )
    if not step_size > 0 or not inverse_temperature > 0 or not 0 < target_acceptance < 1:
        raise ConfigError(
            f"{where}: `step_size` and `inverse_temperature` must be positive and "
            f"`target_acceptance` in (0, 1), got {step_size}, {inverse_temperature} and "
            f"{target_acceptance}."
        )

"""Hamiltonian Monte Carlo with unit masses."""

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.mcmc.chains import Chains, Function, Kernel, Place, look, run_chains


def hmc(
    log_density: Function,
    score: Function,
    start: Tensor,
    steps: int = 200,
    burn_in: int = 100,
    step_size: float = 0.1,
    leapfrog_steps: int = 10,
    target_acceptance: float = 0.651,
    adapt_steps: int | None = None,
    inverse_temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Chains:
    """Long moves along the density's own dynamics, corrected for the error of integration.

    With one leapfrog step of size e it is the Langevin algorithm of step size e^2 / 2.

    Args:
        log_density: ``(B, d) -> (B,)``.
        score: ``(B, d) -> (B, d)``, its gradient.
        start: (B, d); not changed.
        steps: Per chain, burn-in included; each asks for `leapfrog_steps` scores.
        burn_in: First steps, whose proposals are not kept.
        step_size: e to begin with.
        leapfrog_steps: Per proposal.
        target_acceptance: Wanted rate.
        adapt_steps: Steps that adapt e, from the first; by default the burn-in.
        inverse_temperature: beta; the chains move on R^beta.
        generator: Source of randomness, on the device of `start`.

    Returns:
        Final points, and apart from them all accepted proposals after burn-in.

    Raises:
        ShapeError: If `start` is not (B, d).
        ConfigError: If a number is out of its range.

    Reference:
        Neal, MCMC using Hamiltonian dynamics, 2011, https://arxiv.org/abs/1206.1901
    """
    beta = inverse_temperature

    def value(x: Tensor) -> Tensor:
        return beta * log_density(x)

    def slope(x: Tensor) -> Tensor:
        return beta * score(x)

    return run_chains(
        "hmc",
        hamiltonian_kernel(value, slope, leapfrog_steps, generator),
        look(value, slope, start),
        steps,
        burn_in,
        step_size,
        target_acceptance,
        adapt_steps,
        beta,
        generator,
    )


def hamiltonian_kernel(
    log_density: Function, score: Function, leapfrog_steps: int, generator: torch.Generator | None
) -> Kernel:
    """One proposal with a fresh momentum.

    Raises:
        ConfigError: Without a leapfrog step.
    """
    if leapfrog_steps < 1:
        raise ConfigError(f"hmc: `leapfrog_steps` must be at least 1, got {leapfrog_steps}.")

    def kernel(place: Place, step: Tensor) -> tuple[Place, Tensor]:
        momentum = torch.randn(
            place.x.shape, generator=generator, dtype=place.x.dtype, device=place.x.device
        )
        x, after, slope = leapfrog(score, place.x, momentum, place.score, step, leapfrog_steps)
        proposal = Place(x, log_density(x).detach(), slope)
        kinetic = (momentum.square() - after.square()).sum(-1) / 2
        return proposal, proposal.log_density - place.log_density + kinetic

    return kernel


def leapfrog(
    score: Function, x: Tensor, momentum: Tensor, slope: Tensor, step: Tensor | float, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`count` steps of the leapfrog integrator, which is reversible and preserves volume.

    Args:
        score: ``(B, d) -> (B, d)``.
        x: (B, d) points.
        momentum: (B, d).
        slope: (B, d) score at the points.
        step: Step size.
        count: Number of steps.

    Returns:
        Points, momenta and scores at the end, (B, d) each.
    """
    for _ in range(count):
        momentum = momentum + step / 2 * slope
        x = x + step * momentum
        slope = score(x).detach()
        momentum = momentum + step / 2 * slope
    return x, momentum, slope

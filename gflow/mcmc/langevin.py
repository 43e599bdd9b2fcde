"""The Metropolis-adjusted Langevin algorithm."""

import torch
from torch import Tensor

from gflow.mcmc.chains import Chains, Function, Place, look, run_chains


def mala(
    log_density: Function,
    score: Function,
    start: Tensor,
    steps: int = 200,
    burn_in: int = 100,
    step_size: float = 0.01,
    target_acceptance: float = 0.574,
    adapt_steps: int | None = None,
    inverse_temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Chains:
    r"""Gradient steps with noise, corrected so that the target is left unchanged.

    .. math:: y = x + h \nabla \log R(x) + \sqrt{2h}\, z, \qquad z \sim N(0, I)

    Accepted with probability :math:`\min(1, R(y) q(x|y) / R(x) q(y|x))`. B chains run side by
    side with one step size h, which burn-in adapts to the wanted rate; then it is fixed, as the
    proof of invariance wants. `start` is not changed.

    Args:
        log_density: ``(B, d) -> (B,)``. For a conditional target, one that holds B conditions.
        score: ``(B, d) -> (B, d)``, its gradient.
        start: (B, d).
        steps: Per chain, burn-in included.
        burn_in: First steps, whose proposals are not kept.
        step_size: h to begin with.
        target_acceptance: Wanted rate; 0.574 is best in many dimensions.
        adapt_steps: Steps that adapt h, from the first; by default the burn-in. Papers that only
            fill a buffer adapt throughout: give `steps`.
        inverse_temperature: beta; the chains move on R^beta.
        generator: Source of randomness, on the device of `start`.

    Returns:
        Final points, and apart from them all accepted proposals after burn-in.

    Raises:
        ShapeError: If `start` is not (B, d).
        ConfigError: If a number is out of its range.

    Reference:
        Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
        approximations, 1996. As local search of diffusion samplers: Sendera et al., Improved
        off-policy training of diffusion samplers, 2024, https://arxiv.org/abs/2402.05098

    Example:
        >>> normal = lambda x: -x.square().sum(-1) / 2
        >>> seeded = torch.Generator().manual_seed(0)
        >>> found = mala(normal, torch.neg, torch.zeros(100, 1), generator=seeded)
        >>> bool(0.7 < found.final.std() < 1.3), bool(0.4 < found.acceptance < 0.8)
        (True, True)
    """
    beta = inverse_temperature

    def value(x: Tensor) -> Tensor:
        return beta * log_density(x)

    def slope(x: Tensor) -> Tensor:
        return beta * score(x)

    def kernel(place: Place, step: Tensor) -> tuple[Place, Tensor]:
        noise = torch.randn(
            place.x.shape, generator=generator, dtype=place.x.dtype, device=place.x.device
        )
        proposal = look(value, slope, place.x + step * place.score + (2 * step).sqrt() * noise)
        return proposal, langevin_log_ratio(place, proposal, step)

    return run_chains(
        "mala",
        kernel,
        look(value, slope, start),
        steps,
        burn_in,
        step_size,
        target_acceptance,
        adapt_steps,
        beta,
        generator,
    )


def langevin_log_ratio(here: Place, there: Place, step_size: Tensor | float) -> Tensor:
    r"""(B,) :math:`\log R(y) q(x|y) - \log R(x) q(y|x)` of moving from one place to another."""
    forth = (there.x - here.x - step_size * here.score).square().sum(-1)
    back = (here.x - there.x - step_size * there.score).square().sum(-1)
    return there.log_density - here.log_density + (forth - back) / (4 * step_size)

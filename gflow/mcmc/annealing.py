r"""log Z by a path of densities from a base that is known to the target.

The path is geometric, :math:`R_\beta = b^{1-\beta} R^{\beta}`, and a particle's weight gathers
:math:`(\beta_k - \beta_{k-1}) (\log R - \log b)` at every temperature. The mean weight is unbiased
for Z whatever the moves between are, as long as each leaves its own density unchanged; step sizes
are therefore tuned beforehand, on other particles, and then fixed.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from gflow.errors import ConfigError, IncompatibleError
from gflow.mcmc.chains import Function, Place, adapted, draw_acceptance, look
from gflow.mcmc.hamiltonian import hamiltonian_kernel
from gflow.mcmc.resampling import resample_rows

FIRST_MOVES = 20
"""Extra moves of a pilot at the first temperature, where the step size is not known at all."""

GAIN = 0.5
"""Of the pilot's adaptation; it does not fade, since the right size changes all the time."""


class Base(Protocol):
    """A density with exact draws and known log Z: `gflow.envs.targets.Gaussian`, for instance."""

    log_z: float | None

    def log_density(self, x: Tensor) -> Tensor:
        """(B,)."""

    def score(self, x: Tensor) -> Tensor:
        """(B, d)."""

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """(count, d)."""


@dataclass(frozen=True)
class Annealed:
    """B weighted particles at the target.

    Attributes:
        samples: (B, d).
        log_weight: (B,) of each particle; `systematic_resample` makes equal ones of them.
        log_z: () estimate of log Z; its exponential is unbiased.
        standard_error: () of `log_z`, from the spread of independent weights; NaN for particles
            that were resampled, and so depend on each other: repeat the run instead.
        ess: () effective sample size of the weights.
        acceptance: (K,) share of moves accepted at each temperature.
        step_size: (K,) that was used.
    """

    samples: Tensor
    log_weight: Tensor
    log_z: Tensor
    standard_error: Tensor
    ess: Tensor
    acceptance: Tensor
    step_size: Tensor


def annealed_importance_sampling(
    log_density: Function,
    score: Function,
    base: Base,
    count: int = 1000,
    temperatures: int | Tensor = 100,
    moves: int = 1,
    leapfrog_steps: int = 1,
    step_size: float | Tensor = 0.1,
    pilot: int = 200,
    target_acceptance: float = 0.6,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Annealed:
    """Independent particles annealed from the base to the target.

    Args:
        log_density: ``(B, d) -> (B,)`` of the target.
        score: ``(B, d) -> (B, d)``, its gradient.
        base: Where particles start; wider than the target, or modes are missed.
        count: B.
        temperatures: Number K of steps from 0 to 1, laid out as (k/K)^2 since the path moves
            fastest at first; or (K + 1,) rising from 0 to 1.
        moves: Hamiltonian moves at each temperature.
        leapfrog_steps: Of each move; one makes it a Langevin move.
        step_size: Of the integrator: to begin the tuning with, or (K,) or a number to use as it is
            if `pilot` is 0.
        pilot: Particles of a first run that tunes the step size of each temperature and is thrown
            away; 0 for none.
        target_acceptance: What tuning aims at.
        generator: Source of randomness; everything happens on its device.
        dtype: Precision, by default torch's default.

    Raises:
        ConfigError: If a number is out of its range.
        IncompatibleError: If the base's log Z is not known.

    Reference:
        Neal, Annealed importance sampling, 1998, https://arxiv.org/abs/physics/9803008
    """
    return _anneal(
        "annealed_importance_sampling", log_density, score, base, count, temperatures, moves,
        leapfrog_steps, step_size, pilot, target_acceptance, 0.0, generator, dtype,
    )  # fmt: skip


def tempered_smc(
    log_density: Function,
    score: Function,
    base: Base,
    count: int = 1000,
    temperatures: int | Tensor = 100,
    moves: int = 1,
    leapfrog_steps: int = 1,
    step_size: float | Tensor = 0.1,
    pilot: int = 200,
    target_acceptance: float = 0.6,
    resample_below: float = 0.5,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Annealed:
    """The same with resampling, which spends the particles where the mass is.

    Args:
        log_density: ``(B, d) -> (B,)`` of the target.
        score: ``(B, d) -> (B, d)``, its gradient.
        base: Where particles start.
        count: B.
        temperatures: As in `annealed_importance_sampling`.
        moves: Hamiltonian moves at each temperature.
        leapfrog_steps: Of each move.
        step_size: As in `annealed_importance_sampling`.
        pilot: Particles of a first run that tunes the step sizes; 0 for none.
        target_acceptance: What tuning aims at.
        resample_below: Resample, systematically, whenever the effective sample size falls below
            this share of B; 1 resamples at every temperature.
        generator: Source of randomness; everything happens on its device.
        dtype: Precision, by default torch's default.

    Raises:
        ConfigError: If a number is out of its range.
        IncompatibleError: If the base's log Z is not known.

    Reference:
        Del Moral, Doucet and Jasra, Sequential Monte Carlo samplers, 2006,
        https://arxiv.org/abs/cond-mat/0212648
    """
    if not 0 < resample_below <= 1:
        raise ConfigError(
            f"tempered_smc: `resample_below` must be in (0, 1], got {resample_below}."
        )
    return _anneal(
        "tempered_smc", log_density, score, base, count, temperatures, moves, leapfrog_steps,
        step_size, pilot, target_acceptance, resample_below, generator, dtype,
    )  # fmt: skip


@torch.no_grad()
def _anneal(
    where: str,
    log_density: Function,
    score: Function,
    base: Base,
    count: int,
    temperatures: int | Tensor,
    moves: int,
    leapfrog_steps: int,
    step_size: float | Tensor,
    pilot: int,
    target_acceptance: float,
    resample_below: float,
    generator: torch.Generator | None,
    dtype: torch.dtype | None,
) -> Annealed:
    if base.log_z is None:
        raise IncompatibleError(
            f"{where}: log Z of the base {base!r} is not known. Start from a Gaussian."
        )
    if count < 2 or moves < 1 or pilot < 0 or pilot == 1 or not 0 < target_acceptance < 1:
        raise ConfigError(
            f"{where}: needs count >= 2, moves >= 1, a pilot of 0 or at least 2 particles and "
            f"target_acceptance in (0, 1), got {count}, {moves}, {pilot} and {target_acceptance}."
        )
    betas = _schedule(where, temperatures)
    sizes = torch.as_tensor(step_size, dtype=torch.float64)
    if sizes.shape not in ((), (len(betas) - 1,)) or not bool((sizes > 0).all()):
        raise ConfigError(
            f"{where}: `step_size` must be positive, one number or ({len(betas) - 1},), got "
            f"{tuple(sizes.shape)} with a smallest of {float(sizes.min())}."
        )
    sizes = sizes.expand(len(betas) - 1)
    path = _Path(log_density, score, base, betas, moves, leapfrog_steps, resample_below)
    if pilot:
        start = base.sample(pilot, generator, dtype)
        sizes = path.run(start, sizes, target_acceptance, generator).step_size
    return path.run(base.sample(count, generator, dtype), sizes, None, generator)


def _schedule(where: str, temperatures: int | Tensor) -> list[float]:
    if isinstance(temperatures, int):
        if temperatures < 1:
            raise ConfigError(f"{where}: needs at least one temperature, got {temperatures}.")
        return [(k / temperatures) ** 2 for k in range(temperatures + 1)]
    betas = [float(beta) for beta in temperatures.tolist()]
    rising = all(a < b for a, b in pairwise(betas))
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not rising:
        raise ConfigError(f"{where}: `temperatures` must rise from 0 to 1, got {betas}.")
    return betas


@dataclass(frozen=True)
class _Path:
    log_density: Function
    score: Function
    base: Base
    betas: list[float]
    moves: int
    leapfrog_steps: int
    resample_below: float

    def run(
        self,
        x: Tensor,
        sizes: Tensor,
        target_acceptance: float | None,
        generator: torch.Generator | None,
    ) -> Annealed:
        """Anneal (B, d) draws of the base; with a `target_acceptance` tune the step sizes."""
        sizes = sizes.to(x)
        log_weight = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        log_z = log_weight.new_tensor(self.base.log_z)
        every = torch.arange(len(x), device=x.device)
        rates, used = [], []
        size = sizes[0]
        for k in range(1, len(self.betas)):
            beta, rise = self.betas[k], self.betas[k] - self.betas[k - 1]
            gain = (self.log_density(x) - self.base.log_density(x)).double()
            log_weight = log_weight + rise * gain
            if self.resample_below:
                few = _ess(log_weight) < self.resample_below * len(x)
                x = x[torch.where(few, resample_rows(log_weight, generator), every)]
                mean = log_weight.logsumexp(0) - math.log(len(x))
                log_z = torch.where(few, log_z + mean, log_z)
                log_weight = torch.where(few, 0.0, log_weight)
            if target_acceptance is None:
                size = sizes[k - 1]
            moves = self.moves
            if target_acceptance is not None and k == 1:
                moves = moves + FIRST_MOVES
            place, rate, size = self._move(x, beta, size, moves, target_acceptance, generator)
            x = place.x
            rates.append(rate)
            used.append(size)
        log_z = log_z + log_weight.logsumexp(0) - math.log(len(x))
        share = log_weight.softmax(0) * len(x)
        error = share.std() / math.sqrt(len(x))
        if self.resample_below:
            error = error.new_tensor(math.nan)
        return Annealed(
            x, log_weight, log_z, error, _ess(log_weight), torch.stack(rates), torch.stack(used)
        )

    def _move(
        self,
        x: Tensor,
        beta: float,
        size: Tensor,
        moves: int,
        target_acceptance: float | None,
        generator: torch.Generator | None,
    ) -> tuple[Place, Tensor, Tensor]:
        def value(x: Tensor) -> Tensor:
            return (1 - beta) * self.base.log_density(x) + beta * self.log_density(x)

        def slope(x: Tensor) -> Tensor:
            return (1 - beta) * self.base.score(x) + beta * self.score(x)

        kernel = hamiltonian_kernel(value, slope, self.leapfrog_steps, generator)
        place, total = look(value, slope, x), torch.zeros((), device=x.device)
        for _ in range(moves):
            proposal, log_ratio = kernel(place, size)
            accept = draw_acceptance(log_ratio, generator)
            place = place.moved(accept, proposal)
            total = total + accept.double().mean()
            if target_acceptance is not None:
                size = adapted(size, accept, target_acceptance, GAIN)
        return place, total / moves, size


def _ess(log_weight: Tensor) -> Tensor:
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()

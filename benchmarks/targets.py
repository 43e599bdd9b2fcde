"""What is known of each target on R^d, and how well anything could do on it.

Run:   python benchmarks/targets.py
       python benchmarks/targets.py --only gmm25 manywell --count 500
Takes: a few minutes on one core.
Shows: dimension; log Z, exact or estimated with its standard error; the number of modes; the noise
       floor of W2 between exact samples; and the gap between log Z and the evidence bound of the
       exact mean of each step of a bridge from 0 in so many steps, with the bridge's variance and
       with the exact one: what a perfect policy with Gaussian steps leaves.
"""

import argparse
import math

import torch
from torch import Tensor

from gflow.envs.targets import TARGETS, Target, make_target, reverse_kernel
from gflow.envs.targets.cox import LogGaussianCox
from gflow.envs.targets.logistic import LogisticRegression
from gflow.envs.targets.vae import VAEPosterior
from gflow.errors import IncompatibleError
from gflow.metrics import w2_floor

RATES = {"gmm9": 5.0, "gmm25": 5.0, "gmm40": 500.0}
"""Rates of the bridge that papers use, or that fit the size; 1 for the others."""


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--count", type=int, default=2000, help="points in each sample")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of samples for the floor")
    parser.add_argument("--paths", type=int, default=500, help="trajectories for the gaps")
    parser.add_argument("--steps", type=int, default=100, help="of the bridge")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    print(
        f"| target | d | log Z | modes | W2 floor, {args.count} points | "
        f"gap in {args.steps} steps, fixed variance | exact variance |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in args.only:
        generator = torch.Generator().manual_seed(args.seed)
        target = make_target(name)
        modes = "" if target.modes is None else str(len(target.modes))
        floor = ""
        if target.has_samples:
            found = w2_floor(target, args.count, args.repeats, generator)
            floor = f"{found.mean:.3g} ± {found.std:.2g}"
        gaps = [gap(target, name, args.steps, args.paths, exact, generator) for exact in (0, 1)]
        cells = [f"`{name}`", str(target.dim), log_z(target, generator), modes, floor, *gaps]
        print("| " + " | ".join(cells) + " |", flush=True)


def log_z(target: Target, generator: torch.Generator) -> str:
    """Exact, or estimated with its standard error."""
    if target.log_z is not None:
        return f"{target.log_z:.6g}"
    if isinstance(target, LogisticRegression):
        found = target.reference_log_z(200_000, generator)
        return f"{found.log_z:.4f} ± {found.standard_error:.4f}"
    if isinstance(target, VAEPosterior):
        values = target.log_marginal(target.test_images[:100], 10_000, generator)
        return f"{float(values.mean()):.2f}, mean over 100 images"
    assert isinstance(target, LogGaussianCox)
    return "not known"


def gap(
    target: Target, name: str, steps: int, count: int, exact: int, generator: torch.Generator
) -> str:
    """Mean of log Z - log w, with its standard error, or nothing where there is no oracle."""
    rate = RATES.get(name, 1.0)
    x, log_w = torch.zeros(count, target.dim), torch.zeros(count)
    try:
        for i in range(steps):
            t, later = i / steps, (i + 1) / steps
            mean, variance = reverse_kernel(target, x, t, later, rate)
            std = variance.sqrt() if exact else torch.full_like(mean, (rate / steps) ** 0.5)
            following = mean + std * torch.randn(x.shape, generator=generator)
            log_w = log_w - log_normal(following, mean, std)
            if i > 0:
                width = torch.full_like(mean, math.sqrt(rate * t * (later - t) / later))
                log_w = log_w + log_normal(x, following * t / later, width)
            x = following
    except IncompatibleError:
        return ""
    values = (target.log_z or 0.0) - log_w - target.log_density(x)
    return f"{float(values.mean()):.4f} ± {float(values.std()) / count**0.5:.4f}"


def log_normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(count,) log-density of independent normals."""
    unit = ((x - mean) / std).square() + math.log(2 * math.pi)
    return -(unit / 2 + std.log()).sum(-1)


if __name__ == "__main__":
    main()

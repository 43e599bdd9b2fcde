"""`gflow train diffusion`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, NotNegative, Positive, Probability
from gflow.conditions.draws import ConditionSampler, TableCondition
from gflow.environment.base import Environment
from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.gaussian_steps import GaussianSteps
from gflow.envs.diffusion.policy import DiffusionEncoder, DiffusionPolicy
from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck, Process, random_grids
from gflow.envs.targets import ManyWell, Target, VAEPosterior, make_target
from gflow.errors import ConfigError
from gflow.evaluation.evaluate import evaluate
from gflow.metrics import (
    elbo,
    eubo,
    importance_log_z,
    many_well_coverage,
    mode_coverage,
    w2,
)
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.sampling.sampler import Sampler
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

RATES = {"gmm9": 5.0, "gmm25": 5.0, "gmm40": 500.0, "cox": 5.0}
"""Diffusion rates that papers use, where they are not 1."""

GRIDS = 512
"""Random time grids to choose from."""

IMAGES, TRAJECTORIES = 100, 20
"""Test images of conditional targets, and trajectories for each."""


@dataclass(frozen=True)
class DiffusionTask(Task[GaussianSteps]):
    """Points of a density on R^d, made of noise in Gaussian steps.

    Attributes:
        target: gaussian, gmm9, gmm25, gmm40, gmm40_scaled, funnel, funnel_easy, double_well,
            manywell, cox, cox_whitened, logistic, logistic_synthetic or vae.
        dim: Dimension of manywell; 0 leaves the standard one.
        process: bridge (Brownian motion from 0), ou (Ornstein-Uhlenbeck, as DDS), euler (its
            Euler steps, as DIS) or annealed (Langevin steps along a path of densities, as CMCD).
        sigma2: Rate of the bridge, and of annealed at the start; 0 takes the one that papers use
            for the target (the bridge's).
        end_sigma2: Rate of annealed at the end; 0 leaves it as at the start.
        nu: Stationary standard deviation of ou and euler, and that of the noise annealed starts
            from.
        power: Of the schedule t^p of annealed.
        steps_per_trajectory: T.
        random_times: Train on random time grids of so many steps instead; evaluation keeps the
            even grid of `steps_per_trajectory`. 0 trains on that grid.
        learned_variance: Range c of the learned log-variances; 0 fixes the variance.
        learned_backward: Range rho of the learned backward kernel, below 1; 0 fixes it.
        langevin: Let the drift read the score of the target.
        width: Units per layer of the policy.
        depth: Layers of the policy after the first.
        repeat: Trajectories per data point, for targets that read one (vae).
    """

    name: ClassVar[str] = "diffusion"
    summary: ClassVar[str] = "Gaussian steps to a density on R^d: mixtures, funnel, wells, Cox, ..."
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1000, batch_size=300, lr=1e-3, log_z_lr=0.1, noise=0.2, noise_steps=1000
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_samples=2000)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "log_z",
        "elbo",
        "log_z_importance",
        "eubo",
        "w2",
        "modes",
        "inside",
    )

    target: str = "gmm25"
    dim: Natural = 0
    process: Literal["bridge", "ou", "euler", "annealed"] = "bridge"
    sigma2: NotNegative = 0.0
    end_sigma2: NotNegative = 0.0
    nu: Positive = 1.0
    power: Positive = 1.0
    steps_per_trajectory: Count = 100
    random_times: Natural = 0
    learned_variance: NotNegative = 0.0
    learned_backward: Probability = 0.0
    langevin: bool = False
    width: Count = 64
    depth: Count = 2
    repeat: Count = 10

    def density(self) -> Target:
        """The target."""
        if not self.dim:
            return make_target(self.target)
        if self.target != "manywell":
            raise ConfigError(
                f"dim={self.dim}: only manywell comes in every (even) dimension, not "
                f"{self.target}. Leave dim at 0."
            )
        return ManyWell(self.dim)

    @property
    def rate(self) -> float:
        """Rate of the noise at the start."""
        return self.sigma2 or RATES.get(self.target, 1.0)

    def reference(self) -> Process:
        """The process."""
        if self.process == "bridge":
            return Brownian(self.rate)
        scheme: Any = "exponential" if self.process == "ou" else "euler"
        return OrnsteinUhlenbeck(self.nu, scheme=scheme)

    def diffusion(self, target: Target, times: Tensor | int) -> GaussianSteps:
        """The environment on time grids."""
        if self.process == "annealed":
            if self.learned_variance or self.learned_backward:
                raise ConfigError(
                    f"process=annealed: its steps back mirror its steps ahead, so neither has a "
                    f"variance or a kernel to learn apart; got learned_variance="
                    f"{self.learned_variance}, learned_backward={self.learned_backward}. Leave "
                    f"both at 0."
                )
            end = self.end_sigma2 or self.rate
            return AnnealedLangevin(target, self.nu**2, times, self.rate, end, self.power)
        return Diffusion(
            target, self.reference(), times, self.learned_variance, self.learned_backward
        )

    def environment(self) -> GaussianSteps:
        """The environment to train on."""
        times: Tensor | int = self.steps_per_trajectory
        if self.random_times:
            times = random_grids(self.random_times, GRIDS)
        return self.diffusion(self.density(), times)

    @classmethod
    def cheap(cls) -> GaussianSteps:
        """A short one."""
        return cls(target="gmm9", steps_per_trajectory=5).environment()

    def policy(self, env: Environment[Any], needs: Needs) -> Policy:
        """The network of path integral samplers."""
        assert isinstance(env, GaussianSteps)
        return DiffusionPolicy(
            env, self.width, self.depth, log_flow=needs.log_flow, langevin=self.langevin
        )

    def encoder(self, env: Environment[Any], width: int) -> StateEncoder:
        """Points and times."""
        assert isinstance(env, GaussianSteps)
        return DiffusionEncoder(env, width)

    def log_z(self, env: Environment[Any]) -> float:
        """Zero: densities are near their normaliser, or nothing is known."""
        return 0.0

    def condition(self, env: Environment[Any]) -> ConditionSampler | None:
        """Data points whose posteriors are wanted, for targets that read one."""
        assert isinstance(env, GaussianSteps)
        if not env.condition_dim:
            return None
        assert isinstance(env.target, VAEPosterior)
        return TableCondition(env.target.train_images.to(torch.get_default_dtype()), self.repeat)

    def rewards(
        self, env: GaussianSteps, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Densities of many dimensions: their logarithms are reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Bounds on the evaluation grid, coverage of modes, and distance from exact samples."""
        env, trainer = context.env, context.trainer
        assert isinstance(env, GaussianSteps)
        seed = trainer.config.seed * 1_000_003 + trainer.step + 2
        generator = torch.Generator(trainer.device).manual_seed(seed)
        if isinstance(env.target, VAEPosterior):
            if context.env is not trainer.env:
                return {}
            return self._posteriors(env.target, context, generator)
        target, numbers, points = env.target, {}, objects.x
        policy, count = context.policy, len(points)
        if policy is None:
            return {}
        view, sampler = env, context.sampler
        if self.random_times:
            view = self.diffusion(target, self.steps_per_trajectory)
            sampler = Sampler(view)
            batch = sampler.forward(policy, count, generator=generator, device=trainer.device)
            points, terms = batch.final_states.x, evaluate(view, policy, batch)
            numbers["elbo"] = float(elbo(terms))
            numbers["log_z_importance"] = float(importance_log_z(terms))
        if target.has_samples:
            exact = target.sample(count, generator, dtype=points.dtype)
            back = sampler.backward(policy, view.objects(exact), generator=generator)
            numbers["eubo"] = float(eubo(evaluate(view, policy, back)))
            numbers["w2"] = float(w2(points, exact))
        if isinstance(target, ManyWell):
            wells = many_well_coverage(points)
            numbers["minor_well"] = float(wells.minor_frequency.mean())
            numbers["patterns"] = float(wells.patterns)
        elif target.modes is not None and target.mode_radius is not None:
            cover = mode_coverage(points, target.modes.to(points), target.mode_radius)
            numbers |= {"modes": float(cover.hit), "inside": cover.inside}
        return numbers

    def _posteriors(
        self, target: VAEPosterior, context: Context, generator: torch.Generator
    ) -> dict[str, float]:
        """Bounds of log Z of each of 100 test images, averaged over the images afterwards."""
        trainer = context.trainer
        images = target.test_images[:IMAGES].to(torch.get_default_dtype())
        given = images.repeat_interleave(TRAJECTORIES, 0).to(trainer.device)
        batch = trainer.sampler.forward(
            trainer.evaluated_policy,
            len(given),
            condition=given,
            generator=generator,
            device=trainer.device,
        )
        terms = evaluate(context.env, trainer.evaluated_policy, batch)
        weight = terms.log_weight.detach().double().view(-1, TRAJECTORIES)
        bound = weight.logsumexp(1) - math.log(TRAJECTORIES)
        known = target.log_marginal(images, generator=torch.Generator().manual_seed(0))
        return {
            "elbo": float(weight.mean()),
            "log_z_importance": float(bound.mean()),
            "log_marginal": float(known.mean()),
        }

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Samples over the density, in the first two coordinates."""
        env, trainer = context.env, context.trainer
        assert isinstance(env, GaussianSteps)
        policy = context.policy
        if env.condition_dim or env.dim < 2 or policy is None:
            return {}
        from gflow.tasks.pictures import scatter

        generator = torch.Generator(trainer.device).manual_seed(trainer.config.seed)
        batch = context.sampler.forward(policy, 2000, generator=generator, device=trainer.device)
        clouds = {"learned": batch.final_states.x[:, :2].cpu()}
        if env.target.has_samples:
            clouds["exact"] = env.target.sample(2000, generator)[:, :2].cpu()
        path = folder / "samples.png"
        plane = env.target.log_density if env.dim == 2 else None
        scatter(clouds, plane, path)
        return {"samples": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "samples": "Learned samples, and exact ones if there are any, over the density.",
        }

    def report(self, context: Context) -> str:
        """How far log Z is bracketed."""
        numbers = context.numbers
        known = context.env.log_partition()
        if known is None or not math.isfinite(numbers.get("elbo", math.nan)):
            return ""
        return (
            f"log Z {known:.4f}: ELBO {numbers['elbo'] - known:+.3f}, importance "
            f"{numbers['log_z_importance'] - known:+.3f}"
            + (f", EUBO {numbers['eubo'] - known:+.3f}" if "eubo" in numbers else "")
        )

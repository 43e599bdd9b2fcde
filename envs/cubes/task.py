"""`gflow train box`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from gflow.backward.choice import own_backward
from gflow.bounds import Count, NotNegative, Positive
from gflow.environment.base import Environment
from gflow.envs.cubes.base import UnitCube
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.cube import Cube
from gflow.envs.cubes.policy import BoxPolicy, PointEncoder
from gflow.envs.cubes.rewards import CubeReward, InnerDisk, RingedCorners
from gflow.errors import ConfigError
from gflow.metrics import histogram_jsd, jsd, kde_jsd
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

BINS = {1: 400, 2: 20, 3: 20, 4: 10}
"""Cells per axis of the histograms that are compared; fewer for more dimensions."""

ESTIMATED = 2000
"""Samples from which densities are estimated on a grid, which takes time for each pair."""


@dataclass(frozen=True)
class BoxTask(Task[UnitCube]):
    """Points of the unit cube that move up until they stop.

    Attributes:
        dim: Number of coordinates.
        moves: arcs (steps of one length, in the square alone), axes (steps along every axis), or
            auto: arcs in the square and axes elsewhere.
        reward: corners (with a brighter ring in each), or disk (1 within delta of the source and
            next to nothing elsewhere, for a look at the machinery; in the square alone).
        delta: Length of arcs, and radius of the first move and of the disk.
        min_step: Least step along each axis.
        r0: Reward everywhere.
        r1: More in the corners.
        r2: More in their rings.
        components: Beta distributions in each mixture.
        source_components: The same for moves from the source.
        concentration_low: Least Beta parameter; below 1 densities are not bounded.
        concentration_high: Largest.
        width: Units per layer of the policy.
        depth: Hidden layers of the policy.
        frequencies: Waves of the coordinates that the policy reads beside them.
        backward: Backward policy; uniform is even over what is legal.
    """

    name: ClassVar[str] = "box"
    summary: ClassVar[str] = "points that move up in a square or cube; densities, Z known"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=3000, batch_size=128, lr=2e-3, log_z_lr=0.1, lr_half_life=1500
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=1000, eval_samples=10_000)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "jsd",
        "jsd_regions",
        "jsd_kde",
        "log_z",
        "log_z_error",
        "elbo",
        "ess",
    )

    dim: Count = 2
    moves: Literal["auto", "arcs", "axes"] = "auto"
    reward: Literal["corners", "disk"] = "corners"
    delta: float = 0.25
    min_step: Positive = 0.1
    r0: NotNegative = 0.1
    r1: NotNegative = 0.5
    r2: NotNegative = 2.0
    components: Count = 8
    source_components: Count = 4
    concentration_low: Positive = 1.0
    concentration_high: Positive = 30.0
    width: Count = 128
    depth: Count = 3
    frequencies: Count = 10
    backward: Literal["learned", "uniform", "pessimistic", "tlm"] = "learned"

    def cube_reward(self) -> CubeReward:
        """The reward."""
        if self.reward == "corners":
            return RingedCorners(self.dim, self.r0, self.r1, self.r2)
        if self.dim != 2:
            raise ConfigError(f"The disk is a reward of the square, and dim is {self.dim}.")
        return InnerDisk(self.delta)

    def environment(self) -> UnitCube:
        """The square or the cube."""
        if self.moves == "arcs" and self.dim != 2:
            raise ConfigError(
                f"moves=arcs are moves in the square, and dim is {self.dim}. Use moves=axes."
            )
        settings: dict[str, Any] = {
            "components": self.components,
            "source_components": self.source_components,
            "concentrations": (self.concentration_low, self.concentration_high),
        }
        if self.moves == "axes" or self.dim != 2:
            return Cube(self.dim, self.cube_reward(), self.min_step, **settings)
        return Box(self.cube_reward(), self.delta, **settings)

    def policy(self, env: Environment[Any], needs: Needs) -> Policy:
        """Perceptrons of the coordinates."""
        assert isinstance(env, UnitCube)
        kind: Any = own_backward(self.backward)
        return BoxPolicy(
            env, self.width, self.depth, self.frequencies, kind, log_flow=needs.log_flow
        )

    def encoder(self, env: Environment[Any], width: int) -> StateEncoder:
        """What potentials and learned rewards read points with."""
        assert isinstance(env, UnitCube)
        return PointEncoder(env, width, frequencies=self.frequencies)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Distances from the target: over cells, over the three regions, between estimates."""
        reward, trainer = context.env.reward, context.trainer
        if not isinstance(reward, RingedCorners):
            return {}
        exact = reward.region_distribution().to(objects.device)
        seen = torch.bincount(reward.region(objects), minlength=3).double() / len(objects)
        numbers = {"jsd_regions": float(jsd(seen.log(), exact.log()))}
        if self.dim in BINS:
            cells = reward.cell_distribution(BINS[self.dim])
            numbers["jsd"] = float(histogram_jsd(objects, cells, 0.0, 1.0))
        if self.dim == 2:
            seed = trainer.config.seed * 1_000_003 + trainer.step + 2
            generator = torch.Generator(objects.device).manual_seed(seed)
            exact = reward.sample(ESTIMATED, generator, objects.device)
            line = torch.linspace(0.001, 1.0, 100)
            numbers["jsd_kde"] = float(kde_jsd(objects[:ESTIMATED], exact, [line, line]))
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Samples over the density, in the first two coordinates."""
        env, trainer = context.env, context.trainer
        reward = env.reward
        policy = context.policy
        if self.dim < 2 or not isinstance(reward, RingedCorners) or policy is None:
            return {}
        from gflow.tasks.pictures import scatter

        generator = torch.Generator(trainer.device).manual_seed(trainer.config.seed)
        batch = context.sampler.forward(policy, 3000, generator=generator, device=trainer.device)
        clouds = {
            "learned": batch.final_states[:, :2].cpu(),
            "exact": reward.sample(3000, generator, trainer.device)[:, :2].cpu(),
        }
        path = folder / "samples.png"
        scatter(clouds, reward if self.dim == 2 else None, path, domain=(0.0, 1.0))
        return {"samples": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "samples": "Learned and exact samples over the density, in two coordinates.",
        }

"""`gflow train torus`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import own_backward
from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.data import BackwardReplay
from gflow.bounds import Count, Positive, Probability
from gflow.envs.targets.tempered import TemperedTarget
from gflow.envs.torus.alanine import Scan, Solvent
from gflow.envs.torus.alanine_target import alanine
from gflow.envs.torus.env import Torus
from gflow.envs.torus.metrics import (
    basin_weights,
    cell_jsd,
    cell_jsd_floor,
    smoothed,
    smoothed_exactly,
    smoothed_jsd,
)
from gflow.envs.torus.policy import TorusPolicy
from gflow.envs.torus.targets import Sines, TorusTarget, ramachandran, resampled
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

PICTURED = 50_000
"""Samples behind the picture."""


@dataclass(frozen=True)
class TorusTask(Task[Torus]):
    """Two angles turned a fixed number of times by mixtures of von Mises distributions.

    Attributes:
        target: "ramachandran": a made-up density of two torsions with exact weights. "sines": a sum
            of waves with six modes. "alanine": alanine dipeptide by OpenMM (extra openmm; the
            relaxed scan takes minutes the first time and is kept).
        solvent: Of alanine.
        scan: Of alanine: relax everything but the torsions, or turn one geometry rigidly.
        points: Of alanine: grid points of the scan per torsion.
        kelvin: Temperature of alanine.
        length: Moves of a trajectory; papers have 10.
        components: Von Mises distributions in each mixture.
        min_concentration: Least concentration of these.
        width: Units per hidden layer.
        depth: Hidden layers.
        frequencies: Waves per angle that the policy reads.
        shared: One trunk for all heads.
        backward: Backward policy; the uniform one is uniform on the circle.
        coverage: Share of each batch that is drawn backward from angles spread over the whole torus
            and resampled by their reward; 0 leaves finding the basins to exploration. Only with
            the behaviour on_policy.
    """

    name: ClassVar[str] = "torus"
    summary: ClassVar[str] = "angles with a density: waves, torsions, alanine dipeptide by OpenMM"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=3000,
        batch_size=128,
        lr=3e-3,
        log_z_lr=0.05,
        lr_half_life=600,
        grad_clip=10.0,
        epsilon=0.05,
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500, eval_samples=5000)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "jsd",
        "jsd_floor",
        "smoothed_jsd",
        "basin_error",
        "log_z",
        "log_z_error",
        "elbo",
        "ess",
    )

    target: Literal["ramachandran", "sines", "alanine"] = "ramachandran"
    solvent: Solvent = "water"
    scan: Scan = "relaxed"
    points: Count = 36
    kelvin: Positive = 300.0
    length: Count = 5
    components: Count = 5
    min_concentration: Positive = 4.0
    width: Count = 128
    depth: Count = 2
    frequencies: Count = 5
    shared: bool = False
    backward: Literal["learned", "uniform", "pessimistic", "tlm"] = "learned"
    coverage: Probability = 0.25

    def density(self) -> TorusTarget:
        """What to sample from."""
        if self.target == "sines":
            return Sines()
        if self.target == "alanine":
            return alanine(self.solvent, self.scan, self.points, self.kelvin)
        return ramachandran()

    def environment(self) -> Torus:
        """The torus."""
        return Torus(self.density(), self.length, self.components, self.min_concentration)

    def policy(self, env: Any, needs: Needs) -> Policy:
        """Perceptrons over waves of the angles."""
        own = "uniform" if own_backward(self.backward) == "uniform" else "learned"
        return TorusPolicy(
            env,
            self.width,
            self.depth,
            self.frequencies,
            own,  # type: ignore[arg-type]
            log_flow=needs.log_flow,
            shared=self.shared,
        )

    def log_z(self, env: Any) -> float:
        """Log of the volume of the torus: Z of the density 1."""
        return float(env.dim * math.log(2 * math.pi))

    def behaviour(self, env: Any, chosen: Behaviour) -> Behaviour:
        """Fresh trajectories, and some that end where the reward is, wherever that may be."""
        if not self.coverage or not isinstance(chosen, OnPolicy):
            return chosen
        generator, target, told = torch.Generator().manual_seed(0), env.target, None
        if isinstance(target, TemperedTarget):  # what covers R covers R^beta
            target = target.base
        objects = env.objects(resampled(target, generator))
        if env.condition_dim:
            draw = None if env.conditioning is None else env.conditioning.sampler(env)
            if draw is None:
                return chosen
            told = draw(len(objects.angles), generator)
        return BackwardReplay(env, objects, self.coverage, condition=told)

    def rewards(self, env: Torus, objects: Any, condition: Tensor | None = None) -> Tensor | None:
        """A density on a torus is known up to a factor: its logarithm is reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Distances of the sample from the exact density, and the weights of basins."""
        target, angles = _target(context), objects.angles.cpu()
        weights = basin_weights(target, angles)
        numbers = {
            "jsd": cell_jsd(target, angles),
            "jsd_floor": cell_jsd_floor(target, len(angles)),
            "smoothed_jsd": smoothed_jsd(target, angles),
            "basin_error": float((weights - target.basin_weights).abs().sum() / 2),
        }
        named = zip(target.basin_names, weights.tolist(), strict=True)
        return numbers | {f"basin_{name}": weight for name, weight in named}

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The learned and the exact density side by side, and their difference."""
        target, trainer, policy = _target(context), context.trainer, context.policy
        if policy is None:
            return {}
        generator = torch.Generator(trainer.device).manual_seed(trainer.config.seed)
        batch = context.sampler.forward(
            policy, PICTURED, generator=generator, device=trainer.device
        )
        path = folder / "density.png"
        learned = smoothed(batch.final_states.angles.cpu())
        picture(smoothed_exactly(target), learned, target.axes, path)
        return {"density": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {"density": "Exact and learned density over two angles, and their difference."}

    def report(self, context: Context) -> str:
        """Learned and exact weights of the basins."""
        target, numbers = _target(context), context.numbers
        if "jsd" not in numbers:
            return ""
        lines = [f"{'basin':<12}{'learned':>9}{'exact':>9}"]
        for name, exact in zip(target.basin_names, target.basin_weights.tolist(), strict=True):
            lines.append(f"{name:<12}{numbers[f'basin_{name}']:>9.4f}{exact:>9.4f}")
        lines.append(
            f"JSD of a histogram {numbers['jsd']:.5f} (exact samples: {numbers['jsd_floor']:.5f})"
        )
        return "\n".join(lines)


def picture(exact: Tensor, learned: Tensor, axes: tuple[str, ...], path: Path) -> None:
    """Two (G, G) densities per square radian on one colour scale, and their difference.

    Both are smoothed alike, so that what differs is the sampler and its noise.
    """
    from gflow.tasks.pictures import pyplot

    plt = pyplot()
    half = len(exact) // 2
    panels = {"exact": exact, "learned": learned, "learned - exact": learned - exact}
    figure, places = plt.subplots(1, 3, figsize=(12.6, 3.8), layout="constrained")
    top, gap = float(exact.max()), float((learned - exact).abs().max())
    for place, (name, grid) in zip(places, panels.items(), strict=True):
        low, high, colours = (-gap, gap, "RdBu_r") if "-" in name else (0.0, top, "viridis")
        image = place.imshow(
            grid.roll((half, half), (0, 1)).T.numpy(),  # from -180 degrees on
            origin="lower",
            extent=(-180, 180, -180, 180),
            vmin=low,
            vmax=high,
            cmap=colours,
        )
        place.set_title(name)
        place.set_xlabel(f"{axes[0]} (degrees)")
        place.set_ylabel(f"{axes[1]} (degrees)")
        place.set_xticks(range(-180, 181, 90))
        place.set_yticks(range(-180, 181, 90))
        figure.colorbar(image, ax=place, label="density per square radian")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _target(context: Context) -> TorusTarget:
    env: Any = context.env
    assert isinstance(env.target, TorusTarget)
    return env.target

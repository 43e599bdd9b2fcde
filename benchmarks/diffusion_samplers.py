"""Quality of diffusion samplers at equal CPU time, on 25 Gaussians, a funnel and many wells.

Run:   python benchmarks/diffusion_samplers.py [--targets gmm25 funnel manywell] [--seconds 120]
Takes: seconds x seeds x methods x targets, by default nine hours of one core; the numbers in
       reproductions.md name the flags that they come from.
Shows: for each target and method, mean and spread over seeds: iterations in the time, gap of the
       ELBO, of the importance-weighted bound and of the EUBO, W2 with its noise floor, modes found,
       beside the published rows (Sendera et al., 2024, https://arxiv.org/abs/2402.05098, after
       10,000 to 25,000 iterations on a GPU). All are measured with 100 even steps, annealed
       Langevin methods with the number in their name.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.envs.diffusion.task import DiffusionTask
from gflow.envs.targets import Gaussian, ManyWell, Target
from gflow.evaluation.evaluate import evaluate
from gflow.mcmc import systematic_resample, tempered_smc
from gflow.metrics import (
    effective_sample_size,
    elbo,
    eubo,
    importance_log_z,
    many_well_coverage,
    mode_coverage,
    w2,
    w2_floor,
)
from gflow.sampling.sampler import Sampler
from gflow.tasks.options import RunConfig, objective_of
from gflow.tasks.parts import Part
from gflow.training.trainer import TrainConfig, Trainer

SAMPLES = 2000
Numbers = dict[str, float]


@dataclass(frozen=True)
class Method:
    """How to train: options of the command line, and for annealed Langevin steps their number."""

    objective: str = "tb"
    behaviour: str = "on_policy"
    search: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    annealed: int = 0

    def options(self, target: str) -> dict[str, Any]:
        """Options of the task, for a target."""
        if not self.annealed:
            return self.task
        steps = {"process": "annealed", "steps_per_trajectory": self.annealed}
        return {**self.task, **PATHS[target], **steps}


LOUD = {"noise": 0.2, "noise_steps": 5000}  # as the published code explores
SEARCH: dict[str, Any] = {"behaviour": "langevin", "search": {"step_size": 0.1}}
COARSE = {"random_times": 20, "langevin": True}
QUICK = {"noise": 0.45, "noise_steps": 2000, "lr": 3e-3}
FAST = {"lr": 5e-3}

METHODS = {
    "tb": Method(),
    "tb+expl": Method(train=LOUD),
    "tb+expl+ls": Method(**SEARCH, train=LOUD),
    "vargrad+expl+ls": Method("vargrad", **SEARCH, train=LOUD),
    "tb+expl+lp": Method(train=LOUD, task={"langevin": True}),
    "flsubtb+lp": Method("flsubtb", task={"langevin": True}),
    "kl": Method("kl"),
    "tb+expl+ls, coarse": Method("tb", **SEARCH, task={"random_times": 20}, train=LOUD),
    "vargrad+expl+lp+ls, coarse": Method("vargrad", **SEARCH, task=COARSE, train=QUICK),
    "vargrad annealed, 32": Method("vargrad", train=FAST, annealed=32),
    "vargrad annealed, 64": Method("vargrad", train=FAST, annealed=64),
    "vargrad+ls annealed, 32": Method("vargrad", **SEARCH, train=FAST, annealed=32),
}
"""The last four are our own: random grids of 20 steps with the score, chains, three times the rate
and noise of 0.2 sqrt(5), since a fifth of the steps adds it; and Langevin steps along a path of
densities, with as many steps as the name says."""

BASES = {"gmm25": 100.0, "funnel": 9.0, "manywell": 4.0}
"""Variances that sequential Monte Carlo starts from."""

PATHS: dict[str, dict[str, Any]] = {
    "gmm25": {"nu": 6.0, "sigma2": 20.0, "end_sigma2": 2.0, "power": 3.0},
    "funnel": {"nu": 1.0, "sigma2": 1.0},
    "manywell": {"nu": 1.5, "sigma2": 2.0, "end_sigma2": 0.5},
}
"""Of annealed Langevin steps: from bounds before training, but the rates of gmm25 after short runs
of seed 0."""

PUBLISHED = {  # gap of the ELBO, gap of the importance-weighted bound, W2
    ("gmm25", "tb"): (1.176, 1.071, 4.83),
    ("gmm25", "tb+expl"): (0.560, 0.422, 3.61),
    ("gmm25", "tb+expl+ls"): (0.171, 0.004, 1.25),
    ("gmm25", "tb+expl+lp"): (0.206, 0.011, 1.29),
    ("gmm25", "flsubtb+lp"): (0.209, 0.011, 1.45),
    ("funnel", "tb"): (0.690, 0.239, 22.4),
    ("funnel", "tb+expl"): (0.749, 0.226, 21.3),
    ("funnel", "tb+expl+ls"): (0.653, 0.285, 21.9),
    ("funnel", "tb+expl+lp"): (0.666, 0.051, 22.3),
    ("funnel", "flsubtb+lp"): (0.563, 0.155, 22.2),
    ("manywell", "tb"): (4.01, 2.67, 6.14),
    ("manywell", "tb+expl"): (4.01, 2.68, 6.15),
    ("manywell", "tb+expl+ls"): (4.57, 0.19, 5.66),
    ("manywell", "tb+expl+lp"): (7.46, 1.06, 5.73),
    ("manywell", "flsubtb+lp"): (4.23, 2.66, 6.10),
}


class Counter:
    """Counts the points at which a target is asked for its log-density or its score."""

    def __init__(self, target: Target) -> None:
        self.energies = self.scores = 0
        self._density, self._score = target.log_density, target.score
        target.log_density = self._count_density  # type: ignore[method-assign]
        target.score = self._count_score  # type: ignore[method-assign]

    def _count_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        self.energies += len(x)
        return self._density(x, condition)

    def _count_score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        self.scores += len(x)
        return self._score(x, condition)


def trained(method: Method, target: str, seed: int, seconds: float) -> tuple[Trainer, Any, Counter]:
    """A trainer after so many seconds of CPU time."""
    torch.manual_seed(seed)
    task = DiffusionTask(target=target, **method.options(target))
    env = task.environment()
    counter = Counter(env.target)
    part = objective_of(task, method.objective)
    objective = RunConfig.of(task, objective=part).build_objective(env)
    defaults: dict[str, Any] = {"batch_size": 300, "lr": 1e-3, "log_z_lr": 0.1, "seed": seed}
    trainer = Trainer(
        env,
        task.policy(env, objective.needs),
        objective,
        TrainConfig(**{**defaults, **method.train}),
        behaviour=Part.of("behaviour", method.behaviour, method.search).build(),
    )
    began = time.process_time()
    while time.process_time() - began < seconds:
        trainer.train_step()
    return trainer, task, counter


def annealed(target: Target, name: str, seed: int) -> Numbers:
    """Sequential Monte Carlo with as many particles, 200 temperatures and four moves at each."""
    generator = torch.Generator().manual_seed(1000 + seed)
    counter, began = Counter(target), time.process_time()
    base = Gaussian([0.0] * target.dim, BASES[name])
    found = tempered_smc(
        target.log_density, target.score, base, SAMPLES, 200, moves=4, generator=generator
    )
    points = found.samples[systematic_resample(found.log_weight, generator)]
    seconds = time.process_time() - began
    assert target.log_z is not None
    numbers = {
        "seconds": seconds,
        "energies": float(counter.energies),
        "scores": float(counter.scores),
        "importance gap": target.log_z - float(found.log_z),
    }
    return numbers | coverage(target, points, target.sample(SAMPLES, generator))


def measured(trainer: Trainer, task: Any, counter: Counter, seed: int) -> Numbers:
    """Bounds, distances and coverage on even steps."""
    target: Target = trainer.env.target  # type: ignore[attr-defined]
    spent = {"energies": float(counter.energies), "scores": float(counter.scores)}
    view = replace(task, random_times=0).diffusion(target, task.steps_per_trajectory)
    sampler, policy = Sampler(view), trainer.evaluated_policy
    generator = torch.Generator().manual_seed(1000 + seed)
    assert target.log_z is not None
    with torch.no_grad():
        batch = sampler.forward(policy, SAMPLES, generator=generator)
        terms = evaluate(view, policy, batch)
        exact = target.sample(SAMPLES, generator)
        back = sampler.backward(policy, view.objects(exact), generator=generator)
        above = evaluate(view, policy, back)
    points = batch.final_states.x
    numbers = {
        "iterations": float(trainer.step),
        **spent,
        "elbo gap": target.log_z - float(elbo(terms)),
        "importance gap": target.log_z - float(importance_log_z(terms)),
        "eubo gap": float(eubo(above)) - target.log_z,
        "ess": float(effective_sample_size(terms)) / SAMPLES,
    }
    return numbers | coverage(target, points, exact)


def coverage(target: Target, points: Tensor, exact: Tensor) -> Numbers:
    """Distance from exact samples and the modes that are reached."""
    numbers = {"w2": float(w2(points, exact))}
    if isinstance(target, ManyWell):
        wells = many_well_coverage(points)
        numbers["minor well"] = float(wells.minor_frequency.mean())
        numbers["patterns"] = float(wells.patterns)
    elif target.modes is not None and target.mode_radius is not None:
        cover = mode_coverage(points, target.modes.to(points), target.mode_radius)
        numbers |= {"modes": float(cover.hit), "inside": cover.inside}
    return numbers


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    targets = ("gmm25", "funnel", "manywell")
    parser.add_argument("--targets", nargs="+", choices=targets, default=list(targets))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=400.0, help="of CPU time per run")
    parser.add_argument("--json", type=Path, help="add the numbers of every run to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for target in args.targets:
        density = DiffusionTask(target=target).density()
        floor = w2_floor(density, SAMPLES, 3, torch.Generator().manual_seed(0))
        print(
            f"\n{target}: {args.seconds:g} CPU seconds a run; W2 of exact samples {floor.mean:.3f} "
            f"+- {floor.std:.3f}"
        )
        rows = [annealed(density, target, seed) for seed in args.seeds]
        print(f"{'smc':>30}  {summary(rows)}", flush=True)
        for name in args.methods:
            rows = []
            for seed in args.seeds:
                rows.append(measured(*trained(METHODS[name], target, seed, args.seconds), seed))
                if args.json:
                    row = {"target": target, "method": name, "seed": seed, **rows[-1]}
                    with args.json.open("a") as file:
                        print(json.dumps(row), file=file)
            print(f"{name:>30}  {summary(rows)}", flush=True)
            if (target, name) in PUBLISHED:
                low, better, distance = PUBLISHED[target, name]
                print(
                    f"{'published':>30}  elbo gap {low}  importance gap {better}  w2 {distance}",
                    flush=True,
                )


def summary(rows: list[Numbers]) -> str:
    """Mean and standard deviation of each number."""
    parts = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        parts.append(f"{name} {statistics.mean(values):.3f}{spread}")
    return "  ".join(parts)


if __name__ == "__main__":
    main()

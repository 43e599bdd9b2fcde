"""Where fresh policies of the box should start: short or long trajectories, even densities or not.

Run:   python benchmarks/box_start.py [--delta 0.25] [--seconds 25] [--seeds 3] [--threads 1]
Takes: about four starts x three seeds x 25 seconds of CPU time of one core.
Shows: for each start, the moves of a fresh trajectory, and after equal CPU seconds of training the
       steps made, the Jensen-Shannon divergence of samples from the exact distribution over 20 x 20
       cells, and log Z less the evidence lower bound (the divergence of trajectories).

Trajectory balance with the settings of `gflow train box`. Starts take turns of a few seconds, so
that whatever else the machine does is shared by all. "plain" is a fresh network as it comes, which
stops at every second state: the start of torchgfn. The others start with even densities.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gflow.envs.cubes.base import UnitCube
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.policy import BoxPolicy
from gflow.envs.cubes.rewards import RingedCorners
from gflow.envs.cubes.task import BoxTask
from gflow.evaluation.evaluate import evaluate
from gflow.metrics import elbo, histogram_jsd
from gflow.objectives import TrajectoryBalance
from gflow.policies.heads import linear
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer

CELLS, SAMPLES = 20, 20_000


def starts_to_stop(policy: BoxPolicy, probability: float) -> None:
    """Let the policy start with this probability of a stop everywhere."""
    with torch.no_grad():
        policy.ahead.last.bias[0] = torch.tensor(probability).logit()


def plain(policy: BoxPolicy) -> None:
    """Let all heads start as layers come."""
    with torch.no_grad():
        policy.source.zero_()
        for network in (policy.ahead, policy.back):
            if network is not None:
                last = network.last
                fresh = linear(last.in_features, last.out_features, None)
                last.weight.copy_(fresh.weight)
                last.bias.copy_(fresh.bias)


STARTS: dict[str, Callable[[UnitCube, BoxPolicy], None]] = {
    "stops 2 / horizon": lambda env, policy: starts_to_stop(policy, 2 / env.horizon),
    "stops 1/3": lambda env, policy: starts_to_stop(policy, 1 / 3),
    "stops 1/2": lambda env, policy: starts_to_stop(policy, 1 / 2),
    "plain": lambda env, policy: plain(policy),
}


@dataclass
class Contestant:
    """One start with one seed.

    Attributes:
        trainer: Trains it.
        fresh: Mean number of moves before any training.
        spent: CPU seconds of training.
    """

    trainer: Trainer
    fresh: float
    spent: float = 0.0


def contestant(start: str, delta: float, seed: int) -> Contestant:
    """A trainer as `gflow train box` makes it, but for the start."""
    torch.manual_seed(seed)
    task = BoxTask(delta=delta)
    env = task.environment()
    objective = TrajectoryBalance()
    policy = task.policy(env, objective.needs)
    assert isinstance(policy, BoxPolicy)
    STARTS[start](env, policy)
    seen = Sampler(env).forward(policy, 5000, generator=torch.Generator().manual_seed(seed))
    settings: TrainConfig = task.train
    config = TrainConfig(
        batch_size=settings.batch_size,
        lr=settings.lr,
        log_z_lr=settings.log_z_lr,
        lr_half_life=settings.lr_half_life,
        seed=seed,
    )
    trainer = Trainer(env, policy, objective, config, record_every=10**9)
    return Contestant(trainer, float(seen.length.double().mean()))


@torch.no_grad()
def measured(one: Contestant, cells: torch.Tensor) -> tuple[float, float, float]:
    """Divergence over cells, gap of the bound, and mean number of moves."""
    trainer = one.trainer
    env, policy = trainer.env, trainer.policy
    batch = Sampler(env).forward(policy, SAMPLES, generator=torch.Generator().manual_seed(99))
    jsd = float(histogram_jsd(batch.final_states, cells, 0.0, 1.0))
    bound = float(elbo(evaluate(env, policy, batch)))
    known = env.log_partition()
    assert known is not None
    return jsd, known - bound, float(batch.length.double().mean())


def main() -> None:
    """Train all starts side by side and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delta", type=float, default=0.25, help="length of a step")
    parser.add_argument("--seconds", type=float, default=25, help="CPU seconds of each run")
    parser.add_argument("--turn", type=float, default=5, help="CPU seconds between measurements")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=list(STARTS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    probe = BoxTask(delta=args.delta).environment()
    assert isinstance(probe, Box)
    assert isinstance(probe.reward, RingedCorners)
    cells = probe.reward.cell_distribution(CELLS)
    rows: dict[str, list[list[tuple[float, float, float]]]] = {name: [] for name in args.starts}
    made: dict[str, list[float]] = {name: [] for name in args.starts}
    fresh: dict[str, list[float]] = {name: [] for name in args.starts}
    for seed in range(args.seeds):
        field = {name: contestant(name, args.delta, seed) for name in args.starts}
        curve: dict[str, list[tuple[float, float, float]]] = {name: [] for name in args.starts}
        while any(one.spent < args.seconds for one in field.values()):
            for name, one in field.items():
                began = time.process_time()
                goal = len(curve[name]) * args.turn + args.turn
                while one.spent + time.process_time() - began < goal:
                    one.trainer.train_step()
                one.spent += time.process_time() - began
                curve[name].append(measured(one, cells))
                jsd, gap, moves = curve[name][-1]
                print(
                    f"seed {seed} {name:>18} {one.spent:5.1f} s {one.trainer.step:5d} steps  "
                    f"jsd {jsd:.4f}  gap {gap:.3f}  moves {moves:.1f}",
                    flush=True,
                )
        for name, one in field.items():
            rows[name].append(curve[name])
            made[name].append(one.trainer.step)
            fresh[name].append(one.fresh)
    print(f"\ndelta {args.delta}, medians over {args.seeds} seeds")
    for name in args.starts:
        print(f"{name:>18}: {statistics.median(fresh[name]):.1f} moves at first, "
              f"{statistics.median(made[name]):.0f} steps")  # fmt: skip
        for turn, seen in enumerate(zip(*rows[name], strict=True), 1):
            jsds, gaps, ends = (sorted(part) for part in zip(*seen, strict=True))
            print(
                f"    {turn * args.turn:5.0f} s  jsd {statistics.median(jsds):.4f} "
                f"({jsds[0]:.4f} to {jsds[-1]:.4f})  gap {statistics.median(gaps):.3f} "
                f"({gaps[0]:.3f} to {gaps[-1]:.3f})  moves {statistics.median(ends):.1f}"
            )


if __name__ == "__main__":
    main()

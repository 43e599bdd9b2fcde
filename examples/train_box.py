"""Learn to sample points of the unit square or cube, whose density is known exactly.

Run:   python examples/train_box.py [--objective tb] [--steps 3000] [--dim 2]
Takes: about two minutes on one CPU core.
Shows: the share of the sample in each of three regions against the exact one, the Jensen-Shannon
       divergence of its histogram from exact cell masses, and log Z against the exact one.
"""

import argparse

import torch

from gflow.envs.cubes import Box, Cube
from gflow.envs.cubes.base import UnitCube
from gflow.envs.cubes.policy import BoxPolicy
from gflow.envs.cubes.rewards import REGIONS, RingedCorners
from gflow.metrics import histogram_jsd
from gflow.objectives import OBJECTIVES
from gflow.sampling.sampler import Sampler
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objective", choices=["tb", "vargrad", "db", "subtb"], default="tb")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--dim", type=int, default=2, help="2 moves in arcs, others along the axes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    reward = RingedCorners(args.dim)
    env: UnitCube = Cube(args.dim, reward, components=8, concentrations=(1.0, 30.0))
    if args.dim == 2:
        env = Box(reward, delta=0.25, components=8, concentrations=(1.0, 30.0))
    objective = OBJECTIVES[args.objective]()
    policy = BoxPolicy(env, frequencies=10, log_flow=objective.needs.log_flow)
    config = TrainConfig(
        args.steps,
        batch_size=128,
        lr=2e-3,
        log_z_lr=0.1,
        lr_half_life=1000,
        seed=args.seed,
    )
    trainer = Trainer(env, policy, objective, config)

    bins = {1: 100, 2: 20, 3: 10}.get(args.dim, 4)
    cells, regions = reward.cell_distribution(bins), reward.region_distribution()
    print("exact   " + "  ".join(f"{k} {p:.3f}" for k, p in zip(REGIONS, regions, strict=True)))
    part = max(1, args.steps // 10)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        points = Sampler(env).forward(policy, 5000).final_states
        seen = torch.bincount(reward.region(points), minlength=3) / len(points)
        print(
            f"step {trainer.step:5d}  loss {record['loss']:.3f}  "
            + "  ".join(f"{k} {p:.3f}" for k, p in zip(REGIONS, seen, strict=True))
            + f"  JSD {float(histogram_jsd(points, cells, 0.0, 1.0)):.4f}"
            + f"  log Z {record['log_z']:.3f} (exact {env.log_partition():.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()

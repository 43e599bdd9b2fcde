"""Learn to sample spins of an Ising model, whose partition function is known exactly.

Run:   python examples/train_spins.py [--objective tb] [--steps 2000] [--side 3] [--coupling 0.1]
Takes: half a minute on one CPU core.
Shows: log Z against that of the transfer matrix, the magnetisation of a sample against the exact
       one, and for up to nine spins the total variation to the exact distribution; expect below
       0.05.
"""

import argparse
import math

import torch

from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.envs.spins import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    objectives = ["fm", "db", "tb", "vargrad", "subtb"]
    parser.add_argument("--objective", choices=objectives, default="tb")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--side", type=int, default=3, help="rows and columns of the torus")
    parser.add_argument("--coupling", type=float, default=0.1)
    parser.add_argument("--field", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    reward = IsingReward(args.side, args.side, args.coupling, args.field)
    env = EnergyModel(reward)
    guess = {"log_z": args.side**2 * math.log(2)} if args.objective == "tb" else {}
    objective = OBJECTIVES[args.objective](**guess)
    policy = MLPPolicy(
        env, width=256, depth=2, backward="uniform", log_flow=objective.needs.log_flow
    )
    config = TrainConfig(args.steps, batch_size=64, lr_half_life=500, seed=args.seed)
    trainer = Trainer(env, policy, objective, config)

    graph = enumerate_states(env) if args.side <= 3 else None
    part = max(1, args.steps // 10)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        sample = Sampler(env).forward(policy, 2048).final_states
        line = f"step {trainer.step:5d}  loss {record['loss']:.2e}  "
        if graph is not None:
            distance = total_variation(graph.terminal_distribution(policy), graph.log_target())
            line += f"total variation {float(distance):.4f}  "
        print(
            f"{line}log Z {record['log_z']:.3f} (exact {env.log_partition():.3f})  magnetisation "
            f"{float(reward.magnetisation(sample).mean()):.3f} "
            f"(exact {reward.exact.magnetisation:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()

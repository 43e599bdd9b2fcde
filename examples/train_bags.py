"""Learn to fill bags with letters: rewards are high where one letter is frequent, most at modes.

Run:   python examples/train_bags.py [--objective db] [--steps 2000] [--task small]
Takes: about twenty seconds on one CPU core; --task published about a minute.
Shows: the mean reward of a sample against the exact one, distinct modes in it, and the total
       variation to the exact distribution; expect below 0.15 on the small task.
"""

import argparse

import torch

from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.envs.sets import Bags, Substructures
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    objectives = ["fm", "db", "tb", "vargrad", "subtb"]
    parser.add_argument("--objective", choices=objectives, default="db")
    parser.add_argument("--task", choices=["small", "published"], default="small")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    size, repeats = (13, 7) if args.task == "published" else (7, 4)
    reward = Substructures(letters=7, size=size, repeats=repeats)
    env = Bags(7, size, reward)
    objective = OBJECTIVES[args.objective]()
    policy = MLPPolicy(env, width=256, backward="maxent", log_flow=objective.needs.log_flow)
    config = TrainConfig(
        args.steps,
        batch_size=64,
        lr=3e-3,
        lr_half_life=max(1, args.steps // 3),
        epsilon=0.8,  # or the first frequent letter that is found remains the only one
        epsilon_steps=args.steps * 4 // 5,
        seed=args.seed,
    )
    trainer = Trainer(env, policy, objective, config)

    graph, exact = enumerate_states(env), env.expected_reward()
    part = max(1, args.steps // 10)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        bags = Sampler(env).forward(policy, 1024).final_states
        mean = float(env.log_reward(bags).exp().mean())
        modes = len(bags[reward.is_mode(bags)].unique(dim=0))
        distance = total_variation(graph.terminal_distribution(policy), graph.log_target())
        print(
            f"step {trainer.step:5d}  loss {record['loss']:.2e}  mean reward {mean:.2f} (exact "
            f"{exact:.2f})  modes {modes:3d} of {len(reward.modes)}  "
            f"total variation {float(distance):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Learn to sample phylogenetic trees of aligned sequences, the more the fewer mutations they need.

Run:   python examples/train_phylogeny.py [--objective tb] [--steps 1000] [--alignment FILE.json]
Takes: about ten seconds on one CPU core for the six sequences that are made up by default.
Shows: mean and fewest mutations of a sample, for few taxa the total variation to the exact
       distribution (expect below 0.05), and the best trees in Newick format. FILE maps names to
       sequences.
"""

import argparse

import torch

from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.envs.phylogeny import Alignment, Parsimony, Phylogeny
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    objectives = ["fm", "db", "tb", "vargrad", "subtb"]
    parser.add_argument("--objective", choices=objectives, default="tb")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--alignment", default="", help="JSON; made-up sequences if empty")
    parser.add_argument("--scale", type=float, default=4.0, help="mutations per unit of log R")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    made_up = Alignment.simulate(6, 60, mutation=0.3)
    alignment = Alignment.from_file(args.alignment) if args.alignment else made_up
    plain = Parsimony(alignment)
    blank = Phylogeny(plain)
    random = Sampler(blank).forward(MLPPolicy(blank, backward="maxent"), 256).final_states
    reward = Parsimony(alignment, float(plain.mutations(random).min()), args.scale)
    env = Phylogeny(reward)

    objective = OBJECTIVES[args.objective]()
    policy = MLPPolicy(env, width=256, backward="maxent", log_flow=objective.needs.log_flow)
    config = TrainConfig(args.steps, batch_size=64, lr_half_life=500, seed=args.seed)
    trainer = Trainer(env, policy, objective, config)
    graph = enumerate_states(env) if env.leaves <= 6 else None
    part = max(1, args.steps // 10)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        trees = Sampler(env).forward(policy, 512).final_states
        needed = reward.mutations(trees)
        line = f"step {trainer.step:5d}  loss {record['loss']:.2e}  "
        if graph is not None:
            distance = total_variation(graph.terminal_distribution(policy), graph.log_target())
            line += f"total variation {float(distance):.4f}  "
        print(f"{line}mutations: mean {float(needed.mean()):.1f}, fewest {float(needed.min()):.0f}")
    found = dict(zip(env.show(trees), needed.tolist(), strict=True))
    for tree, mutations in sorted(found.items(), key=lambda pair: pair[1])[:3]:
        print(f"{mutations:.0f} mutations  {tree}")


if __name__ == "__main__":
    main()

"""Design RNAs that fold into a target structure; needs ViennaRNA.

Run:   python examples/train_rna.py [--objective tb] [--steps 300] [--target "((((...))))"]
Takes: about a minute on two CPU cores.
Shows: how well samples agree with the target, how many fold into it, and the best designs.
"""

import argparse

import torch

from gflow import MLPPolicy, Sampler
from gflow.envs.sequences.rna import DesignReward, rna_design
from gflow.envs.sequences.rna_scores import folds_into
from gflow.objectives import OBJECTIVES
from gflow.training import TrainConfig, Trainer

JUNCTION = "..(((((..((((....))))..((((....))))..))))).."


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    objectives = ["db", "tb", "vargrad", "subtb"]
    parser.add_argument("--objective", choices=objectives, default="tb")
    parser.add_argument("--target", default=JUNCTION, help="structure in dot-bracket notation")
    parser.add_argument("--beta", type=float, default=16.0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    reward = DesignReward(args.target, beta=args.beta, workers=2)
    env = rna_design(reward)
    objective = OBJECTIVES[args.objective]()
    policy = MLPPolicy(env, width=256, backward="uniform", log_flow=objective.needs.log_flow)
    config = TrainConfig(args.steps, batch_size=64, log_z_lr=0.3, epsilon=0.01, seed=args.seed)
    trainer = Trainer(env, policy, objective, config)
    part = max(1, args.steps // 10)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        sites = Sampler(env).forward(policy, 256).final_states
        designs = reward.sequences(sites)
        agreement = (env.log_reward(sites) / args.beta).exp()
        solved = sum(folds_into(designs, args.target))
        print(
            f"step {trainer.step:5d}  loss {record['loss']:8.2f}  agreement "
            f"{float(agreement.mean()):.3f}  {solved} of {len(designs)} fold into the target",
            flush=True,
        )
    best = sorted(zip(agreement.tolist(), designs, strict=True), reverse=True)[:5]
    print(f"       {args.target}", *(f"{value:.4f} {design}" for value, design in best), sep="\n")
    reward.close()


if __name__ == "__main__":
    main()

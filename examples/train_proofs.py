"""Find proofs of a theorem tactic by tactic, in proportion to how likely they are beforehand.

Run:   python examples/train_proofs.py [--steps 400] [--live] [--statement "forall P : Prop, P"]
Takes: a quarter of a minute on one CPU core. Without --live or --statement Coq is not needed: what
       it said of every sequence of five tactics comes with the package.
Shows: total variation to the exact posterior over sequences of tactics given that they prove the
       theorem, which falls from about 0.9 to below 0.1; then the proofs that are found, ten of
       them for the recorded theorem.
"""

import argparse

import torch

from gflow import Sampler, enumerate_states
from gflow.envs.proofs import (
    Checker,
    CoqChecker,
    FixedTactics,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    RecordedChecker,
    TacticPolicy,
    Theorem,
)
from gflow.envs.proofs.tree import DONE
from gflow.metrics import total_variation
from gflow.objectives import SubTrajectoryBalance
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--statement", default="", help="yours, in place of the recorded one")
    parser.add_argument("--live", action="store_true", help="ask Coq instead of the record")
    parser.add_argument("--depth", type=int, default=4, help="tactics of a proof, at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    record = RecordedChecker()
    checker: Checker = CoqChecker() if args.live or args.statement else record
    theorem = Theorem.of(args.statement) if args.statement else record.theorems[0]
    tree = ProofTree(checker, [theorem], FixedTactics(record.tactics), args.depth)
    env = ProofEnv(tree, PosteriorReward(tree, incomplete=10.0, error=15.0))
    policy = TacticPolicy(env, log_flow=True)
    half_life = max(1, args.steps // 4)
    config = TrainConfig(batch_size=64, lr=1e-2, lr_half_life=half_life, epsilon=0.2)
    trainer = Trainer(env, policy, SubTrajectoryBalance(), config)
    graph = enumerate_states(env)
    part = max(1, args.steps // 5)
    while trainer.step < args.steps:
        found = trainer.train(min(part, args.steps - trainer.step))
        distance = total_variation(graph.terminal_distribution(policy), graph.log_target())
        print(
            f"step {trainer.step:4d}  loss {found['loss']:.2e}  total variation "
            f"{float(distance):.4f}  calls of the checker {tree.pool.calls}",
            flush=True,
        )
    ends = Sampler(env).forward(policy, 500).final_states
    proofs = sorted(set(env.proof(ends[env.status(ends) == DONE])), key=len)
    print(f"{theorem.declaration} {len(proofs)} proofs among 500 samples:")
    for proof in proofs:
        print("  " + " ".join(proof))
    tree.close()


if __name__ == "__main__":
    main()

"""Learn to write sequences in proportion to their reward: bits, DNA, or designed RNA.

Run:   python examples/train_sequences.py [--task bits|dna|rna] [--steps 1000]
Takes: about a minute on one CPU core.
Shows: bits: planted modes found; DNA: total variation to the exact distribution; RNA: distinct
       designs that fold into the target (needs ViennaRNA).
"""

import argparse
import tempfile
from pathlib import Path

import torch

from gflow import MLPPolicy, enumerate_states
from gflow.envs.sequences.bits import ModesFound, NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.tfbind import load_e_scores, synthetic_e_scores, tf_binding
from gflow.metrics import total_variation
from gflow.objectives import TrajectoryBalance
from gflow.policies.transformer import CausalTransformer
from gflow.training import TrainConfig, Trainer


def bits(steps: int) -> None:
    """Strings of 120 bits, a byte at a time, near one of 60 modes."""
    reward = NearModes(plant_modes(), word=8, beta=2.0, form="distance")
    env = bit_sequences(reward)
    policy = MLPPolicy(env, width=256, backward="uniform")
    found = ModesFound(reward)
    config = TrainConfig(steps=steps, batch_size=16, epsilon=1e-3)
    trainer = Trainer(env, policy, TrajectoryBalance(log_z=-10.0), config, callbacks=[found])
    while trainer.step < steps:
        record = trainer.train(min(max(1, steps // 10), steps - trainer.step))
        print(
            f"step {trainer.step:5d}  loss {record['loss']:8.2f}  modes found {len(found):2d}  "
            f"mean distance {-record['mean_log_reward'] / 2:.1f}"
        )


def dna(steps: int, table: str) -> None:
    """8-mers by their binding; give the file of a measured table to use it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(table) if table else Path(folder) / "synthetic.txt"
        if not table:
            synthetic_e_scores(path)
        env = tf_binding(load_e_scores(path), "left_to_right")
    policy = CausalTransformer(env, width=64, depth=2, heads=4)
    config = TrainConfig(steps=steps, batch_size=128, lr_half_life=max(1, steps // 4))
    trainer = Trainer(env, policy, TrajectoryBalance(log_z=9.0), config)
    trainer.train()
    graph = enumerate_states(env)
    distance = total_variation(graph.terminal_distribution(policy), graph.log_target())
    print(f"step {trainer.step:5d}  total variation {float(distance):.4f}")


def rna(steps: int) -> None:
    """RNAs of 44 nucleotides that fold into a junction of three stems."""
    from gflow.envs.sequences.rna import DesignReward, rna_design
    from gflow.envs.sequences.rna_scores import folds_into

    target = "..(((((..((((....))))..((((....))))..))))).."
    reward = DesignReward(target, beta=16.0)
    env = rna_design(reward)
    policy = MLPPolicy(env, width=256, backward="uniform")
    config = TrainConfig(steps=steps, batch_size=64, epsilon=0.01)
    trainer = Trainer(env, policy, TrajectoryBalance(log_z=40.0), config)
    trainer.train()
    best = sorted(reward.memory, key=lambda design: -reward.memory[design])[:1000]
    solved = [d for d, good in zip(best, folds_into(best, target), strict=True) if good]
    print(target, *solved[:10], f"{len(solved)} of the best {len(best)} fold into it", sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=["bits", "dna", "rna"], default="bits")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--table", default="", help="E-scores for dna; made up if empty")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.task == "dna":
        dna(args.steps, args.table)
    else:
        {"bits": bits, "rna": rna}[args.task](args.steps)

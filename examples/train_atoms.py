"""Build small molecules atom by atom, in proportion to a reward, and let RDKit confirm them.

Run:   python examples/train_atoms.py [--objective tb] [--steps 300] [--want qed] [--max-atoms 9]
Takes: about two minutes on two CPU cores.
Shows: mean reward of samples against the untrained policy, how many of the samples RDKit reads as
       molecules (all of them), and the best as SMILES.
"""

import argparse

import torch

from gflow import Sampler
from gflow.envs.atoms import Atoms
from gflow.envs.atoms.policy import AtomPolicy
from gflow.envs.molecules import Goal
from gflow.envs.molecules.extras import rdkit
from gflow.objectives import OBJECTIVES
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    objectives = ["db", "tb", "vargrad", "subtb"]
    parser.add_argument("--objective", choices=objectives, default="tb")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--want", nargs="+", default=["qed"], help="e.g. qed sa logp:0:2")
    parser.add_argument("--beta", type=float, default=16.0)
    parser.add_argument("--max-atoms", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    env = Atoms(Goal(tuple(args.want)), args.beta, args.max_atoms, workers=2)
    objective = OBJECTIVES[args.objective]()
    policy = AtomPolicy(env, log_flow=objective.needs.log_flow)
    config = TrainConfig(args.steps, batch_size=64, lr=2e-3, epsilon=0.02, grad_clip=10.0)
    trainer = Trainer(env, policy, objective, config)

    def sample() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        objects = Sampler(env).forward(policy, 256, generator=generator).final_states
        return dict(zip(env.smiles(objects), env.reward_values(objects).tolist(), strict=True))

    before = sample()
    while trainer.step < args.steps:
        record = trainer.train(min(50, args.steps - trainer.step))
        print(f"step {trainer.step:5d}  loss {record['loss']:.3f}", flush=True)
    after = sample()
    for name, found in (("untrained", before), ("trained", after)):
        valid = sum(rdkit().MolFromSmiles(smiles) is not None for smiles in found)
        mean = sum(found.values()) / len(found)
        print(f"{name}: mean reward {mean:.3f}, {valid} of {len(found)} distinct molecules valid")
    for smiles, reward in sorted(after.items(), key=lambda item: -item[1])[:10]:
        print(f"{reward:.3f}  {smiles}")
    env.close()


if __name__ == "__main__":
    main()

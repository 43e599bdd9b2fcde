"""Design molecules with a route of synthesis: building blocks joined by reaction templates.

Run:   python examples/train_reactions.py [--objective tb] [--steps 200] [--want qed]
Takes: about two minutes of one CPU core.
Shows: mean reward of samples against the untrained policy, how many routes RDKit runs again to the
       same product (all of them), and the best molecules with their routes.
"""

import argparse

import torch

from gflow import Sampler
from gflow.envs.molecules import Goal
from gflow.envs.reactions import ReactionPolicy, Reactions
from gflow.envs.reactions.routes import as_text, rerun, routes_of
from gflow.objectives import OBJECTIVES
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objective", choices=["db", "tb", "vargrad", "subtb"], default="tb")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--want", nargs="+", default=["qed"], help="e.g. qed sa logp:0:2")
    parser.add_argument("--beta", type=float, default=16.0)
    parser.add_argument("--max-steps", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    env = Reactions(Goal(tuple(args.want)), args.beta, max_steps=args.max_steps)
    objective = OBJECTIVES[args.objective]()
    policy = ReactionPolicy(env, log_flow=objective.needs.log_flow)
    config = TrainConfig(args.steps, batch_size=32, lr=2e-3, epsilon=0.05, grad_clip=10.0)
    trainer = Trainer(env, policy, objective, config)

    def sample() -> dict[str, tuple[float, str, bool]]:
        generator = torch.Generator().manual_seed(1)
        objects = Sampler(env).forward(policy, 128, generator=generator).final_states
        smiles, rewards = env.smiles(objects), env.reward_values(objects).tolist()
        known = zip(smiles, rewards, routes_of(env, objects), strict=True)
        return {text: (r, as_text(route), rerun(route) == text) for text, r, route in known}

    before = sample()
    while trainer.step < args.steps:
        record = trainer.train(min(50, args.steps - trainer.step))
        print(f"step {trainer.step:5d}  loss {record['loss']:.3f}", flush=True)
    after = sample()
    for name, found in (("untrained", before), ("trained", after)):
        mean = sum(reward for reward, *_ in found.values()) / len(found)
        good = sum(same for *_, same in found.values())
        print(f"{name}: mean reward {mean:.3f}, {good} of {len(found)} routes run again")
    for smiles, (reward, route, _) in sorted(after.items(), key=lambda item: -item[1][0])[:5]:
        print(f"{reward:.3f}  {smiles}\n       {route}")
    env.close()


if __name__ == "__main__":
    main()

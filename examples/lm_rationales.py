"""Classify reviews from ten labels by rationales that a small language model samples, with EM.

Run:   python examples/lm_rationales.py [--steps 200] [--model NAME, FOLDER or FILE.gguf]
Takes: about a minute of one CPU core, more for a model of your own.
Shows: accuracy on 100 other reviews before and after, by the votes of ten rationales each, and
       five reviews with a rationale.
"""

import argparse

import torch

from gflow import Sampler, Trainer
from gflow.envs.language.rationale_task import RationalesTask, reward_of
from gflow.envs.language.rationale_votes import majority, votes
from gflow.objectives import ModifiedSubTrajectoryBalance


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--model", default="", help="a language model of your own")
    args = parser.parse_args()
    torch.set_num_threads(1)

    base_steps = min(500, 20 * args.steps)
    task = RationalesTask(model=args.model, items=10, test_items=100, base_steps=base_steps)
    env, objective = task.environment(), ModifiedSubTrajectoryBalance()
    policy, others = task.policy(env, objective.needs), torch.arange(10, 110)
    truth = torch.tensor([one.label for one in task.data()[10:]])

    def accuracy() -> float:
        generator = torch.Generator().manual_seed(0)
        share = votes(env, policy, reward_of(env).head, others, generator)
        return float((majority(share) == truth).double().mean())

    print(f"before {accuracy():.2f}")
    trainer = Trainer(
        env, policy, objective, task.train,
        condition=task.condition(env),
        learners=task.learners(env, policy),  # the M-step is among them
    )  # fmt: skip
    trainer.train(args.steps)
    print(f"after  {accuracy():.2f}")
    told = task.condition(env)(5, torch.Generator().manual_seed(1))
    print(
        *task.describe(env, Sampler(env).forward(policy, 5, condition=told).final_states), sep="\n"
    )


if __name__ == "__main__":
    main()

"""Tune a language model to work out sums in steps that it was never shown, with a calculator.

Run:   python examples/lm_arithmetic.py [--steps 300] [--model NAME, FOLDER or FILE.gguf]
Takes: six minutes on one CPU core to pre-train a small model, once, and one or two to tune it.
Shows: how often the answer is true behind one text and by the majority of ten, for sums of three,
       four and five numbers that were not trained on, before and after; and some texts.
"""

import argparse

import torch

from gflow import Sampler, TrainConfig, Trainer
from gflow.behaviours import Sources
from gflow.envs.language.arithmetic_reward import accuracy
from gflow.envs.language.arithmetic_task import ArithmeticTask
from gflow.language import HuggingFacePolicy, TextMemory, TokenEnvironment
from gflow.objectives import LogPartitionVariance


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--base-steps", type=int, default=0, help="by default 8 for each step")
    parser.add_argument("--model", default="", help="a language model of your own")
    args = parser.parse_args()
    torch.set_num_threads(1)

    base = args.base_steps or 8 * args.steps
    task = ArithmeticTask(
        model=args.model,
        base=f"runs/arithmetic-base-{base}",
        base_steps=base,
        test_problems=min(50, args.steps),
        longest=60 if args.model else 20,
    )
    env = task.environment()  # the tool fills in results; the reward knows the true answers
    policy = HuggingFacePolicy(env, env.reward.model)  # type: ignore[attr-defined]
    behaviour = Sources(0.25, 0.5, 0.25, memory=TextMemory(env, capacity=20, draw="reward"))
    config = TrainConfig(batch_size=32, lr=1e-3, lr_half_life=100, grad_clip=1.0)
    objective = LogPartitionVariance()
    trainer = Trainer(
        env, policy, objective, config, condition=task.condition(env), behaviour=behaviour
    )
    show("before", task, env, policy)
    trainer.train(args.steps)
    show("after", task, env, policy)
    asked = env.prompts.conditions[list(task.test_rows(3))[:2]].repeat_interleave(3, 0)
    batch = Sampler(env).forward(policy, len(asked), condition=asked)
    for prompt, text in zip(asked.long(), env.show(batch.final_states), strict=True):
        print(task.problems()[int(prompt)].question, text)


def show(when: str, task: ArithmeticTask, env: TokenEnvironment, policy: HuggingFacePolicy) -> None:
    """A line for each number of operands."""
    for size in (3, 4, 5):
        generator = torch.Generator().manual_seed(size)
        found = accuracy(env, policy, task.test_rows(size), 10, generator)
        print(
            f"{when:<7} {size} numbers: one text {found['accuracy']:.3f}, majority of ten "
            f"{found['majority']:.2f}, {found['distinct']:.1f} distinct"
        )


if __name__ == "__main__":
    main()

"""Tune a language model to end sentences as likely ones, without losing their variety.

Run:   python examples/lm_continuation.py [--steps 100] [--model NAME, FOLDER or FILE.gguf]
Takes: four minutes on one CPU core to pre-train a small model on Python's help, once, and two to
       tune it.
Shows: mean and largest log p of eight texts a prompt, and their diversity, beside sampling and
       beams; and some texts.
"""

import argparse

import torch

from gflow import Sampler, TrainConfig, Trainer
from gflow.behaviours import Sources
from gflow.envs.language.continuation_task import ContinuationTask
from gflow.language import Decoder, HuggingFacePolicy, text_metrics
from gflow.objectives import ModifiedSubTrajectoryBalance


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--base-steps", type=int, default=0, help="by default 12 for each step")
    parser.add_argument("--model", default="", help="a language model of your own")
    args = parser.parse_args()
    torch.set_num_threads(1)

    base = args.base_steps or 12 * args.steps
    task = ContinuationTask(
        model=args.model,
        base=f"runs/continuation-base-{base}",
        base_steps=base,
        openings=4,
        others=2,
        anneal=max(1, args.steps // 2),
    )
    env = task.environment()
    model = task.model_of(env)
    policy = HuggingFacePolicy(env, model)
    trainer = Trainer(
        env,
        policy,
        ModifiedSubTrajectoryBalance(),
        TrainConfig(batch_size=16, lr=1e-3, grad_clip=1.0),
        condition=task.condition(env),
        behaviour=Sources(0.25, 0.5, 0.25),  # the policy, it at other temperatures, a memory
        learners=task.learners(env, policy),  # the temperature falls from 1 to 0.8
    )
    trainer.train(args.steps)
    prompts, decoder = torch.arange(len(env.prompts)), Decoder(env, model)
    told = env.prompts.conditions.repeat_interleave(8, 0)
    texts = {
        "tuned": Sampler(env).forward(policy, len(told), condition=told).final_states,
        "sampling": decoder.sampled(prompts, 8),
        "beams": decoder.beams(prompts, 8, 8),
    }
    for name, states in texts.items():
        found = text_metrics(env, states, task.embedding(env))
        print(
            f"{name:<9} mean log p {found['mean_log_p']:7.2f}, largest {found['max_log_p']:7.2f}, "
            f"diversity {found['diversity']:.4f}"
        )
    for line in task.describe(env, texts["tuned"])[::8]:
        print(line)


if __name__ == "__main__":
    main()

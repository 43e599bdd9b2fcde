"""Tune a language model to write the missing fourth sentence of a story.

Run:   python examples/lm_infilling.py [--steps 200] [--model NAME, FOLDER or FILE.gguf]
Takes: two minutes on one CPU core to pre-train a small model of micro-stories, once, and five to
       tune it. A model of your own first writes sixteen stories itself.
Shows: how often the sentence explains the last one (where that is known), log p of both, BLEU
       against the true one, beside prompting and beams; and some stories.
"""

import argparse

import torch

from gflow import Sampler, TrainConfig, Trainer
from gflow.behaviours.base import OnPolicy
from gflow.envs.language.infilling_task import InfillingTask
from gflow.language import Decoder, HuggingFacePolicy
from gflow.objectives import ModifiedSubTrajectoryBalance


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--base-steps", type=int, default=0, help="by default 5 for each step")
    parser.add_argument("--model", default="", help="a language model of your own")
    args = parser.parse_args()
    torch.set_num_threads(1)

    base = args.base_steps or 5 * args.steps
    task = InfillingTask(
        model=args.model,
        base=f"runs/infilling-base-{base}",
        base_steps=base,
        told=12 if args.model else 100,
        others=4 if args.model else 20,
        longest=16 if args.model else 10,
    )
    env = task.environment()
    model = task.model_of(env)
    policy = HuggingFacePolicy(env, model)
    trainer = Trainer(
        env,
        policy,
        ModifiedSubTrajectoryBalance(),
        TrainConfig(batch_size=32, lr=2e-3, grad_clip=1.0),
        condition=task.condition(env),
        behaviour=task.behaviour(env, OnPolicy()),  # with a memory of the true sentences
        learners=task.learners(env, policy),
    )
    trainer.train(args.steps)
    prompts = torch.arange(task.told, task.told + task.others)  # stories that are new to it
    decoder = Decoder(env, model)
    told = env.prompts.conditions[prompts].repeat_interleave(8, 0)
    texts = {
        "tuned": Sampler(env).forward(policy, len(told), condition=told).final_states,
        "prompting": decoder.sampled(prompts, 8),
        "beams": decoder.beams(prompts, 8, 8),
    }
    for name, states in texts.items():
        found = task.measured(env, states)
        print(f"{name:<9} " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
    stories = task.stories(model)
    for prompt, text in list(zip(told[:, 0].long(), env.show(texts["tuned"]), strict=True))[::16]:
        story = stories[int(prompt)]
        print(f"{story.opening('')} [{text.strip()}.] {story.ending}.")


if __name__ == "__main__":
    main()

"""Tune a language model to write the integers from 0 to 100, all alike, and count what it writes.

Run:   python examples/lm_integers.py [--steps 600] [--model NAME, FOLDER or FILE.gguf]
Takes: about half a minute on one CPU core, more for a model of your own.
Shows: exact numbers over all 1110 texts before and after: the share of integers from 0 to 100 and
       how far these are from uniform (below 0.01 nats in the end), and twenty texts.
"""

import argparse

import torch

from gflow import Sampler, TrainConfig, Trainer
from gflow.behaviours import Sources
from gflow.envs.language.integers_task import IntegersTask, integer_numbers
from gflow.language import HuggingFacePolicy, ListedTexts, TextMemory
from gflow.objectives import ModifiedSubTrajectoryBalance


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--model", default="", help="a language model of your own")
    args = parser.parse_args()
    torch.set_num_threads(1)

    env = IntegersTask(model=args.model, base_steps=min(400, 20 * args.steps)).environment()
    policy = HuggingFacePolicy(env, env.reward.model)  # type: ignore[attr-defined]
    listed = ListedTexts(env)  # ten digits, one to three of them

    # What the model never writes is put into a memory, of which a quarter of each batch is drawn.
    memory = TextMemory(env, capacity=16, tolerance=0.0)
    digits = env.legal.nonzero().squeeze(1).tolist()
    value = {env.decode([token]): token for token in digits}  # type: ignore[misc]
    memory.seed([[value[digit] for digit in text] for text in ("0", "100")], [0, 0])
    behaviour = Sources(0.75, 0.0, 0.25, each="text", memory=memory)

    config = TrainConfig(batch_size=64, lr=2e-3, lr_half_life=120)
    objective = ModifiedSubTrajectoryBalance()
    trainer = Trainer(env, policy, objective, config, behaviour=behaviour)
    show("before", listed, policy)
    trainer.train(args.steps)
    show("after", listed, policy)
    generator = torch.Generator().manual_seed(0)
    print(*env.show(Sampler(env).forward(policy, 20, generator=generator).final_states))


def show(when: str, listed: ListedTexts, policy: HuggingFacePolicy) -> None:
    """One line of numbers."""
    found = integer_numbers(listed, listed.log_law(policy))
    print(
        f"{when:<7} {100 * found['valid']:6.2f} % are integers from 0 to 100; "
        f"{found['kl_to_uniform']:.4f} nats from uniform"
    )


if __name__ == "__main__":
    main()

"""A language model trained on what 0, 1 or 2 searchers found, at equal wall time.

Run:   python benchmarks/searchers.py
       python benchmarks/searchers.py --seconds 20 --model NAME_OR_FOLDER_OR_GGUF
Takes: about eight minutes on two cores, with 60 seconds for each line.
Shows: tempered continuation (T = 0.7) of a small GPT-2 from nothing, or of any model. `on policy`
       samples and learns in turns; `0` searchers does so too, with the memory of the others; with
       1 and 2, and weights that are shown every 1, 10 or 100 batches, only the learning is here.
       Behind the steps done: tokens trained on and found a second, mean staleness of what was
       trained on (in batches), the mean untempered score (log p) of fresh samples, and the
       variance of log R - log P_F among the texts of a prompt, which is 0 at the solution. Clocks
       start after the first batch: starting processes is not counted.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from gflow import Sampler, TrainConfig, Trainer
from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.searchers import Searchers
from gflow.envs.language.pretraining import small_gpt2
from gflow.language import HuggingFacePolicy, LanguageModel, Prompts, ReferenceLM, TokenEnvironment
from gflow.language.measures import log_ratio_variance
from gflow.objectives import ModifiedSubTrajectoryBalance

TEMPERATURE = 0.7
LENGTH = 20
PROMPTS, TEXTS = 8, 8
"""Prompts of a batch, and texts of each."""
STOP = 0
OPENERS = (
    "The old man looked at the sea and",
    "In the middle of the night the phone",
    "She opened the letter and read that",
    "Nobody in the village had ever seen",
    "The train was late, so the children",
    "After the rain the garden smelled of",
    "My brother always said that one day",
    "The first thing he noticed was a",
)


class Line(NamedTuple):
    """What was measured of one way to train."""

    name: str
    steps: int
    trained: float
    found: float
    staleness: float
    score: float
    variance: float


def environment(model: str) -> TokenEnvironment:
    """Continuations of eight prompts; the same one each time."""
    torch.manual_seed(0)
    if model:
        language = LanguageModel.load(model)
        prompts, stop = (
            Prompts([language.encode(text) for text in OPENERS]),
            language.encode(".")[0],
        )
    else:
        network = small_gpt2(128, 3, 96, LENGTH + 8, STOP, STOP)
        for value in network.parameters():  # sharper than at the start of training
            if value.dim() > 1:
                value.data.mul_(6.0)
        language, stop = LanguageModel(network), STOP
        prompts = Prompts([[1 + i, 20 + i, 40 + i] for i in range(len(OPENERS))])
    language.adapt(16)
    reward = ReferenceLM(language, prompts, stop, TEMPERATURE)
    return TokenEnvironment(language.vocabulary, stop, reward, LENGTH, 1, prompts=prompts)


def measured(name: str, behaviour: Behaviour, args: argparse.Namespace) -> Line:
    """One way to train, from the same start, for so many seconds."""
    env: Any = environment(args.model)
    policy = HuggingFacePolicy(env, env.reward.model)
    config = TrainConfig(batch_size=PROMPTS * TEXTS, lr=args.lr, grad_clip=1.0, seed=args.seed)
    trainer = Trainer(
        env, policy, ModifiedSubTrajectoryBalance(), config,
        condition=env.prompts.sampler(TEXTS), behaviour=behaviour,
    )  # fmt: skip
    first = trainer.train_step(record=True)
    tokens = staleness = 0.0
    began = time.monotonic()
    while time.monotonic() - began < args.seconds:
        record = trainer.train_step(record=True)
        tokens += record["mean_length"] * config.batch_size
        staleness += record.get("staleness", 0.0)
    took, steps = time.monotonic() - began, trainer.step - 1
    found = (record["searched"] - first["searched"]) if "searched" in record else None
    mean_length = tokens / (steps * config.batch_size)
    searched = tokens if found is None else found * mean_length
    if isinstance(behaviour, Searchers):
        behaviour.close()
    numbers = torch.arange(len(env.prompts))
    told = env.prompts.conditions.repeat_interleave(args.samples, 0)
    g = torch.Generator().manual_seed(1)
    fresh = Sampler(env).forward(policy, len(told), condition=told, generator=g)
    score = float(env.reward.scores_of(fresh.final_states).mean())
    variance = log_ratio_variance(env, policy, numbers, args.samples, g, temperature=1.0)
    return Line(
        name, steps, tokens / took, searched / took, staleness / steps, score, variance
    )  # fmt: skip


def ways() -> Sequence[tuple[str, Behaviour]]:
    """The lines of the table."""
    return (
        ("on policy", OnPolicy()),
        ("0 searchers", Searchers(0)),
        ("1 searcher, every 10", Searchers(1, publish=10)),
        ("2 searchers, every 1", Searchers(2, publish=1)),
        ("2 searchers, every 10", Searchers(2, publish=10)),
        ("2 searchers, every 100", Searchers(2, publish=100)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, for each line")
    parser.add_argument("--model", default="", help="a causal language model in place of the small")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of sampling")
    parser.add_argument("--samples", type=int, default=32, help="texts of a prompt, to measure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    titles = ("steps", "trained/s", "found/s", "staleness", "log p", "variance")
    print(f"{'':<24}" + "".join(f"{title:>12}" for title in titles), flush=True)
    for name, behaviour in ways():
        one = measured(name, behaviour, args)
        counts = "".join(f"{n:>12.0f}" for n in (one.steps, one.trained, one.found))
        rest = f"{one.staleness:>12.1f}{one.score:>12.2f}{one.variance:>12.2f}"
        print(f"{one.name:<24}{counts}{rest}", flush=True)


if __name__ == "__main__":
    main()

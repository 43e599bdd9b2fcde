"""A language model trained on what 0, 1 or 2 searchers found, for equal time of the trainer.

Run:   python benchmarks/searchers.py
       python benchmarks/searchers.py --seconds 60 --seeds 1 --prompts 2 --model FOLDER_OR_GGUF
Takes: six lines for each seed, --seconds each: half a minute of a core for the trainer by default,
       as long for each searcher.
Shows: tempered continuation (T = 0.7) of a small GPT-2 from nothing, or of any model. `on policy`
       samples and learns in turns; `0` searchers does so too, with the memory of the others; with
       1 and 2, and weights that are shown every 1, 10 or 100 batches, only the learning is here.
       Behind the steps done: tokens trained on and found a second, mean staleness of what was
       trained on (in batches), the mean untempered score (log p) of fresh samples, and the
       variance of log R - log P_F among the texts of a prompt, which is 0 at the solution. With
       several seeds means and standard deviations. Seconds are CPU seconds of the process that
       trains, as if each process had a core of its own, so that a busy machine tells no lies;
       their clock starts after the first batch: starting processes is not counted.
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
TEXTS = 8
"""Texts of each prompt in a batch."""
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

    steps: int
    trained: float
    found: float
    staleness: float
    score: float
    variance: float


def environment(model: str, count: int) -> TokenEnvironment:
    """Continuations of some prompts; the same one each time."""
    torch.manual_seed(0)
    if model:
        language = LanguageModel.load(model)
        prompts, stop = (
            Prompts([language.encode(text) for text in OPENERS[:count]]),
            language.encode(".")[0],
        )
    else:
        network = small_gpt2(128, 3, 96, LENGTH + 8, STOP, STOP)
        for value in network.parameters():  # sharper than at the start of training
            if value.dim() > 1:
                value.data.mul_(6.0)
        language, stop = LanguageModel(network), STOP
        prompts = Prompts([[1 + i, 20 + i, 40 + i] for i in range(count)])
    language.adapt(16)
    reward = ReferenceLM(language, prompts, stop, TEMPERATURE)
    return TokenEnvironment(language.vocabulary, stop, reward, LENGTH, 1, prompts=prompts)


def measured(behaviour: Behaviour, args: argparse.Namespace, seed: int) -> Line:
    """One way to train, from the same start, for so many seconds."""
    env: Any = environment(args.model, args.prompts)
    policy = HuggingFacePolicy(env, env.reward.model)
    config = TrainConfig(batch_size=args.prompts * TEXTS, lr=args.lr, grad_clip=1.0, seed=seed)
    trainer = Trainer(
        env, policy, ModifiedSubTrajectoryBalance(), config,
        condition=env.prompts.sampler(TEXTS), behaviour=behaviour,
    )  # fmt: skip
    first = trainer.train_step(record=True)
    tokens = staleness = 0.0
    began = time.process_time()
    while time.process_time() - began < args.seconds:
        record = trainer.train_step(record=True)
        tokens += record["mean_length"] * config.batch_size
        staleness += record.get("staleness", 0.0)
    took, steps = time.process_time() - began, trainer.step - 1
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
    return Line(steps, tokens / took, searched / took, staleness / steps, score, variance)


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
    parser.add_argument("--seconds", type=float, default=30.0, help="CPU seconds of each line")
    parser.add_argument("--model", default="", help="a causal language model in place of the small")
    parser.add_argument("--prompts", type=int, default=len(OPENERS), help="of a batch, eight texts")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--seeds", type=int, default=1, help="of sampling")
    parser.add_argument("--samples", type=int, default=32, help="texts of a prompt, to measure")
    parser.add_argument("--only", nargs="*", default=[], help="some of the lines, by their names")
    args = parser.parse_args()
    torch.set_num_threads(1)
    titles = ("steps", "trained/s", "found/s", "staleness", "log p", "variance")
    print("| |" + "".join(f" {title} |" for title in titles), flush=True)
    print("| --- |" + " --- |" * len(titles), flush=True)
    for name in [name for name, _ in ways() if name in (args.only or dict(ways()))]:
        lines = [measured(dict(ways())[name], args, seed) for seed in range(args.seeds)]
        cells = [spread([line[place] for line in lines]) for place in range(len(titles))]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def spread(values: list[float]) -> str:
    """A mean with its standard deviation, if there are several."""
    found = torch.tensor(values, dtype=torch.float64)
    digits = 0 if found.abs().min() >= 100 else 1
    mean = f"{float(found.mean()):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {float(found.std()):.{digits}f}"


if __name__ == "__main__":
    main()

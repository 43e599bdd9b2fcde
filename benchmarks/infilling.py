"""The missing sentence of a story: a tuned sampler beside prompting and beams.

Run:   python benchmarks/infilling.py
       python benchmarks/infilling.py --model SmolLM2-135M-Instruct.Q4_1.gguf --objective vargrad
Takes: the CPU seconds of training that --seconds says, and the judging. Both may be stopped: a
       second start with the same folder trains on until there are so many seconds in all, and
       judges what was not judged yet by the weights that it has.
Shows: log p of sentence and ending together (mean and the largest of ten), diversity, BLEU and
       GLEU, for stories that were trained on and for others; of micro-stories also how many
       sentences explain the ending, and the share of all that do which was found.

A model of other people's text (see `continuation.py`) writes the stories itself, once; they stand
in the folder of the run. `msubtb` scores all beginnings of a text, each with the ending behind it;
`vargrad` whole texts alone, which costs a large model a tenth, and it has no memory here.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import Sampler, TrainConfig, Trainer
from gflow.behaviours.base import OnPolicy
from gflow.behaviours.sources import Sources
from gflow.envs.language.infilling_task import InfillingTask
from gflow.language import Decoder, HuggingFacePolicy
from gflow.objectives import LogPartitionVariance, ModifiedSubTrajectoryBalance
from gflow.training.checkpoint import load_checkpoint, save_checkpoint

SAVED_EVERY = 10
"""Steps between checkpoints."""
COLUMNS = ("mean_log_p", "max_log_p", "diversity", "bleu", "gleu", "valid", "found")

Way = Callable[[Tensor, torch.Generator], Any]
"""(K,) numbers of stories to texts, the same number of each."""


def trained(trainer: Trainer, path: Path, seconds: float, told: dict[str, Any]) -> None:
    """Train on from a checkpoint until so many CPU seconds were taken in all."""
    spent = 0.0
    if path.exists():
        kept = load_checkpoint(path, told)
        spent = kept.pop("seconds")
        trainer.load_state_dict(kept)
    began = time.process_time() - spent
    while (spent := time.process_time() - began) < seconds:
        record = trainer.train(SAVED_EVERY)
        numbers = "  ".join(f"{k} {float(record[k]):.3g}" for k in ("loss", "mean_log_reward"))
        print(f"  step {trainer.step:5d}  {numbers}", flush=True)
        spent = time.process_time() - began
        save_checkpoint(path, trainer.state_dict() | {"seconds": spent}, told)


def known(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What was judged before of the same weights, or nothing."""
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        if {name: found.get(name) for name in run} == run:
            return found
    return run | {"sets": {}}


def keep(path: Path, results: dict[str, Any]) -> None:
    """Write results in one move: a file is never half of one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(results, indent=1))
    fresh.replace(path)


def judge(
    path: Path,
    results: dict[str, Any],
    sets: dict[str, Tensor],
    ways: dict[str, Way],
    measure: Callable[[Any], dict[str, Any]],
    together: int,
    seed: int,
) -> None:
    """Judge each way on each set of stories, some at a time, and keep what is done in a file.

    What `results` holds already is not done again. The texts of some stories do not depend on what
    was judged before: each time the generator begins anew.
    """
    for name, rows in sets.items():
        for method, way in ways.items():
            done = results["sets"].setdefault(name, {}).setdefault(method, [])
            for part in rows.split(together)[len(done) :]:
                generator = torch.Generator().manual_seed(seed + int(part[0]))
                done.append({"stories": len(part), **measure(way(part, generator))})
                keep(path, results)
            print(f"  judged {name}: {method}", flush=True)


def mean(parts: list[dict[str, Any]], column: str) -> str:
    """A mean over stories of what was measured of some at a time."""
    if any(column not in part for part in parts):
        return ""
    total = sum(part[column] * part["stories"] for part in parts)
    return f"{total / sum(part['stories'] for part in parts):.3f}"


def table(results: dict[str, Any]) -> str:
    """All methods and sets of stories as a table of Markdown."""
    lines = ["| stories | method | " + " | ".join(COLUMNS) + " |"]
    lines.append("| --- " * (len(COLUMNS) + 2) + "|")
    for name, methods in results["sets"].items():
        for method, parts in methods.items():
            cells = " | ".join(mean(parts, column) for column in COLUMNS)
            lines.append(f"| {name} | {method} | {cells} |")
    return "\n".join([*lines, "", f"{results['steps']} steps"])


def main() -> None:
    """Parse the command line, train for the time there is, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="name, folder or .gguf file of a causal model")
    parser.add_argument("--base", default="runs/infilling-base", help="folder of the small one")
    parser.add_argument("--encoder", default="", help="folder of a sentence encoder")
    parser.add_argument("--out", type=Path, default=Path("infilling"))
    parser.add_argument("--objective", choices=("msubtb", "vargrad"), default="msubtb")
    parser.add_argument("--seconds", type=float, default=500.0, help="of CPU, to train in")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--told", type=int, default=0, help="200, or 12 of a model of your own")
    parser.add_argument("--others", type=int, default=0, help="50, or 4 of a model of your own")
    parser.add_argument("--batch", type=int, default=0, help="64, or 8 of a model of your own")
    parser.add_argument("--anneal", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.0, help="2e-3, or 1e-3")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    own = bool(args.model)
    task = InfillingTask(
        model=args.model,
        base=args.base,
        written=str(args.out / "stories.json"),
        told=args.told or (12 if own else 200),
        others=args.others or (4 if own else 50),
        longest=16 if own else 10,
        anneal=args.anneal,
        embedder=args.encoder,
    )
    env = task.environment()
    model, n = task.model_of(env), args.samples
    policy = HuggingFacePolicy(env, model)
    config = TrainConfig(
        batch_size=args.batch or (8 if own else 64),
        lr=args.lr or (1e-3 if own else 2e-3),
        grad_clip=1.0,
        seed=args.seed,
    )
    whole = args.objective == "vargrad"
    trainer = Trainer(
        env,
        policy,
        LogPartitionVariance() if whole else ModifiedSubTrajectoryBalance(),
        config,
        condition=task.condition(env),
        behaviour=Sources(1, 2, 0) if whole else task.behaviour(env, OnPolicy()),
        learners=task.learners(env, policy),
        record_every=SAVED_EVERY,
    )
    told = {"model": args.model, "objective": args.objective, "seed": args.seed}
    told |= {"told": task.told, "others": task.others}
    trained(trainer, args.out / "trained.pt", args.seconds, told)
    decoder = Decoder(env, model)

    def tuned(numbers: Tensor, generator: torch.Generator) -> Any:
        asked = env.prompts.conditions[numbers].repeat_interleave(n, 0)
        batch = Sampler(env).forward(policy, len(asked), condition=asked, generator=generator)
        return batch.whole.final_states

    def measure(states: Any) -> dict[str, Any]:
        shown = list(zip(states.prompt.tolist(), env.show(states), strict=True))
        return {**task.measured(env, states), "texts": shown}

    ways: dict[str, Way] = {
        "prompting": lambda k, g: decoder.sampled(k, n, generator=g),
        "prompting, nucleus 0.95": lambda k, g: decoder.sampled(k, n, nucleus=0.95, generator=g),
        "beams 1x": lambda k, g: decoder.beams(k, n, n),
        "beams 5x": lambda k, g: decoder.beams(k, n, 5 * n),
        "diverse beams": lambda k, g: decoder.diverse_beams(k, n),
        "ours": tuned,
    }
    numbers = torch.arange(task.told + task.others)
    sets = {"trained": numbers[: task.told][:50], "other": numbers[task.told :]}
    path = args.out / "results.json"
    results = known(path, {"steps": trainer.step, "samples": n, **told})
    judge(path, results, sets, ways, measure, 1 if own else 50, args.seed)
    (args.out / "table.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()

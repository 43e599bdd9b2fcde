"""The missing sentence of a story: a tuned sampler beside prompting and beams.

Run:   python benchmarks/infilling.py
       python benchmarks/infilling.py --model SmolLM2-135M-Instruct.Q4_1.gguf --seconds 3600
Takes: what --seconds says, and the judging: run again with the same folder, it trains on from
       where it stopped, and judges on if there was no further step (--seconds 0).
Shows: log p of sentence and ending together (mean and the largest of ten), diversity, BLEU and
       GLEU, for stories that were trained on and for others; of micro-stories also how many
       sentences explain the ending, and the share of all that do which was found.

A model of other people's text (see `continuation.py`) writes the stories itself, once; they stand
in the folder of the run.
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
from gflow.envs.language.infilling_task import InfillingTask
from gflow.language import Decoder, HuggingFacePolicy
from gflow.objectives import ModifiedSubTrajectoryBalance
from gflow.training.checkpoint import load_checkpoint, save_checkpoint

SAVED_EVERY = 10
"""Steps between checkpoints."""
COLUMNS = ("mean_log_p", "max_log_p", "diversity", "bleu", "gleu", "valid", "found")


def trained(trainer: Trainer, path: Path, until: float, told: dict[str, Any]) -> None:
    """Train on from a checkpoint until a time, by `time.monotonic`."""
    if path.exists():
        trainer.load_state_dict(load_checkpoint(path, told))
    while time.monotonic() < until:
        record = trainer.train(SAVED_EVERY)
        numbers = "  ".join(f"{k} {float(record[k]):.3g}" for k in ("loss", "mean_log_reward"))
        print(f"  step {trainer.step:5d}  {numbers}", flush=True)
        save_checkpoint(path, trainer.state_dict(), told)


def known(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What was judged before of the same weights, or nothing."""
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        if {name: found.get(name) for name in run} == run:
            return found
    return run | {"sets": {}}


def table(results: dict[str, Any]) -> str:
    """All methods and sets of stories as a table of Markdown."""
    lines = ["| stories | method | " + " | ".join(COLUMNS) + " |"]
    lines.append("| --- " * (len(COLUMNS) + 2) + "|")
    for name, methods in results["sets"].items():
        for method, found in methods.items():
            cells = [f"{found[c]:.3f}" if c in found else "" for c in COLUMNS]
            lines.append(f"| {name} | {method} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"{results['steps']} steps"])


def main() -> None:
    """Parse the command line, train for the time there is, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="name, folder or .gguf file of a causal model")
    parser.add_argument("--base", default="runs/infilling-base", help="folder of the small one")
    parser.add_argument("--encoder", default="", help="folder of a sentence encoder")
    parser.add_argument("--out", type=Path, default=Path("infilling"))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--evaluation", type=float, default=90, help="seconds that one takes")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--told", type=int, default=0, help="200, or 12 of a model of your own")
    parser.add_argument("--others", type=int, default=0, help="50, or 4 of a model of your own")
    parser.add_argument("--batch", type=int, default=0, help="64, or 8 of a model of your own")
    parser.add_argument("--anneal", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.0, help="2e-3, or 1e-3")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
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
    trainer = Trainer(
        env,
        policy,
        ModifiedSubTrajectoryBalance(),
        config,
        condition=task.condition(env),
        behaviour=task.behaviour(env, OnPolicy()),
        learners=task.learners(env, policy),
        record_every=SAVED_EVERY,
    )
    told = {"model": args.model, "seed": args.seed, "told": task.told, "others": task.others}
    trained(trainer, args.out / "trained.pt", end - args.evaluation, told)
    decoder = Decoder(env, model)

    def tuned(numbers: Tensor) -> Any:
        asked = env.prompts.conditions[numbers].repeat_interleave(n, 0)
        batch = Sampler(env).forward(policy, len(asked), condition=asked, generator=drawn())
        return batch.whole.final_states

    def drawn() -> torch.Generator:  # anew for each, so that a judging can go on where it stopped
        return torch.Generator().manual_seed(args.seed)

    ways: dict[str, Callable[[Tensor], Any]] = {
        "prompting": lambda k: decoder.sampled(k, n, generator=drawn()),
        "prompting, nucleus 0.95": lambda k: decoder.sampled(k, n, nucleus=0.95, generator=drawn()),
        "beams 1x": lambda k: decoder.beams(k, n, n),
        "beams 5x": lambda k: decoder.beams(k, n, 5 * n),
        "diverse beams": lambda k: decoder.diverse_beams(k, n),
        "ours": tuned,
    }
    numbers = torch.arange(task.told + task.others)
    sets = {"trained": numbers[: task.told][:50], "other": numbers[task.told :]}
    results = known(args.out / "results.json", {"steps": trainer.step, "samples": n, **told})
    for name, rows in sets.items():
        judged = results["sets"].setdefault(name, {})
        for method, sample in ways.items():
            if method in judged:
                continue
            states = sample(rows)
            judged[method] = {
                **task.measured(env, states),
                "texts": list(zip(states.prompt.tolist(), env.show(states), strict=True)),
            }
            (args.out / "results.json").write_text(json.dumps(results, indent=1))
            print(f"  judged {name}: {method}", flush=True)
    (args.out / "table.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()

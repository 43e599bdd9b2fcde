"""The commands about runs: train, resume, measure, sample, sweep; and what there is to train."""

from pathlib import Path
from typing import Any, Literal

import torch

from gflow.bounds import Count, Natural, Probability
from gflow.cli.config_file import reward_of, typed_flags, with_config
from gflow.cli.pretrain import finetune as finetuning
from gflow.cli.pretrain import pretrain as pretraining
from gflow.cli.pretrain import started
from gflow.cli.train_flags import parse, show_help, task_of
from gflow.cli.words import HELP
from gflow.errors import ConfigError, FolderError
from gflow.runs.run import Run
from gflow.runs.trained import load
from gflow.tasks.measure import evaluate_run
from gflow.tasks.registry import importable
from gflow.training.atomic import write_text
from gflow.training.json_lines import to_json


def train(words: list[str]) -> int:
    """Train a sampler: its own flags come from the environment and the parts that are chosen."""
    words, file = with_config(words)
    if file is not None:
        named = bool(words) and not words[0].startswith("-")
        words = [file.called(words[0] if named else ""), *(words[1:] if named else words)]
    if not words or words[0].startswith("-"):
        tasks, broken = importable()
        lines = [f"  {name:<16} {cls.summary}" for name, cls in tasks.items()]
        lines += [f"  {name:<16} ({reason})" for name, reason in broken.items()]
        print("\n".join(["usage: gflow train ENV [flags]", "", "environments:", *lines]))
        return 0 if words else 2
    cls = task_of(words[0], words[1:], reward_of(file))
    if any(word in HELP for word in words):
        show_help(words[0], cls, words[1:])
        return 0
    known: dict[str, Any] = {}
    if file is not None:
        known = file.values(cls, typed_flags(words[1:]), f"gflow train {words[0]} --help")
    return _train(started(parse(cls, words[1:], words[0], known=known)))


def pretrain(words: list[str]) -> int:
    """Train a sampler that is told what to build."""
    run = pretraining(words)
    return (0 if words else 2) if run is None else _train(run)


def finetune(words: list[str]) -> int:
    """Turn a pre-trained sampler to a reward."""
    run = finetuning(words)
    return (0 if words else 2) if run is None else _train(run)


def resume(folder: str, steps: Count | None = None) -> int:
    """Continue a run that was stopped or killed, or extend one.

    Args:
        folder: Folder of the run.
        steps: Train up to this step in all, in place of what was asked for before.
    """
    return _train(Run.resume(Path(folder), steps))


def _train(run: Run) -> int:
    try:
        summary = run.train()
        if not summary:
            return 130
        if not run.ranks.first:
            return 0
        metrics = summary["metrics"]
        report = run.config.task.report(run.context)
        if report:
            print(report)
        name = "mean_reward" if "mean_reward" in metrics else "mean_log_reward"
        before, after = summary["untrained"][name], metrics[name]
        print(f"{name.replace('_', ' ')} {before:.4g} untrained, {after:.4g} trained")
        print("  ".join(f"{k} {v:.4g}" for k, v in metrics.items()))
        if "ended" in summary:
            print(f"Ended early: {summary['ended']}. To go on: gflow resume {run.folder}", end="")
            print("" if run.halting.late else " --steps N (N in all)")
        print(f"{summary['step']} steps in {summary['timing']['seconds']} s; see {run.folder}")
        return 0
    finally:
        run.close()


def evaluate(folder: str, samples: Count = 500, checkpoint: str = "last") -> int:
    """Measure a run at its last checkpoint.

    Args:
        folder: Folder of the run.
        samples: Objects to draw.
        checkpoint: Another one that was kept: best, step-N.
    """
    trained = load(folder, checkpoint)
    try:
        numbers = evaluate_run(trained.context, samples)
        print(to_json({"step": trained.step, "metrics": numbers}, indent=2))
    finally:
        trained.close()
    return 0


def sample(
    folder: str,
    number: Count = 10,
    seed: Natural = 0,
    condition: tuple[float, ...] = (),
    range: tuple[str, ...] = (),
    format: Literal["", "jsonl", "json", "csv", "smi", "sdf"] = "",
    out: str = "",
    diverse: Natural = 0,
    alike: Probability = 0.5,
    checkpoint: str = "last",
) -> int:
    """Draw objects from a trained sampler, as JSON lines or in another format.

    Args:
        folder: Folder of the run, or of save_pretrained.
        number: How many.
        seed: Of the random numbers.
        condition: What a conditional sampler is asked for, as an inverse temperature; by default
            drawn as in training.
        range: Ranges that a sampler trained with --condition ranges is asked for, as "logP 2..3"
            "weight ..400"; what is not named may be anything.
        format: What to write: jsonl (one object a line), json, csv, and of molecules smi and sdf,
            with all that is known of each object; by default as the name of --out ends, else jsonl.
        out: File to write; the screen if empty.
        diverse: Keep at most so many, the best first, each unlike all before it; 0 keeps all.
        alike: Similarity from which two objects are alike for --diverse.
        checkpoint: Another one that was kept: best, step-N.
    """
    from gflow.runs.export import drawn, format_of, text_of

    form = format_of(format, out)
    trained = load(folder, checkpoint)
    try:
        if range and condition:
            raise ConfigError("--range says the whole condition: leave --condition out.")
        asked = torch.tensor(condition) if condition else None
        asked = trained.ranges(*range) if range else asked
        rows, smiles = drawn(trained, number, seed, asked, diverse, alike)
        text = text_of(rows, smiles, form)
    finally:
        trained.close()
    if out:
        path = Path(out).expanduser()
        try:
            write_text(path, text)
        except OSError as error:
            raise FolderError(f"{path} cannot be written: {error.strerror or error}.") from None
        print(f"{len(rows)} objects in {path}")
    else:
        print(text, end="")
    return 0


def sweep(file: str, out: str = "", stacked: bool = False, at_once: Count = 32) -> int:
    """Run a sweep file on this machine.

    Args:
        file: The sweep, in W&B's format.
        out: Folder of its runs; by default runs/sweep-NAME.
        stacked: Train runs that differ in seeds, rates or temperatures in one process, by stacked
            networks; others in processes of their own, with the reason.
        at_once: Most runs of a stack.
    """
    from gflow.cli.sweep import run_sweep

    return run_sweep(Path(file), Path(out) if out else None, at_once if stacked else 0)


def list_() -> int:
    """Environments, objectives and behaviours, and which go together."""
    from gflow.cli.table import show

    print(show())
    return 0


evaluate.__name__, list_.__name__ = "eval", "list"

"""The command `gflow`."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gflow.bounds import Count, Natural
from gflow.cli.arena import arena
from gflow.cli.play import play
from gflow.cli.pretrain import finetune as finetuning
from gflow.cli.pretrain import pretrain as pretraining
from gflow.cli.pretrain import started
from gflow.cli.prove import prove
from gflow.cli.train_flags import parse, show_help
from gflow.cli.words import HELP, call
from gflow.errors import GFlowError
from gflow.runs.run import Run
from gflow.runs.trained import load
from gflow.tasks.measure import evaluate_run
from gflow.tasks.registry import importable, task_class
from gflow.training.json_lines import to_json

USAGE = """usage: gflow COMMAND ...

  train ENV [flags]                 train a sampler; ENV is a name, file.py:Class or
                                    package.module:Class of a Task or an Environment
  pretrain ENV [flags]              train a sampler that is told what to build
  finetune DIR [--task ENV] [flags] turn it to a reward: amortised, or converted without training
  resume DIR [--steps N]            continue a run that was stopped or killed, or extend one
  eval DIR [--samples N]            measure a run at its last checkpoint
  sample DIR [-n N] [--condition C] draw objects from a trained sampler, as JSON lines
  sweep FILE [--out DIR]            run a sweep file (grid or random) on this machine
  arena RUN RUN ... [--players P]   let runs of one game and others (uniform, mcts:100, minimax)
                                    play against each other, and rate them
  play RUN [--side second]          play against a run yourself
  prove RUN STATEMENT [--budget N]  search for a proof with a run of proofs, and check it again
  alphazero ENV [--minutes M]       train an AlphaZero on a game, to measure runs against
  list                              environments, objectives, behaviours: which go together

Each says more with --help; `gflow train ENV --help` lists the flags of an environment.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors that gflow raises on purpose become one message and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in HELP:
        print(USAGE, end="")
        return 0 if words else 2
    if words[0] not in (*COMMANDS, *OWN_FLAGS):
        print(f"gflow: there is no command {words[0]!r}.\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        if words[0] in OWN_FLAGS:
            code = OWN_FLAGS[words[0]](words[1:])
        else:
            code = call(COMMANDS[words[0]], words[1:], {"n": "number"})
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # as in `gflow list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GFlowError as error:
        print(f"gflow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gflow: interrupted", file=sys.stderr)
        return 130


def train(words: list[str]) -> int:
    """Train a sampler: its own flags come from the environment and the parts that are chosen."""
    if not words or words[0].startswith("-"):
        tasks, broken = importable()
        lines = [f"  {name:<16} {cls.summary}" for name, cls in tasks.items()]
        lines += [f"  {name:<16} ({reason})" for name, reason in broken.items()]
        print("\n".join(["usage: gflow train ENV [flags]", "", "environments:", *lines]))
        return 0 if words else 2
    cls = task_class(words[0])
    if any(word in HELP for word in words):
        show_help(words[0], cls, words[1:])
        return 0
    return _train(started(parse(cls, words[1:], words[0])))


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
        metrics = summary["metrics"]
        report = run.config.task.report(run.context)
        if report:
            print(report)
        name = "mean_reward" if "mean_reward" in metrics else "mean_log_reward"
        before, after = summary["untrained"][name], metrics[name]
        print(f"{name.replace('_', ' ')} {before:.4g} untrained, {after:.4g} trained")
        print("  ".join(f"{k} {v:.4g}" for k, v in metrics.items()))
        print(f"{summary['step']} steps in {summary['timing']['seconds']} s; see {run.folder}")
        return 0
    finally:
        run.close()


def evaluate(folder: str, samples: Count = 500) -> int:
    """Measure a run at its last checkpoint.

    Args:
        folder: Folder of the run.
        samples: Objects to draw.
    """
    trained = load(folder)
    try:
        numbers = evaluate_run(trained.context, samples)
        print(to_json({"step": trained.step, "metrics": numbers}, indent=2))
    finally:
        trained.close()
    return 0


def sample(
    folder: str, number: Count = 10, seed: Natural = 0, condition: tuple[float, ...] = ()
) -> int:
    """Draw objects from a trained sampler, as JSON lines.

    Args:
        folder: Folder of the run.
        number: How many.
        seed: Of the random numbers.
        condition: What a conditional sampler is asked for, as an inverse temperature; by default
            drawn as in training.
    """
    trained = load(folder)
    try:
        asked = torch.tensor(condition) if condition else None
        for row in trained.table(number, seed, asked):
            print(to_json(row))
    finally:
        trained.close()
    return 0


def sweep(file: str, out: str = "") -> int:
    """Run a sweep file on this machine.

    Args:
        file: The sweep, in W&B's format.
        out: Folder of its runs; by default runs/sweep-NAME.
    """
    from gflow.cli.sweep import run_sweep

    return run_sweep(Path(file), Path(out) if out else None)


def list_() -> int:
    """Environments, objectives and behaviours, and which go together."""
    from gflow.cli.table import show

    print(show())
    return 0


def alphazero(words: list[str]) -> int:
    """Train an AlphaZero: its own flags come from the environment as well."""
    from gflow.cli.alphazero import alphazero as run

    return run(words)


evaluate.__name__, list_.__name__ = "eval", "list"

COMMANDS: dict[str, Callable[..., Any]] = {
    "resume": resume,
    "eval": evaluate,
    "sample": sample,
    "sweep": sweep,
    "list": list_,
    "arena": arena,
    "play": play,
    "prove": prove,
}

OWN_FLAGS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "pretrain": pretrain,
    "finetune": finetune,
    "alphazero": alphazero,
}
"""Commands that read their words themselves, as their flags depend on these."""


if __name__ == "__main__":
    raise SystemExit(main())

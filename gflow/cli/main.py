"""The command `gflow`."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
import tyro

from gflow.backward.choice import BackwardOptions
from gflow.errors import ConfigError, GFlowError
from gflow.tasks.behaviours import BehaviourOptions
from gflow.tasks.options import TASKS, ObjectiveOptions, RunConfig, task_class
from gflow.tasks.run import Run
from gflow.tasks.task import RunOptions
from gflow.training.json_lines import to_json

USAGE = """usage: gflow COMMAND ...

  train ENV [options] [--out DIR]   train a sampler (gflow train ENV --help lists the options)
  resume DIR [--steps N]            continue a run that was stopped or killed, or extend one
  eval DIR [--samples N]            measure a run at its last checkpoint
  sample DIR [-n N] [--seed S]      draw objects from a trained sampler, as JSON lines
  sweep FILE [--out DIR]            run a sweep file (grid or random) on this machine
  list                              environments, objectives, behaviours: which go together
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that gflow raises on purpose become one message and exit code 2."""
    words = sys.argv[1:] if arguments is None else arguments
    commands = {
        "train": train,
        "resume": resume,
        "eval": evaluate,
        "sample": sample,
        "sweep": sweep,
        "list": list_all,
    }
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if words else 2
    if words[0] not in commands:
        print(f"gflow: there is no command {words[0]!r}.\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        return commands[words[0]](words[1:])
    except GFlowError as error:
        print(f"gflow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gflow: interrupted", file=sys.stderr)
        return 130


def train(words: list[str]) -> int:
    """Gflow train ENV [options]."""
    if not words or words[0].startswith("-"):
        names = "\n".join(f"  {name:<12} {cls.summary}" for name, cls in TASKS.items())
        print(f"usage: gflow train ENV [options]\n\nenvironments:\n{names}")
        return 0 if words else 2
    cls = task_class(words[0])
    config = parse(cls, words[1:])
    return _train(Run.create(config))


def parse(cls: type[Any], words: list[str]) -> RunConfig:
    """The settings of a run from command-line flags."""
    fields = [
        ("task", cls, dataclasses.field(default_factory=cls)),
        ("objective", ObjectiveOptions, dataclasses.field(default_factory=ObjectiveOptions)),
        ("behaviour", BehaviourOptions, dataclasses.field(default_factory=BehaviourOptions)),
        ("train", type(cls.train), dataclasses.field(default=cls.train)),
        ("run", RunOptions, dataclasses.field(default=cls.run)),
        ("backward", BackwardOptions, dataclasses.field(default=BackwardOptions())),
    ]
    flags = dataclasses.make_dataclass("Options", fields, frozen=True)
    found: Any = tyro.cli(
        flags,
        prog=f"gflow train {cls.name}",
        description=(cls.__doc__ or "").splitlines()[0],
        args=words,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff),
    )
    return RunConfig(
        found.task,
        found.objective,
        found.train,
        found.run,
        found.behaviour,
        found.backward,
    )


def resume(words: list[str]) -> int:
    """Gflow resume DIR."""
    folder = _folder("resume", words[:1])
    steps = _option(words[1:], {"--steps": ""})["--steps"]
    if steps and not steps.isdecimal():
        raise ConfigError(f"--steps is a whole number of steps in all, got {steps!r}.")
    return _train(Run.resume(folder, int(steps) if steps else None))


def _train(run: Run) -> int:
    try:
        summary = run.train()
        if not summary:
            return 130
        metrics = summary["metrics"]
        report = run.config.task.report(run.context)
        if report:
            print(report)
        before = summary["untrained"]["mean_reward"]
        print(f"mean reward {before:.4g} untrained, {metrics['mean_reward']:.4g} trained")
        print("  ".join(f"{k} {v:.4g}" for k, v in metrics.items()))
        print(f"{summary['step']} steps in {summary['timing']['seconds']} s; see {run.folder}")
        return 0
    finally:
        run.close()


def evaluate(words: list[str]) -> int:
    """Gflow eval DIR."""
    folder, samples = _folder("eval", words[:1]), None
    samples = _option(words[1:], {"--samples": "500"})["--samples"]
    run = Run.open(folder)
    try:
        from gflow.tasks.measure import evaluate_run

        numbers = evaluate_run(run.context, int(samples))
        print(to_json({"step": run.context.trainer.step, "metrics": numbers}, indent=2))
    finally:
        run.close()
    return 0


def sample(words: list[str]) -> int:
    """Gflow sample DIR -n N."""
    folder = _folder("sample", words[:1])
    options = _option(words[1:], {"-n": "10", "--seed": "0"})
    run = Run.open(folder)
    try:
        context = run.context
        trainer = context.trainer
        generator = torch.Generator(trainer.device).manual_seed(int(options["--seed"]))
        count = int(options["-n"])
        batch = trainer.sampler.forward(
            trainer.evaluated_policy,
            count,
            condition=trainer.condition(count, generator) if trainer.condition else None,
            generator=generator,
            device=trainer.device,
        )
        objects = batch.final_states
        rewards = context.task.rewards(context.env, objects).tolist()
        for text, reward in zip(context.task.describe(context.env, objects), rewards, strict=True):
            print(to_json({"object": text, "reward": reward}))
    finally:
        run.close()
    return 0


def sweep(words: list[str]) -> int:
    """Gflow sweep FILE."""
    from gflow.cli.sweep import run_sweep

    if not words or words[0].startswith("-"):
        print("usage: gflow sweep FILE [--out DIR]", file=sys.stderr)
        return 2
    options = _option(words[1:], {"--out": ""})
    return run_sweep(Path(words[0]), Path(options["--out"]) if options["--out"] else None)


def list_all(words: list[str]) -> int:
    """Gflow list."""
    from gflow.cli.table import show

    try:
        print(show(), flush=True)
    except BrokenPipeError:  # as in `gflow list | head`
        sys.stderr.close()
    return 0


def _folder(command: str, words: list[str]) -> Path:
    if len(words) != 1 or words[0].startswith("-"):
        print(f"usage: gflow {command} DIR", file=sys.stderr)
        raise SystemExit(2)
    return Path(words[0])


def _option(words: list[str], known: dict[str, str]) -> dict[str, str]:
    """``--key value`` and ``--key=value`` pairs over defaults."""
    found, rest = dict(known), list(words)
    while rest:
        key, _, value = rest.pop(0).partition("=")
        if key not in known:
            print(f"gflow: unknown option {key!r}; known: {', '.join(known)}", file=sys.stderr)
            raise SystemExit(2)
        found[key] = value if value else (rest.pop(0) if rest else "")
    return found


if __name__ == "__main__":
    raise SystemExit(main())

"""The command `gflow`: which words are a command, and where each is written.

A command is imported when it is called, so that those that need no torch do not wait for it.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import gflow
from gflow.cli.words import HELP, call
from gflow.errors import ConfigError, GFlowError

USAGE = """usage: gflow COMMAND ...

  train ENV [flags]                 train a sampler; ENV is a name, file.py:Class or
                                    package.module:Class of a Task or an Environment
  train [ENV] --config FILE [flags] the same with flags from a YAML file, which flags override
  pretrain ENV [flags]              train a sampler that is told what to build
  finetune DIR [--task ENV] [flags] turn it to a reward: amortised, or converted without training
  resume DIR [--steps N]            continue a run that was stopped or killed, or extend one
  eval DIR [--samples N]            measure a run at its last checkpoint
  sample DIR [-n N] [--condition C] [--format F] [--out FILE] [--diverse K]
                                    draw objects from a trained sampler: JSON, CSV, SMI, SDF
  report DIR ... [--out FILE]       write a page about a run, a sweep, or several runs
  serve DIR [--port N]              runs in a browser on this machine: live curves, stop, resume
  sweep FILE [--out DIR] [--stacked]
                                    run a sweep file (grid or random) on this machine
  arena RUN RUN ... [--players P]   let runs of one game and others (uniform, mcts:100, minimax)
                                    play against each other, and rate them
  play RUN [--side second]          play against a run yourself
  prove RUN STATEMENT [--budget N]  search for a proof with a run of proofs, and check it again
  alphazero ENV [--minutes M]       train an AlphaZero on a game, to measure runs against
  list                              environments, objectives, behaviours: which go together
  completion SHELL                  a script by which bash, zsh or fish completes all this
  info                              versions, extras, devices (gflow --version: the version)

Each says more with --help; `gflow train ENV --help` lists the flags of an environment.
Several processes train one run (docs/topics/scale.md): torchrun --nproc-per-node N -m gflow train
ENV.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors that gflow raises on purpose become one message and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in HELP:
        print(USAGE, end="")
        return 0 if words else 2
    if words == ["--version"]:
        print(f"gflow {gflow.__version__}")
        return 0
    if words[0] not in COMMANDS | OWN_FLAGS:
        print(f"gflow: there is no command {words[0]!r}.\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        _refuse_several(words[0])
        if words[0] in OWN_FLAGS:
            code = command_at(OWN_FLAGS[words[0]])(words[1:])
        else:
            code = call(command_at(COMMANDS[words[0]]), words[1:], {"n": "number"})
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


def _refuse_several(command: str) -> None:
    """Refuse to do in each of several processes what one does.

    Raises:
        ConfigError: If torchrun started several for a command that does not train one run.
    """
    if command not in SHARED and os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError(
            f"gflow {command} is for one process, and WORLD_SIZE={os.environ['WORLD_SIZE']} says "
            f"that there are several. Call it without torchrun, which is for {', '.join(SHARED)}."
        )


def command_at(place: str) -> Callable[..., int]:
    """What `module:function` names."""
    module, _, name = place.partition(":")
    function: Callable[..., int] = getattr(import_module(module), name)
    return function


COMMANDS = {
    "resume": "gflow.cli.runs:resume",
    "eval": "gflow.cli.runs:evaluate",
    "sample": "gflow.cli.runs:sample",
    "report": "gflow.cli.report:report",
    "serve": "gflow.cli.serve:serve",
    "sweep": "gflow.cli.runs:sweep",
    "info": "gflow.cli.info:info",
    "list": "gflow.cli.runs:list_",
    "completion": "gflow.cli.completion:completion",
    "arena": "gflow.cli.arena:arena",
    "play": "gflow.cli.play:play",
    "prove": "gflow.cli.prove:prove",
}

OWN_FLAGS = {
    "train": "gflow.cli.runs:train",
    "pretrain": "gflow.cli.runs:pretrain",
    "finetune": "gflow.cli.runs:finetune",
    "alphazero": "gflow.cli.alphazero:alphazero",
}
"""Commands that read their words themselves, as their flags depend on these."""

SHARED = ("train", "pretrain", "finetune", "resume")
"""Commands that several processes of `torchrun` do together."""


if __name__ == "__main__":
    raise SystemExit(main())

"""`gflow pretrain` and `gflow finetune`: a sampler of outcomes, and what it is turned to."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from gflow.cli.train_flags import parse, show_help
from gflow.cli.words import HELP, split
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.runs.folder import RunFolder
from gflow.runs.run import Run
from gflow.tasks.advice import advised
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import task_class, with_own_reward

PRETRAIN = """usage: gflow pretrain ENV [flags]

Trains a sampler that is told what to build, on the states of ENV: a name, file.py:Class or
package.module:Class, as for gflow train. Its reward is not read. The run is an ordinary one: gflow
resume, eval and sample take its folder. gflow finetune turns it to any reward on these states.
"""

FINETUNE = """usage: gflow finetune FOLDER [--task ENV] [--how HOW] [flags]

Turns a sampler of gflow pretrain to a reward. The run is an ordinary one, with a folder of its own.

  --task ENV   the task whose reward is wanted: a name, file.py:Class or package.module:Class, with
               its flags. Its states must be those of pre-training: choose flags that change the
               reward alone. By default the task of pre-training, with its options.
  --reward F   a reward of your own, as for gflow train: file.py:function
  --how HOW    amortised: a network learns the sums of the flows to outcomes (default).
               converted: they are summed as they are, nothing is trained.
               scratch: the task is trained as by gflow train, for comparison.

The other flags: gflow finetune FOLDER --task ENV --how HOW --help.
"""

WAYS = ("amortised", "converted", "scratch")


def pretrain(words: Sequence[str]) -> Run | None:
    """The run that the words of `gflow pretrain` ask for; None if they asked for help."""
    if not words or words[0].startswith("-"):
        print(PRETRAIN, end="")
        return None
    called, rest = words[0], list(words[1:])
    cls = task_class(f"pretrain {called}")
    if any(word in HELP for word in rest):
        show_help(called, cls, rest, "pretrain")
        return None
    return started(parse(cls, rest, called, "pretrain"))


def finetune(words: Sequence[str]) -> Run | None:
    """The run that the words of `gflow finetune` ask for; None if they asked for help."""
    free, typed = split(words)
    helped = any(word in HELP for word in words)
    if not words or (helped and not free):
        print(FINETUNE, end="")
        return None
    if len(free) != 1:
        raise ConfigError(
            f"gflow finetune takes one folder of a run of gflow pretrain, got {len(free)}: "
            f"{' '.join(free) or 'none'}. Flags come after it."
        )
    folder = Path(free[0]).expanduser().resolve()
    before = RunFolder(folder).read_config()
    inside = getattr(before.task, "inside", None)
    if inside is None or not before.task.origin.startswith("pretrain "):
        raise ConfigError(
            f"{folder} holds a run of {before.task.name}, which is no pre-trained sampler of "
            f"outcomes. Make one with gflow pretrain."
        )
    chosen = {word.name: word.values for word in typed if word.name in ("task", "how")}
    for name, values in chosen.items():
        if len(values) != 1:
            raise ConfigError(f"--{name} takes one value, got {' '.join(values) or 'none'}.")
    how = chosen.get("how", ("amortised",))[0]
    if how not in WAYS:
        raise UnknownNameError("way to fine-tune", how, WAYS)
    same = before.task.origin.partition(" ")[2]
    called = chosen["task"][0] if "task" in chosen else same
    rewards = [w.values[0] for w in typed if w.name == "reward" and len(w.values) == 1]
    called = with_own_reward(called, rewards[-1] if rewards else None)
    cls = task_class(called if how == "scratch" else f"{how} {called}")
    rest = _without(words[words.index(free[0]) + 1 :], ("task", "how"))
    command = f"finetune {free[0]} --how {how} --task"
    if helped:
        show_help(called, cls, rest, command)
        return None
    given: dict[str, Any] = {} if how == "scratch" else {"pretrained": str(folder)}
    if "task" not in chosen:
        own = {field.name for field in fields(cls)}
        given |= {
            field.name: getattr(inside, field.name) for field in fields(inside) if field.name in own
        }
    return started(parse(cls, rest, called, command, given))


def started(config: RunConfig) -> Run:
    """A fresh run of these settings.

    Raises:
        IncompatibleError: With advice, if parts do not go together.
    """
    try:
        return Run.create(config)
    except IncompatibleError as error:
        raise advised(config, error) from error


def _without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Words without some flags and what came with them."""
    kept, dropping = [], False
    for word in words:
        if word.startswith("--"):
            dropping = word.lstrip("-").partition("=")[0].replace("-", "_") in names
        if not dropping:
            kept.append(word)
    return kept

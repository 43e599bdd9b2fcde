"""The command that repeats a run, from its settings."""

import shlex
from typing import Any

from gflow.tasks.flags import Flag, backward_field, chosen_parts, flags_of
from gflow.tasks.options import KINDS, RunConfig
from gflow.tasks.signature import REQUIRED, dashed

WHERE = ("out", "overwrite", "quiet", "track")
"""Settings of the run on which no number depends."""

USUAL = {"regression": "squared", "condition": "auto"}
"""Parts where nothing else is said."""


def words_of(config: RunConfig) -> list[str]:
    """The words after `gflow` that ask for these settings, without those that are defaults."""
    cls, task = type(config.task), config.task
    called = task.origin or task.name
    way, _, inside = called.partition(" ")
    if way in ("amortised", "converted") and inside:
        start = ["finetune", str(getattr(task, "pretrained", "")), "--task", inside, "--how", way]
    elif way == "rewarded":
        start = ["train", inside]
    else:
        start = [way, inside] if inside else ["train", called]
    names = {kind: getattr(config, kind).name for kind in KINDS}
    flags = flags_of(cls, chosen_parts(cls, names | _backward(config)))
    usual = {**USUAL, **cls.default_parts(vars(task))}
    words = []
    for flag in flags:
        if (
            flag.section == "run" and flag.option.name in WHERE
        ) or flag.option.name == "pretrained":
            continue
        value, default = _value(config, flag), flag.option.default
        if flag.selector:
            default = usual[flag.section]
        if default is REQUIRED or _plain(value) != _plain(default):
            words += [dashed(flag.names[0]), *_words(value)]
    return [*start, *words]


def command_of(config: RunConfig) -> str:
    """The same as one line for a shell."""
    return shlex.join(["gflow", *words_of(config)])


def _backward(config: RunConfig) -> dict[str, Any]:
    field = backward_field(type(config.task))
    return {} if field is None else {field: getattr(config.task, field)}


def _value(config: RunConfig, flag: Flag) -> Any:
    """What a flag is set to."""
    if flag.selector:
        return getattr(config, flag.section).name
    if flag.section in KINDS:
        return getattr(config, flag.section).settings[flag.option.name]
    return getattr(getattr(config, flag.section), flag.option.name)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _words(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]

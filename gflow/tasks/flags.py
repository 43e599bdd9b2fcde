"""The flags of a run: options of its task, its parts, its training and its folder, by name.

One rule for names. An option of the task, of training and of the run is called as in Python. An
option of a part is called by the part and itself, `led_lr`, and also by itself, `lam`, where no
other flag of the run has that name. Those of the backward policy are called `backward_...`, those
of conditions `condition_...`.
"""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gflow.errors import ConfigError
from gflow.tasks.parts import KIND_NAMES, REGISTRIES, part_class, part_options
from gflow.tasks.signature import Option, accepted, dashed, options_of
from gflow.tasks.task import RunOptions, Task
from gflow.training.config import TrainConfig

SELECTORS = {
    "objective": "What to train by",
    "regression": "How residuals are punished",
    "behaviour": "Where the trajectories of training batches come from",
    "condition": "What the sampler is told; auto is what the environment is told by itself",
}
"""Kinds of parts that have a flag of their own; the task has that of the backward policy."""


LONG = ("backward", "condition")
"""Kinds of parts whose options always go by their long names."""


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        section: task, objective, regression, behaviour, condition, backward, train or run.
        option: What it sets.
        names: The names it goes by, the one to show first.
        selector: Whether it chooses the part of its section.
    """

    section: str
    option: Option
    names: tuple[str, ...]
    selector: bool = False


def backward_field(cls: type[Task[Any]]) -> str | None:
    """The field by which a task chooses its backward policy, if it has one."""
    names = {f.name for f in dataclasses.fields(cls)}
    return next((n for n in ("policy_backward", "backward") if n in names), None)


def chosen_parts(cls: type[Task[Any]], given: Mapping[str, Any]) -> dict[str, str]:
    """The name of the part of each kind, as given or by default."""
    usual = cls.default_parts(given)
    found = {
        "objective": given.get("objective") or usual["objective"],
        "regression": given.get("regression", "squared"),
        "behaviour": given.get("behaviour") or usual["behaviour"],
        "condition": given.get("condition", "auto"),
    }
    field = backward_field(cls)
    default = next((f.default for f in dataclasses.fields(cls) if f.name == field), "auto")
    found["backward"] = given.get(field or "", default)
    return found


def flags_of(cls: type[Task[Any]], parts: Mapping[str, str]) -> list[Flag]:
    """Every flag of a run of a task with these parts.

    Raises:
        UnknownNameError: A part that there is not.
    """
    flags: list[Flag] = []
    train, run = options_with(cls.train), options_with(cls.run)
    taken = {option.name for option in (*train, *run)} | set(SELECTORS)
    for option in options_of(cls):
        name = f"task_{option.name}" if option.name in taken else option.name
        flags.append(Flag("task", option, (name,)))
    taken |= {flag.names[0] for flag in flags}
    settings = {kind: settings_of(kind, name) for kind, name in parts.items()}
    if "regression" not in accepted(part_class("objective", parts["objective"])):
        settings.pop("regression")
    plain = Counter(o.name for kind, found in settings.items() if kind not in LONG for o in found)
    for kind, found in settings.items():
        if kind in SELECTORS:
            line = f"{SELECTORS[kind]}: {', '.join(REGISTRIES[kind][0])}."
            option = Option(kind, str, parts[kind], line)
            flags.append(Flag(kind, option, (kind,), selector=True))
        for option in found:
            long = f"{prefix(kind, parts[kind])}_{option.name}"
            short = option.name not in taken and plain[option.name] == 1 and kind not in LONG
            flags.append(Flag(kind, option, (option.name, long) if short else (long,)))
    flags += [Flag("train", option, (option.name,)) for option in train]
    flags += [Flag("run", option, (option.name,)) for option in run]
    return flags


def prefix(kind: str, name: str) -> str:
    """What the long names of the options of a part begin with."""
    if kind in LONG:
        return kind
    return name if name in REGISTRIES[kind][0] else str(part_class(kind, name).name)


def settings_of(kind: str, name: str) -> list[Option]:
    """The options of a part; none of a backward policy that is left to the task."""
    return [] if kind == "backward" and name == "auto" else part_options(kind, name)


def options_with(defaults: TrainConfig | RunOptions) -> list[Option]:
    """The options of a dataclass, with the values of an object of it as defaults."""
    return [
        dataclasses.replace(option, default=getattr(defaults, option.name))
        for option in options_of(type(defaults))
    ]


def find(name: str, flags: Iterable[Flag], parts: Mapping[str, str], listed: str) -> Flag:
    """The flag of a name.

    Args:
        name: As in Python.
        flags: Those that there are.
        parts: The parts that were chosen.
        listed: What lists all flags, for messages.

    Raises:
        ConfigError: There is none; the message says whose it is, if it is that of a part that was
            not chosen, or else the closest one.
    """
    flags = list(flags)
    for flag in flags:
        if name in flag.names:
            return flag
    shown = dashed(name)
    several = [flag.names[0] for flag in flags if flag.option.name == name]
    if several:
        raise ConfigError(f"{shown} is not clear here: say {' or '.join(map(dashed, several))}.")
    for kind in REGISTRIES:
        owners = _owners(kind, name)
        if owners:
            raise ConfigError(_not_chosen(shown, kind, owners, parts[kind]))
    known = [n for flag in flags for n in flag.names]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {dashed(close[0])}?" if close else ""
    raise ConfigError(f"There is no flag {shown}.{hint} `{listed}` lists them.")


def _owners(kind: str, name: str) -> dict[str, Option]:
    """The parts of a kind that have an option of that name, long or short."""
    found = {}
    for part in REGISTRIES[kind][0]:
        for option in part_options(kind, part):
            long = f"{prefix(kind, part)}_{option.name}"
            if name == long or (name == option.name and kind not in LONG):
                found[part] = option
    return found


def _not_chosen(shown: str, kind: str, owners: dict[str, Option], chosen: str) -> str:
    called = KIND_NAMES.get(kind, kind)
    option = next(iter(owners.values()))
    what = option.help.partition(". ")[0].rstrip(".")
    if len(owners) == 1:
        owner = next(iter(owners))
        return (
            f"{shown} belongs to the {called} {owner} ({what}), and this run has the {called} "
            f"{chosen}. Add --{kind} {owner}, or leave {shown} out."
        )
    plural = f"{called[:-1]}ies" if called.endswith("y") else f"{called}s"
    *most, last = owners
    return (
        f"{shown} belongs to the {plural} {', '.join(most)} and {last} ({what}), and this run has "
        f"the {called} {chosen}. Choose one of these with --{kind}, or leave {shown} out."
    )

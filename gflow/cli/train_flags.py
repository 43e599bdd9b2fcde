"""The flags of `gflow train ENV`: read, and listed."""

from collections.abc import Mapping, Sequence
from typing import Any

from gflow.cli.words import Word, listing, split, together, value_of, wrapped
from gflow.errors import ConfigError
from gflow.tasks.flags import LONG, Flag, chosen_parts, find, flags_of, prefix
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import task_class, with_own_reward
from gflow.tasks.signature import dashed
from gflow.tasks.task import Task

TITLES = {
    "task": "environment",
    "objective": "objective",
    "regression": "regression",
    "behaviour": "behaviour",
    "backward": "backward policy",
    "condition": "conditions",
    "train": "training",
    "run": "run",
}


def task_of(called: str, words: Sequence[str], reward: str | None = None) -> type[Task[Any]]:
    """The class of the task that words ask for: by --reward with a reward of one's own.

    Args:
        called: What the task is called.
        words: After that.
        reward: What --reward is without them.
    """
    typed = [word.values for word in split(words)[1] if word.name == "reward"]
    given = [values[0] for values in typed if len(values) == 1]
    return task_class(with_own_reward(called, given[-1] if given else reward))


def parse(
    cls: type[Task[Any]],
    words: Sequence[str],
    called: str = "",
    command: str = "train",
    known: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The settings of a run from command-line flags.

    Args:
        cls: The task.
        words: After its name.
        called: What the task was called.
        command: The command, for messages.
        known: Values of flags that words may replace.

    Raises:
        UnknownNameError: A part that there is not.
        ConfigError: A flag that there is not, of a part that was not chosen, or a wrong value.
    """
    listed = f"gflow {command} {called or cls.name} --help"
    free, typed = split(words)
    if free:
        raise ConfigError(f"There is no use for {free[0]!r}: flags begin with --. See `{listed}`.")
    parts = _chosen(cls, typed, known)
    flags = flags_of(cls, parts)
    given: dict[str, Any] = dict(known or {})
    options = {word.name: find(word.name, flags, parts, listed).option for word in typed}
    for word in together(typed, options):
        name = word.name
        option = options[name]
        given[name] = value_of(word, option, dashed(name))
    return RunConfig.from_flags(cls, given, listed)


def show_help(
    called: str, cls: type[Task[Any]], words: Sequence[str], command: str = "train"
) -> None:
    """Print the flags of a task with the parts that the words choose."""
    typed = split(words)[1]
    parts = _chosen(cls, typed)
    given = {word.name for word in typed}
    lines = [f"usage: gflow {command} {called} [flags]", "", cls.summary, ""]
    flags = flags_of(cls, parts)
    hidden = dependent(flags, given)
    for section, title in TITLES.items():
        own = [f for f in flags if f.section == section and f not in hidden]
        lines += listing(title, own, _note(section, parts, len(own)))
    for parent in dict.fromkeys(hidden.values()):
        more = ", ".join(f.names[0] for f, p in hidden.items() if p == parent)
        lines += wrapped(f"More with {dashed(parent)} set: {more.replace('_', '-')}.")
    if "reward" not in {name for flag in flags for name in flag.names}:
        lines += wrapped("A reward of your own: --reward file.py:function (more: add --help).")
    lines += wrapped("Flags from a file, which those of the command override: --config run.yaml.")
    lines += wrapped(
        "Other parts have other flags: add --help to e.g. --objective subtb, --behaviour "
        "local_search, --condition temperature."
    )
    print("\n".join(lines))


def dependent(flags: Sequence[Flag], given: set[str]) -> dict[Flag, str]:
    """Flags of training that say something only with another one, which is off; with its name.

    `replay_keep` is about `replay`, which is 0 by default.
    """
    train = {f.option.name: f for f in flags if f.section == "train"}
    found: dict[Flag, str] = {}
    for name, flag in train.items():
        parent = train.get(name.partition("_")[0])
        if parent is None or parent is flag or parent.option.default:
            continue
        if not given & {name, parent.option.name}:
            found[flag] = parent.option.name
    return found


def _chosen(
    cls: type[Task[Any]], typed: Sequence[Word], known: Mapping[str, Any] | None = None
) -> dict[str, str]:
    said = {w.name: w.values[0] for w in typed if len(w.values) == 1}
    return chosen_parts(cls, {**(known or {}), **said})


def _note(section: str, parts: dict[str, str], count: int) -> str:
    """What is chosen, and how its options may be called too."""
    if section not in parts:
        return ""
    name = parts[section]
    if section in LONG or count < 2:
        return name
    return f"{name}; its options also begin with {dashed(prefix(section, name))}-"

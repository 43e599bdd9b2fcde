"""`--config run.yaml`: flags from a file, which words of the command line override.

The file may be flat, with the names of flags, or have the sections of a run's own config.yaml, or
both.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gflow.cli.words import Word, split, value_of
from gflow.errors import ConfigError
from gflow.tasks.flags import SELECTORS, Flag, chosen_parts, find, flags_of
from gflow.tasks.own_reward import WORD
from gflow.tasks.signature import convert, members_of_tuple
from gflow.tasks.task import Task

SECTIONS = ("task", "train", "run")
PARTS = (*SELECTORS, "backward")


@dataclass(frozen=True)
class ConfigFile:
    """What a file says.

    Attributes:
        path: The file.
        environment: What it trains on; empty if it does not say.
        flat: Values by the names of flags.
        sections: Values by section and option, as runs write them.
    """

    path: Path
    environment: str = ""
    flat: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "ConfigFile":
        """Read it.

        Raises:
            ConfigError: It cannot be read, or is no mapping of names to values.
        """
        try:
            data = yaml.safe_load(path.read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            what = " ".join(str(error).split())
            raise ConfigError(f"--config {path} cannot be read: {what}") from None
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise ConfigError(
                f"--config {path} must hold flags and their values, one a line: `steps: 1000`."
            )
        found = cls(path, str(data.pop("environment", "")))
        for key, value in data.items():
            name = key.replace("-", "_")
            if name in (*SECTIONS, *PARTS) and isinstance(value, dict):
                found.sections[name] = dict(value)
            elif isinstance(value, dict) or name in ("train", "run", "config"):
                raise ConfigError(
                    f"--config {path}: {key} has no use for {value!r}. Sections are "
                    f"{', '.join((*SECTIONS, *PARTS))}; all else are flags."
                )
            else:
                found.flat[name] = value
        found._forget_folder()
        return found

    def _forget_folder(self) -> None:
        """Leave the folder out that a run's own settings name: a new run has one of its own."""
        run = self.sections.get("run", {})
        if run.get("out") and Path(run["out"]).resolve() == self.path.resolve().parent:
            del run["out"]
        if (self.path.parent / "checkpoints").is_dir():
            run.pop("overwrite", None)

    def called(self, typed: str) -> str:
        """What to train on, of what the file and the command line say.

        Raises:
            ConfigError: Neither says it, or they differ.
        """
        if not typed and not self.environment:
            raise ConfigError(
                f"--config {self.path} does not say what to train on. Add `environment: NAME`, or "
                f"say it: gflow train NAME --config {self.path}."
            )
        if typed and self.environment and typed != self.environment.removeprefix(f"{WORD} "):
            raise ConfigError(
                f"--config {self.path} is about {self.environment}, and the command about {typed}. "
                f"Leave one of them out."
            )
        return self.environment or typed

    def values(self, cls: type[Task[Any]], words: Sequence[Word], listed: str) -> dict[str, Any]:
        """Values by the names of flags, without those of parts that words replace.

        Args:
            cls: The task.
            words: Flags that were typed.
            listed: What lists all flags, for messages.

        Raises:
            ConfigError: A flag or an option that there is not, or a value of another kind.
        """
        typed = {word.name: word.values[0] for word in words if len(word.values) == 1}
        chosen = {
            kind: self.sections[kind]["name"]
            for kind in SELECTORS
            if "name" in self.sections.get(kind, {})
        }
        start = {**self.sections.get("task", {}), **chosen, **self.flat, **typed}
        parts = chosen_parts(cls, start)
        flags = flags_of(cls, parts)
        found: dict[str, Any] = {}
        for section, content in self.sections.items():
            name = content.get("name", parts.get(section))
            if section in SELECTORS and section not in typed:
                found[section] = name
            if section in PARTS and name != parts[section]:
                continue  # of a part that was replaced
            for key, value in content.items():
                if section in PARTS and key == "name":
                    continue
                flag = self._flag(section, key, flags)
                found[flag.names[0]] = self._value(value, flag, f"{section}.{key}")
        for key, value in self.flat.items():
            flag = find(key, flags, parts, listed)
            found[flag.names[0]] = self._value(value, flag, key)
        return found

    def _flag(self, section: str, key: str, flags: Sequence[Flag]) -> Flag:
        own = {f.option.name: f for f in flags if f.section == section and not f.selector}
        if key not in own:
            close = difflib.get_close_matches(key, own, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Known: {', '.join(own)}."
            raise ConfigError(f"--config {self.path}: there is no {section}.{key}.{hint}")
        return own[key]

    def _value(self, value: Any, flag: Flag, key: str) -> Any:
        called = f"--config {self.path}: {key}"
        members = members_of_tuple(flag.option.hint)
        if isinstance(value, str):  # YAML takes 1e-3 for text
            return value_of(Word(key, (value,)), flag.option, called)
        if isinstance(value, list) and members is not None:
            kinds = members[:1] * len(value) if members[-1] is Ellipsis else members
            value = [
                convert(one, kind) if isinstance(one, str) else one
                for one, kind in zip(value, kinds, strict=len(kinds) == len(value))
            ]
        return flag.option.checked(value, called)


def with_config(words: Sequence[str]) -> tuple[list[str], ConfigFile | None]:
    """The words without --config, and the file that it names.

    Raises:
        ConfigError: It is named without a file, or twice.
    """
    kept: list[str] = []
    files: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--config":
            files.append(next(rest, ""))
        elif word.startswith("--config="):
            files.append(word.partition("=")[2])
        else:
            kept.append(word)
    if not files:
        return kept, None
    if len(files) > 1 or not files[0] or files[0].startswith("--"):
        got = " and ".join(name or "nothing" for name in files)
        raise ConfigError(f"--config takes one file, got {got}.")
    return kept, ConfigFile.read(Path(files[0]).expanduser())


def typed_flags(words: Sequence[str]) -> list[Word]:
    """The flags among the words after a task's name."""
    return split(words)[1]


def reward_of(file: ConfigFile | None) -> str | None:
    """The reward that a flat file names."""
    said: Mapping[str, Any] = {} if file is None else file.flat
    return str(said["reward"]) if "reward" in said else None

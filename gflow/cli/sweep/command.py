"""The command of a sweep: `gflow train`, or a script of one's own."""

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.cli.sweep.points import Point
from gflow.errors import ConfigError

MACRO = re.compile(r"\$\{([^}]*)\}")
DEFAULT = ["${env}", "${interpreter}", "${program}", "${args}"]


@dataclass(frozen=True)
class Command:
    """What starts a run.

    Attributes:
        words: The words as in the file, with macros; without what starts gflow if it is that.
        script: Whether it is a script, which reports by itself, and not `gflow train`.
    """

    words: list[str]
    script: bool

    def line(self, point: Point, folder: Path) -> list[str]:
        """The words of one run: macros filled in, and for gflow the folder and no chatter."""
        macros = _script_macros(point) if self.script else {"args": _flags(point)}
        macros["out"] = [str(folder)]
        found: list[str] = []
        for word in self.words:
            whole = MACRO.fullmatch(word)
            if whole and whole[1] in macros:
                found += macros[whole[1]]
            else:
                found.append(MACRO.sub(lambda m: " ".join(macros[m[1]]), word))
        own = [f"--out={folder}", "--overwrite=True", "--quiet=True"]
        return found if self.script else found + own


def read_command(spec: dict[str, Any]) -> Command:
    """The command of a sweep file, in W&B's words.

    Raises:
        ConfigError: If it is missing, has an unknown macro, or would not see the parameters.
    """
    program, given = spec.get("program"), spec.get("command")
    if given is None:
        if program is None:
            raise ConfigError(
                'The sweep must say what it runs: `command: [gflow, train, hypergrid, "${args}"]`, '
                'or for a script of your own `command: [python, mine.py, "${args}"]`.'
            )
        given = DEFAULT
    if not isinstance(given, list) or not given:
        raise ConfigError(
            f"The sweep's `command` must be a list of words, as in `[gflow, train, hypergrid, "
            f'"${{args}}"]`, got {given!r}.'
        )
    words = [_filled(str(word), program) for word in given]
    words = [word for word in words if word]
    rest = _after_gflow(words)
    command = Command(words if rest is None else rest, script=rest is None)
    if rest is not None and rest[:1] != ["train"]:
        raise ConfigError(
            f"A sweep over gflow must run `gflow train ENV`, got `gflow {' '.join(rest[:1])}`."
        )
    known = {"out", *(_script_macros({}) if command.script else {"args": []})}
    used = {m for word in command.words for m in MACRO.findall(word)}
    if used - known:
        raise ConfigError(
            f"The sweep's `command` has the unknown macro ${{{min(used - known)}}}; there are "
            f"{', '.join(f'${{{name}}}' for name in sorted(known))}."
        )
    if not any(name.startswith("args") for name in used):
        raise ConfigError(
            "The sweep's `command` has no ${args}, so no parameter would reach its runs. Add "
            '"${args}" as its last word.'
        )
    return command


def _filled(word: str, program: Any) -> str:
    """A word with the macros that do not depend on the run."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name == "env":
            return ""
        if name == "interpreter":
            return sys.executable
        if name == "program":
            if not isinstance(program, str):
                raise ConfigError("The sweep's `command` names ${program}: set `program` too.")
            return program
        if name.startswith("envvar:"):
            variable = name.removeprefix("envvar:")
            if variable not in os.environ:
                raise ConfigError(f"The sweep's `command` reads ${variable}, which is not set.")
            return os.environ[variable]
        return match[0]

    return MACRO.sub(fill, word)


def _after_gflow(words: list[str]) -> list[str] | None:
    """The words after those that start gflow, or None if they start something else."""
    if Path(words[0]).name == "gflow":
        return words[1:]
    if words[0] == "-m" and words[1:2] == ["gflow"]:
        return words[2:]
    if Path(words[0]).name.startswith("python") and "-m" in words:
        at = words.index("-m")
        if words[at + 1 : at + 2] == ["gflow"]:
            return words[at + 2 :]
    return None


def _flags(point: Point) -> list[str]:
    """The flags of `gflow train`; nested names count by their last part, null leaves a flag out."""
    found: list[str] = []
    for name, value in point.items():
        flag = "--" + name.rpartition(".")[2]
        if value is None:
            continue
        if isinstance(value, list):
            found += [flag, *map(str, value)]
        elif isinstance(value, dict):
            raise ConfigError(
                f"The sweep's parameter {name!r} is a mapping, and no option is: {value!r}."
            )
        else:
            found.append(f"{flag}={value}")
    names = [name.rpartition(".")[2] for name in point]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"Two parameters of the sweep are both the option --{twice} of gflow.")
    if "out" in names:
        raise ConfigError("A sweep chooses the folder of each run: leave out the parameter `out`.")
    return found


def _script_macros(point: Point) -> dict[str, list[str]]:
    """W&B's forms of the parameters; those of one nested parameter are one mapping."""
    nested: dict[str, Any] = {}
    for name, value in point.items():
        *above, last = name.split(".")
        place = nested
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    pairs = {name: f"{name}={value}" for name, value in nested.items()}
    return {
        "args": [f"--{pair}" for pair in pairs.values()],
        "args_no_equals": [w for n, v in nested.items() for w in (f"--{n}", str(v))],
        "args_no_hyphens": list(pairs.values()),
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{pairs[name]}"
            for name, value in nested.items()
            if value is not False
        ],
        "args_json": [json.dumps(nested)],
        "args_append_hydra": [f"+{pair}" for pair in pairs.values()],
        "args_override_hydra": [f"++{pair}" for pair in pairs.values()],
    }

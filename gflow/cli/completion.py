"""`gflow completion SHELL`: a script by which a shell completes commands, names and flags.

It is made from what the parser knows and holds all of it, so that completing starts no Python.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gflow.cli.main import COMMANDS, OWN_FLAGS, command_at
from gflow.tasks.flags import LONG, chosen_parts, flags_of, prefix
from gflow.tasks.parts import REGISTRIES, part_options
from gflow.tasks.registry import importable
from gflow.tasks.signature import REQUIRED, Option, choices_of, dashed, options_of

WITH_TASK = ("train", "pretrain", "alphazero")
"""Commands whose first word is an environment."""
FURTHER = ("--config", "--help")
"""Flags of training that are no options."""


class Word(NamedTuple):
    """A flag, what it is, and the values that it may have, if these are listed."""

    flag: str
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclass
class Words:
    """All that can be completed.

    Attributes:
        commands: What each is, and its flags.
        tasks: What each environment is, and its own flags.
        common: Flags of every environment.
        parts: Flags of parts, by the flag that chooses them and their name.
    """

    commands: dict[str, tuple[str, list[Word]]] = field(default_factory=dict)
    tasks: dict[str, tuple[str, list[Word]]] = field(default_factory=dict)
    common: list[Word] = field(default_factory=list)
    parts: dict[tuple[str, str], list[Word]] = field(default_factory=dict)


def words() -> Words:
    """What the parser knows."""
    found = Words()
    for name, place in {**COMMANDS, **OWN_FLAGS}.items():
        function = command_at(place)
        own = [] if name in OWN_FLAGS else options_of(function)
        flags = [_word(dashed(o.name), o) for o in own if o.default is not REQUIRED]
        found.commands[name] = (_line(function.__doc__), [*flags, Word("--help")])
    for name, cls in sorted(importable()[0].items()):
        flags_here = flags_of(cls, chosen_parts(cls, {}))
        mine = [_word(dashed(f.names[0]), f.option) for f in flags_here if f.section == "task"]
        found.tasks[name] = (cls.summary, mine)
        if not found.common:
            general = [f for f in flags_here if f.section in ("train", "run") or f.selector]
            found.common = [_word(dashed(f.names[0]), f.option) for f in general]
            found.common += [Word(flag) for flag in FURTHER]
    for kind, (known, _) in REGISTRIES.items():
        choices = tuple(known)
        found.common = [
            w._replace(choices=choices) if w.flag == dashed(kind) else w for w in found.common
        ]
        for name in known:
            made = part_options(kind, name)
            names = [(o, f"{prefix(kind, name)}_{o.name}") for o in made]
            names += [(o, o.name) for o in made if kind not in LONG]
            found.parts[dashed(kind), name] = [_word(dashed(called), o) for o, called in names]
    return found


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print the script by which a shell completes gflow's commands and flags.

    Args:
        shell: bash, zsh or fish. For bash: gflow completion bash >> ~/.bash_completion. For zsh:
            gflow completion zsh >> ~/.zshrc. For fish: gflow completion fish >
            ~/.config/fish/completions/gflow.fish.
    """
    print({"bash": bash, "zsh": zsh, "fish": fish}[shell](words()), end="")
    return 0


def bash(known: Words) -> str:
    """The script for bash."""
    commands = {name: _flags(flags) for name, (_, flags) in known.commands.items()}
    tasks = {name: _flags(flags) for name, (_, flags) in known.tasks.items()}
    parts = {" ".join(part): _flags(flags) for part, flags in known.parts.items() if flags}
    values = {f"* {w.flag}": " ".join(w.choices) for w in known.common if w.choices}
    for group in (known.tasks, known.commands):
        for name, (_, flags) in group.items():
            values |= {f"{name} {w.flag}": " ".join(w.choices) for w in flags if w.choices}
    return f"""# gflow: completion for bash, made by `gflow completion bash`
_gflow() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="${{COMP_WORDS[1]}}" name="${{COMP_WORDS[2]}}" flags="" values="" i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=( $(compgen -W "{" ".join(known.commands)} --help --version" -- "$cur") )
    return
  fi
  case "$command" in {"|".join(WITH_TASK)}) ;; *) name="$command" ;; esac
  case "$name $prev" in
{_cases(values, "values")}
  esac
  if [ -n "$values" ]; then
    COMPREPLY=( $(compgen -W "$values" -- "$cur") )
    return
  fi
  case "$command" in
{_cases(commands, "flags")}
  esac
  case "$command" in
    {"|".join(WITH_TASK)})
      if [ "$COMP_CWORD" -eq 2 ] && [ "${{cur#-}}" = "$cur" ]; then
        COMPREPLY=( $(compgen -W "{" ".join(known.tasks)}" -- "$cur") $(compgen -f -- "$cur") )
        return
      fi
      flags="$flags {_flags(known.common)}"
      case "$name" in
{_cases(tasks, "flags", more=True)}
      esac
      for (( i = 2; i < COMP_CWORD; i++ )); do
        case "${{COMP_WORDS[i]}} ${{COMP_WORDS[i+1]}}" in
{_cases(parts, "flags", more=True)}
        esac
      done ;;
  esac
  if [ "${{cur#-}}" != "$cur" ]; then
    COMPREPLY=( $(compgen -W "$flags" -- "$cur") )
  else
    COMPREPLY=( $(compgen -f -- "$cur") )
  fi
}}
complete -o filenames -F _gflow gflow
"""


def zsh(known: Words) -> str:
    """The script for zsh, which reads that of bash."""
    start = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
    return "# gflow: completion for zsh, made by `gflow completion zsh`\n" + start + bash(known)


def fish(known: Words) -> str:
    """The script for fish."""
    lines = ["# gflow: completion for fish, made by `gflow completion fish`"]
    for name, (line, flags) in known.commands.items():
        lines.append(f"complete -c gflow -n __fish_use_subcommand -f -a {name} -d {_quoted(line)}")
        lines += _fish(flags, f"__fish_seen_subcommand_from {name}")
    with_task = f"__fish_seen_subcommand_from {' '.join(WITH_TASK)}"
    lines += _fish(known.common, with_task)
    for name, (line, flags) in known.tasks.items():
        lines.append(f"complete -c gflow -n '{with_task}' -a {name} -d {_quoted(line)}")
        lines += _fish(flags, f"{with_task}; and __fish_seen_subcommand_from {name}")
    for (flag, name), flags in known.parts.items():
        chosen = f'string match -q -- "*{flag} {name} *" (commandline)'
        lines += _fish(flags, f"{with_task}; and {chosen}")
    return "\n".join(lines) + "\n"


def _fish(flags: Iterable[Word], when: str) -> list[str]:
    found = []
    for flag, line, choices in flags:
        values = f" -x -a '{' '.join(choices)}'" if choices else ""
        about = f" -d {_quoted(line)}" if line else ""
        found.append(f"complete -c gflow -n '{when}' -l {flag[2:]}{values}{about}")
    return found


def _cases(found: dict[str, str], variable: str, more: bool = False) -> str:
    """Cases of bash that set a variable, or add to it; a star at the start of a pattern is one."""
    before = f"${variable} " if more else ""
    lines = []
    for key, value in found.items():
        pattern = f'*"{key[1:]}"' if key.startswith("* ") else f'"{key}"'
        lines.append(f'    {pattern}) {variable}="{before}{value}" ;;')
    return "\n".join(lines)


def _flags(flags: Iterable[Word]) -> str:
    return " ".join(dict.fromkeys(word.flag for word in flags))


def _word(flag: str, option: Option) -> Word:
    choices = tuple(choice for choice in choices_of(option.hint) if choice)
    return Word(flag, _line(option.help), choices)


def _line(text: str | None) -> str:
    """The first sentence of a text."""
    first = " ".join((text or "").split())
    return re.split(r"(?<=[a-z)])[.:;] ", first)[0].rstrip(".")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

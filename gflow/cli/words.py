"""Words of the command line as values of flags, and the help that lists these."""

import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gflow.bounds import complaint
from gflow.errors import ConfigError
from gflow.tasks.signature import (
    REQUIRED,
    Option,
    choices_of,
    convert,
    dashed,
    is_bool,
    members_of_tuple,
    options_of,
    shown_type,
)

if TYPE_CHECKING:
    from gflow.tasks.flags import Flag

HELP = ("-h", "--help")


@dataclass(frozen=True)
class Word:
    """A flag as it was typed.

    Attributes:
        name: In Python's spelling.
        values: What came with it.
    """

    name: str
    values: tuple[str, ...]


def is_flag(word: str) -> bool:
    """Whether a word is the name of a flag, and no value such as -1e-3."""
    if word.startswith("--"):
        return len(word) > 2
    return word.startswith("-") and len(word) > 1 and not _is_number(word)


def split(words: Sequence[str]) -> tuple[list[str], list[Word]]:
    """Words before the first flag, and the flags with the words after each."""
    free: list[str] = []
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if is_flag(word):
            name, equals, value = word.lstrip("-").partition("=")
            found.append((name.replace("-", "_"), [value] if equals else []))
        elif found:
            found[-1][1].append(word)
        else:
            free.append(word)
    return free, [Word(name, tuple(values)) for name, values in found]


def together(words: Sequence[Word], options: Mapping[str, Option]) -> list[Word]:
    """Flags as typed, those that take any number of words and came several times put into one.

    Args:
        words: As typed.
        options: What they set, by the names that were typed.
    """
    found: dict[str, Word] = {}
    for number, word in enumerate(words):
        option = options.get(word.name)
        members = None if option is None else members_of_tuple(option.hint)
        if members is None or members[-1] is not Ellipsis:
            found[f"{word.name} {number}"] = word
            continue
        values = _listed(word.values)
        before = found.get(word.name)
        found[word.name] = Word(word.name, values if before is None else before.values + values)
    return list(found.values())


def _listed(values: tuple[str, ...]) -> tuple[str, ...]:
    """One value with commas as several; commas in brackets, as of SMARTS, part nothing."""
    if len(values) != 1:
        return values
    parts, depth = [""], 0
    for letter in values[0]:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(parts)


def value_of(word: Word, option: Option, called: str) -> Any:
    """The value that the words after a flag say.

    Raises:
        ConfigError: There are none, too many, or they are of another type.
    """
    members, values = members_of_tuple(option.hint), word.values
    if members is not None:
        values = _listed(values)
        kinds = members[:1] * len(values) if members[-1] is Ellipsis else members
        if len(kinds) != len(values):
            raise ConfigError(f"{called} takes {len(kinds)} values, got {len(values)}.")
        found: Any = tuple(convert(v, kind) for v, kind in zip(values, kinds, strict=True))
    elif is_bool(option.hint) and not values:
        found = True
    elif len(values) == 1:
        found = convert(values[0], option.hint)
    else:
        got = "nothing" if not values else f"{len(values)} words: {' '.join(values)}"
        raise ConfigError(f"{called} takes one value, got {got}.")
    return option.checked(found, called)


def call(function: Callable[..., int], words: Sequence[str], short: dict[str, str]) -> int:
    """Call a command whose arguments are its flags; the first may come without its name.

    Args:
        function: Documented arguments; those without a default come first. The last of these may be
            a tuple, which takes any number of words, none among them.
        words: After the command.
        short: One-letter names of flags.

    Raises:
        ConfigError: A flag that there is not, or a value that is not allowed.
    """
    name = f"gflow {function.__name__}"
    options = {option.name: option for option in options_of(function)}
    positional = [o for o in options.values() if o.default is REQUIRED]
    if any(word in HELP for word in words):
        print(_command_help(name, function, list(options.values()), short))
        return 0
    free, flags = split(words)
    given: dict[str, Any] = {}
    for number, flag in enumerate(flags):
        option = options.get(short.get(flag.name, flag.name))
        kept = _words_of(flag, option)
        free += flag.values[kept:]  # as in --seed 3 FOLDER
        flags[number] = Word(flag.name, flag.values[:kept])
    if positional and members_of_tuple(positional[-1].hint) is not None:
        rest = positional.pop()
        given[rest.name] = tuple(free[len(positional) :])
        free = free[: len(positional)]
    if len(free) > len(positional):
        raise ConfigError(f"{name} has no use for {free[len(positional)]!r}. See {name} --help.")
    for option, word in zip(positional, free, strict=False):
        given[option.name] = option.checked(convert(word, option.hint), option.name.upper())
    for flag in together(flags, options):
        key = short.get(flag.name, flag.name)
        if key not in options:
            raise ConfigError(
                f"{name} has no flag {dashed(flag.name)}; it has "
                f"{', '.join(dashed(k) for k, o in options.items() if o.default is not REQUIRED)}."
            )
        shown = f"-{flag.name}" if flag.name in short else dashed(key)
        given[key] = value_of(flag, options[key], shown)
    missing = [o.name.upper() for o in positional if o.name not in given]
    if missing:
        raise ConfigError(f"{name} needs {missing[0]}. See {name} --help.")
    return function(**given)


def _words_of(flag: Word, option: Option | None) -> int:
    """How many of the words after a flag are its own."""
    if option is not None and members_of_tuple(option.hint) is not None:
        return len(flag.values)
    if option is not None and is_bool(option.hint):
        return int(flag.values[:1] != () and _fits(flag.values[0], option))
    return 1


def _fits(word: str, option: Option) -> bool:
    """Whether a word is a value of an option."""
    return complaint(convert(word, option.hint), option.hint) is None


def listing(title: str, flags: "Iterable[Flag]", note: str = "") -> list[str]:
    """Lines of the help on some flags."""
    lines = [f"{title}:{f' {note}' if note else ''}"]
    for flag in flags:
        lines += _entry(dashed(flag.names[0]), flag.option)
    return [*lines, ""] if len(lines) > 1 else []


def _command_help(
    name: str, function: Callable[..., int], options: list[Option], short: dict[str, str]
) -> str:
    letters = {long: letter for letter, long in short.items()}
    positional = " ".join(
        o.name.upper() + (" ..." if members_of_tuple(o.hint) is not None else "")
        for o in options
        if o.default is REQUIRED
    )
    lines = [f"usage: {name} {positional}".rstrip() + " [flags]", ""]
    lines += [(function.__doc__ or "").strip().splitlines()[0], ""]
    for option in options:
        shown = option.name.upper() if option.default is REQUIRED else dashed(option.name)
        if option.name in letters:
            shown = f"-{letters[option.name]}, {shown}"
        lines += _entry(shown, option)
    return "\n".join(lines)


def wrapped(text: str, room: int = 0) -> list[str]:
    """Lines of a text that leave `room` columns of the terminal free."""
    return textwrap.wrap(text, min(100, max(60, shutil.get_terminal_size().columns)) - room)


def _entry(shown: str, option: Option) -> list[str]:
    text, choices = option.help, choices_of(option.hint)
    if not all(choice in text for choice in choices):
        text = f"{text.rstrip('.')}: {', '.join(choices)}." if text else ", ".join(choices)
    if option.default is REQUIRED:
        text += " Must be given." if shown.startswith("--") else ""
    elif option.default is not False and option.default not in ("", ()):
        value = option.default
        value = " ".join(map(str, value)) if isinstance(value, tuple) else value
        text += f" (default: {'none' if value is None else value})"
    head = f"  {shown} {'' if shown.isupper() else shown_type(option.hint)}".rstrip()
    body = wrapped(text.strip(), 28)
    if len(head) > 26 or not body:
        return [head, *(" " * 28 + line for line in body)]
    return [f"{head:<28}{body[0]}", *(" " * 28 + line for line in body[1:])]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

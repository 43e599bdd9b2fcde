"""Options read from signatures and docstrings: what a class takes that can be a flag.

A class is its own list of options. What `build` or `__init__` takes, with annotation, default and
its line under `Args` (or `Attributes` of a dataclass), becomes a flag of the command line, a key
of `config.yaml` and an argument of `gflow.fit`. Arguments that no flag can express keep their
defaults; arguments that a task supplies (an encoder of states) are left to it.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gflow.bounds import Known, complaint
from gflow.errors import ConfigError

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""

SECTIONS = ("Args:", "Attributes:")


@dataclass(frozen=True)
class Option:
    """One thing that may be set.

    Attributes:
        name: As in Python.
        hint: Its type: numbers, text, choices, and tuples of these; with bounds, if it has any.
        default: Its default, or `REQUIRED`.
        help: What it is.
    """

    name: str
    hint: Any
    default: Any
    help: str = ""

    def checked(self, value: Any, called: str) -> Any:
        """A value as it is kept, lists as tuples; `called` is the option's name for the reader.

        Raises:
            ConfigError: With what is allowed.
        """
        reason = complaint(value, self.hint)
        if reason is not None:
            raise ConfigError(f"{called} {reason}.")
        return tuple(value) if isinstance(value, list) else value


def dashed(name: str) -> str:
    """A name as it is typed."""
    return "--" + name.replace("_", "-")


def options_of(target: type | Callable[..., Any], leave: Collection[str] = ()) -> list[Option]:
    """What can be set of a class or a function, in the order of its signature.

    A `build` that a class defines comes before its `__init__`; ``**settings`` lead on to the next
    of these.

    Args:
        target: The class or function.
        leave: Arguments that somebody else supplies.

    Raises:
        ConfigError: An argument without a default cannot be a flag.
    """
    if dataclasses.is_dataclass(target) and isinstance(target, type):
        return _of_dataclass(target)
    help_of = documented(target)
    found: dict[str, Option] = {}
    for function, certain in _chain(target):
        hints = _hints(function)
        for name, parameter in _parameters(function):
            if name in found or name in leave:
                continue
            hint = hints.get(name, type(parameter.default))
            plain = plain_part(hint)
            default = parameter.default
            if plain is not None:
                found[name] = Option(name, plain, default, help_of.get(name, ""))
            elif default is REQUIRED and certain:
                what = getattr(hint, "__name__", str(hint)) if name in hints else "not annotated"
                raise ConfigError(
                    f"{target.__name__} cannot be set by flags: its argument {name!r} is {what}, "
                    f"which no flag can express, and has no default. Give it one, or write a Task "
                    f"whose `environment` fills it in."
                )
    return list(found.values())


def accepted(target: type) -> set[str]:
    """Names of all arguments of a class that a caller may give."""
    return {name for function, _ in _chain(target) for name, _ in _parameters(function)}


def plain_part(hint: Any) -> Any:
    """The part of a type that a flag can express, or None.

    Example:
        >>> plain_part(int | str | list) == int | str
        True
    """
    origin = typing.get_origin(hint)
    if hint in (int, float, bool, str) or origin is Literal:
        return hint
    if origin is Annotated:
        return None if plain_part(typing.get_args(hint)[0]) is None else hint
    if origin is tuple:
        members = [m for m in typing.get_args(hint) if m is not Ellipsis]
        return hint if members and all(plain_part(m) is not None for m in members) else None
    if origin in (typing.Union, types.UnionType):
        members = [m for m in typing.get_args(hint) if m is type(None) or plain_part(m) is not None]
        if all(m is type(None) for m in members):
            return None
        return typing.Union[tuple(members)]  # noqa: UP007
    return None


def documented(target: Any) -> dict[str, str]:
    """The lines on each argument, from the docstrings of a class, its bases and functions."""
    found: dict[str, str] = {}
    sources = [target]
    if isinstance(target, type):
        sources = [
            one
            for base in target.__mro__
            for one in (base, *(base.__dict__.get(name) for name in ("build", "__init__")))
        ]
    for source in sources:
        text = getattr(getattr(source, "__func__", source), "__doc__", None) or ""
        for name, line in _lines(inspect.cleandoc(text)):
            found.setdefault(name, line)
    return found


def convert(text: str, hint: Any) -> Any:
    """A word of the command line as a value of a type; the word itself where it is none.

    Example:
        >>> convert("3", int), convert("3", float), convert("none", float | None)
        (3, 3.0, None)
    """
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return convert(text, typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        values = [convert(text, member) for member in typing.get_args(hint)]
        others = [v for v in values if v != text or v is None]  # NaN, too, is a number
        return (others or values)[0]
    if origin is Literal:
        return next((k for k in typing.get_args(hint) if str(k) == text), text)
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if hint is type(None):
        return None if text.lower() == "none" else text
    try:
        return hint(text) if hint in (int, float) else text
    except ValueError:
        return text


def members_of_tuple(hint: Any) -> list[Any] | None:
    """Types of the members of a tuple, one with an Ellipsis if there may be any number, or None."""
    if typing.get_origin(hint) is Annotated:
        return members_of_tuple(typing.get_args(hint)[0])
    return list(typing.get_args(hint)) if typing.get_origin(hint) is tuple else None


def choices_of(hint: Any) -> tuple[str, ...]:
    """The values that a choice may have; none for other types."""
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        known = [name for note in notes if isinstance(note, Known) for name in note.names()]
        return tuple(known) or choices_of(inner)
    if typing.get_origin(hint) is Literal:
        return tuple(map(str, typing.get_args(hint)))
    return ()


def _of_dataclass(target: type) -> list[Option]:
    help_of, found = documented(target), []
    hints = typing.get_type_hints(target, include_extras=True)
    for base in target.__mro__:
        if "__dataclass_fields__" in base.__dict__:
            break
        own = inspect.get_annotations(base)
        forgotten = [n for n in own if not str(hints[n]).startswith("typing.ClassVar")]
        if forgotten:
            raise ConfigError(
                f"{base.__name__} has annotations that are no fields: {', '.join(forgotten)}. Put "
                f"@dataclass(frozen=True) above the class."
            )
    for field in dataclasses.fields(target):
        if not field.init:
            continue
        default = field.default
        if default is dataclasses.MISSING:
            made = field.default_factory
            default = REQUIRED if made is dataclasses.MISSING else made()
        plain = plain_part(hints[field.name])
        if plain is not None:
            found.append(Option(field.name, plain, default, help_of.get(field.name, "")))
        elif default is REQUIRED:
            raise ConfigError(
                f"{target.__name__} cannot be set by flags: its field {field.name!r} is "
                f"{hints[field.name]}, which no flag can express, and has no default. Give it one."
            )
    return found


def _chain(target: Any) -> Iterator[tuple[Callable[..., Any], bool]]:
    """Functions whose arguments reach a class, and whether all of them come from the caller."""
    if not isinstance(target, type):
        yield target, True
        return
    build = next((b.__dict__["build"] for b in target.__mro__ if "build" in b.__dict__), None)
    if build is not None:
        function = getattr(build, "__func__", build)
        yield function, True
        if not _passes_on(function):
            return
    for base in target.__mro__:
        if "__init__" in base.__dict__ and base is not object:
            yield base.__dict__["__init__"], build is None
            if not _passes_on(base.__dict__["__init__"]):
                return


def _passes_on(function: Callable[..., Any]) -> bool:
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, inspect.Parameter]]:
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in ("self", "cls") and parameter.kind not in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            yield name, parameter


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations, each evaluated by itself: one that cannot be is no reason to lose the others."""
    found = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        if isinstance(hint, str):
            try:
                hint = eval(hint, dict(getattr(function, "__globals__", {})))
            except Exception:  # a name for type checkers alone
                pass
        found[name] = hint
    return found


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """(name, what it is) of the entries of `Args` and `Attributes`."""
    name, words, inside = "", [""], False
    for line in [*text.splitlines(), "end:"]:
        head = re.match(r"    (\w+): (.*)", line) if inside else None
        if head or (line.strip() and not line.startswith(" ")):
            if name:
                yield name, " ".join(words).replace("`", "")
            name, words = ("", []) if not head else (head[1], [head[2].strip()])
            inside = inside if head else line.strip() in SECTIONS
        elif name and line.strip():
            words.append(line.strip())


def is_bool(hint: Any) -> bool:
    """Whether a flag may stand without a value."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return bool in typing.get_args(hint)
    return bool(hint is bool)


def shown_type(hint: Any) -> str:
    """The kind of value that a flag takes, for its help."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return "NAME" if choices_of(hint) else shown_type(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [shown_type(m) for m in typing.get_args(hint) if m is not type(None)]
        return "|".join(kind for kind in dict.fromkeys(kinds) if kind)
    if origin is Literal:
        return "NAME"
    if origin is tuple:
        members = typing.get_args(hint)
        kinds = [shown_type(m) for m in members if m is not Ellipsis]
        return f"{kinds[0]} ..." if Ellipsis in members else " ".join(kinds)
    return {int: "INT", float: "FLOAT", bool: "", str: "TEXT"}[hint]

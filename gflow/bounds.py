"""What the options of a dataclass or a signature may be: types, bounds, and why a value is refused.

Annotations say it: ``dim: Count = 2``, ``beta: Positive = 1.0``, ``ending: Literal["free",
"forced"] = "free"``. A number is finite and of a sensible size in any case.
"""

import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal

from gflow.errors import ConfigError

LARGEST = 1e12
"""Beyond this a number is a slip of the keyboard, or overflows further on."""


@dataclass(frozen=True)
class Bounds:
    """Where a number must lie, beside being finite.

    Attributes:
        low: Smallest value.
        high: Largest value.
        open_low: Whether `low` itself is excluded.
        open_high: Whether `high` itself is excluded.
    """

    low: float = -LARGEST
    high: float = LARGEST
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is inside; NaN never is."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def why_not(self, value: float) -> str:
        """What is allowed, in words that go after the name of a number that is not."""
        if self.high < LARGEST:
            left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
            return f"must lie in {left}{self.low:g}, {self.high:g}{right}"
        if not math.isfinite(value):
            return "must be finite"
        if abs(value) > LARGEST:
            return f"must be at most {LARGEST:g} in size"
        if self.open_low and not self.low:
            return "must be positive"
        return f"must be {'more than' if self.open_low else 'at least'} {self.low:g}"


ANY = Bounds()


@dataclass(frozen=True)
class Known:
    """Names that a text may have.

    Attributes:
        names: Gives them when they are asked for.
    """

    names: Callable[[], Iterable[str]]


Count = Annotated[int, Bounds(1)]
"""A number of things, at least one."""
Natural = Annotated[int, Bounds(0)]
"""A number of things, perhaps none."""
Positive = Annotated[float, Bounds(0, open_low=True)]
NotNegative = Annotated[float, Bounds(0)]
Probability = Annotated[float, Bounds(0, 1)]
Rate = Annotated[float, Bounds(0, 1000, open_low=True)]
"""A learning rate."""
Share = Annotated[float, Bounds(0, 1, open_low=True)]
"""A share that is not nothing."""
Part = Annotated[float, Bounds(0, 1, open_high=True)]
"""A share that leaves something."""
Decay = Annotated[float, Bounds(0, 100)]
"""A weight decay."""
Temperature = Annotated[float, Bounds(0, 1e6, open_low=True)]
LogitShift = Annotated[float, Bounds(-1000, 1000)]
"""What is added to a logit."""
Width = Annotated[float, Bounds(0, 1e6)]
"""A standard deviation."""


def complaint(value: Any, hint: Any) -> str | None:
    """Why a value is none of a type, in words that go after its name; None if it is fine.

    Example:
        >>> complaint(0, Count)
        'must be at least 1, got 0'
        >>> complaint("high", float)
        "must be a number, got 'high'"
        >>> complaint(2, float | None) is None
        True
    """
    return _complaint(value, hint, ANY)


def _complaint(value: Any, hint: Any, bounds: Bounds) -> str | None:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner, *notes = typing.get_args(hint)
        found = next((n for n in notes if isinstance(n, Bounds)), bounds)
        reason = _complaint(value, inner, found)
        names = [name for note in notes if isinstance(note, Known) for name in note.names()]
        return reason if reason is not None or not names else _of_names(value, names)
    if origin in (typing.Union, types.UnionType):
        reasons = [_complaint(value, member, bounds) for member in typing.get_args(hint)]
        if None in reasons:
            return None
        kind = {bool: "True", int: "whole", float: "number", str: "text"}.get(type(value), "")
        close = [r for r in reasons if r is not None and kind and kind not in r]
        return (close or [r for r in reasons if r is not None])[0]
    if origin is Literal:
        known = typing.get_args(hint)
        if any(value == k and type(value) is type(k) for k in known):
            return None
        return f"must be one of {', '.join(map(str, known))}, got {value!r}"
    if origin is tuple:
        return _of_tuple(value, typing.get_args(hint), bounds)
    return _of_kind(value, hint, bounds)


def _of_names(value: str, names: list[str]) -> str | None:
    if value in names:
        return None
    close = difflib.get_close_matches(value, names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"must be one of {', '.join(names)}, got {value!r}{hint}"


def _of_tuple(value: Any, members: Sequence[Any], bounds: Bounds) -> str | None:
    if not isinstance(value, tuple | list):
        return f"must be a list, got {value!r}"
    if len(members) == 2 and members[1] is Ellipsis:
        members = [members[0]] * len(value)
    if len(members) != len(value):
        return f"must be a list of {len(members)}, got {len(value)}"
    reasons = [_complaint(v, m, bounds) for v, m in zip(value, members, strict=True)]
    return next((f"{r} in it" for r in reasons if r is not None), None)


def _of_kind(value: Any, hint: Any, bounds: Bounds) -> str | None:
    if hint is None or hint is type(None):
        return None if value is None else f"must be none, got {value!r}"
    if hint is bool:
        return None if isinstance(value, bool) else f"must be True or False, got {value!r}"
    if hint is str:
        return None if isinstance(value, str) else f"must be text, got {value!r}"
    if hint is int or hint is float:
        whole = hint is int
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            return f"must be {'a whole number' if whole else 'a number'}, got {value!r}"
        number = float(value)
        if math.isfinite(number) and bounds.holds(number) and abs(number) <= LARGEST:
            return None
        return f"{bounds.why_not(number)}, got {value!r}"
    return None  # what is no plain option is left to who takes it


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a class, resolved once: options are made anew in every training step."""
    return typing.get_type_hints(kind, include_extras=True)


def check_fields(options: Any) -> None:
    """Refuse a dataclass of options with a value that its annotations do not allow.

    For its `__post_init__`. Fields of other types than numbers, texts, choices and tuples of these
    are left alone.

    Raises:
        ConfigError: Naming the class, the field, what is allowed and what came.
    """
    kind: Any = type(options)
    hints = _hints(kind)
    for field in dataclasses.fields(options):
        reason = complaint(getattr(options, field.name), hints[field.name])
        if reason is not None:
            raise ConfigError(f"{kind.__name__}: {field.name} {reason}.")

"""Ranges that numbers about objects should lie in, written as ``logP 2..3`` or ``weight ..400``."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gflow.errors import ConfigError, UnknownNameError

FLOOR = 1e-6
"""Smallest factor of a reward by ranges: log R of objects far away stays one to learn from."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_END = rf"(?:{_NUMBER})?"
_WRITTEN = re.compile(
    rf"\s*(?P<name>[A-Za-z][\w-]*)"
    rf"(?:\s+(?P<low>{_END})\s*\.\.\s*(?P<high>{_END})|\s+(?P<only>{_NUMBER}))?"
    rf"(?:\s+width\s+(?P<width>{_NUMBER}))?\s*"
)


@dataclass(frozen=True)
class Quantity:
    """A number about objects.

    Attributes:
        name: What it is called.
        low: Where its usual values begin.
        high: Where they end.
        width: Distance from a range at which a reward has fallen by e.
        whole: Whether it counts something.
        what: One line, with the unit.
    """

    name: str
    low: float
    high: float
    width: float
    whole: bool = False
    what: str = ""


@dataclass(frozen=True)
class Range:
    r"""An interval for a quantity, and how a reward falls off outside.

    The factor is 1 inside, ends included, and :math:`e^{-d / w}` at a distance d outside.

    Attributes:
        quantity: Name of the quantity.
        low: Lower end; -inf for none.
        high: Upper end; inf for none.
        width: w, in the unit of the quantity.
    """

    quantity: str
    low: float
    high: float
    width: float

    def __post_init__(self) -> None:
        """Refuse empty ranges."""
        if not self.low <= self.high:
            raise ConfigError(
                f"The range {self.quantity} {self.low:g}..{self.high:g} is empty: write the "
                f"smaller number first, {self.quantity} {self.high:g}..{self.low:g}."
            )
        if not 0 < self.width < math.inf:
            raise ConfigError(
                f"The width of the range of {self.quantity} must be positive, got {self.width:g}: "
                f"it is the distance outside at which the reward has fallen by e."
            )

    def log_factor(self, value: float) -> float:
        """Log of the factor at a value of the quantity."""
        return -max(self.low - value, value - self.high, 0.0) / self.width

    def __str__(self) -> str:
        """As it is written on the command line."""
        low, high = (f"{end:g}" if math.isfinite(end) else "" for end in (self.low, self.high))
        return f"{self.quantity} {low}..{high}"


def read_range(text: str, known: Mapping[str, Quantity], bare: bool = False) -> Range:
    """A range as people write it: ``logP 2..3``, ``weight ..400``, ``logP 2..3 width 1``.

    Names are read without regard to case.

    Args:
        text: The range.
        known: The quantities that there are, by lower-case name.
        bare: Whether a name alone is a range too, that of its usual values.

    Raises:
        ConfigError: It is not written so.
        UnknownNameError: There is no such quantity.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"The range {text!r} must be a name and two numbers, as in 'logP 2..3', with one end "
            f"left open as in 'weight ..400', or one number as in 'rings 2'; 'logP 2..3 width 0.5' "
            f"says how the reward falls off outside."
        )
    quantity = known.get(found["name"].lower())
    if quantity is None:
        raise UnknownNameError("quantity", found["name"], tuple(known))
    low, high, only, width = (found[k] for k in ("low", "high", "only", "width"))
    wide = float(width) if width else quantity.width
    if only is not None:
        return Range(quantity.name, float(only), float(only), wide)
    if low or high:
        return Range(
            quantity.name, float(low) if low else -math.inf, float(high) if high else math.inf, wide
        )
    if low is None and bare:
        return Range(quantity.name, quantity.low, quantity.high, wide)
    raise ConfigError(f"The range {text!r} has no end: write {quantity.name} 2..3, ..3 or 2.. .")


def log_factor(ranges: Sequence[Range], values: Sequence[float]) -> float:
    """Log of the product of the factors of several ranges."""
    return sum(r.log_factor(v) for r, v in zip(ranges, values, strict=True))

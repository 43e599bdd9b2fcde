"""What is wanted of a molecule: properties, and how they become one reward."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gflow.envs.molecules.factors import Factor, factor_of
from gflow.envs.molecules.properties import Property, property_name, read_property
from gflow.errors import ConfigError, RewardError


@dataclass(frozen=True)
class Goal:
    r"""Several properties :math:`y_i` with weights :math:`w_i` as one positive reward.

    ``"product"`` is the weighted geometric mean :math:`\prod y_i^{w_i / \sum w}`, ``"sum"`` the
    weighted arithmetic mean; both are raised to `floor` from below, so that log R is finite.

    Attributes:
        properties: Short forms (``"qed"``, ``"sa"``, ``"light"``, ``"logp:1:4"``,
            ``"weight:200:400"``, ``"similarity:SMILES"``,
            ``"isomers:FORMULA"``, ``"guacamol:GOAL"``, ``"seh:FILE"``,
            ``"dock:FILE:X:Y:Z:DX:DY:DZ"``), property objects, or functions from an RDKit molecule
            to a number that is not negative (importable ones, if workers are used). One that also
            has ``many``, from a list of molecules to as many numbers, is asked for lists.
        weights: One positive number per property; all 1 if empty.
        combine: ``"product"`` or ``"sum"``.
        floor: Smallest reward of the properties alone.
        factors: What their reward is multiplied by, in (0, 1] each: ranges, alerts, parts.
    """

    properties: tuple[str | Property, ...] = ("qed",)
    weights: tuple[float, ...] = ()
    combine: Literal["product", "sum"] = "product"
    floor: float = 1e-3
    factors: tuple[Factor, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be combined; read the short forms."""
        object.__setattr__(self, "properties", tuple(map(read_property, self.properties)))
        if not self.properties:
            raise ConfigError("Goal: give at least one property, e.g. Goal(('qed',)).")
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.properties))
        positive = all(0 < weight < math.inf for weight in self.weights)
        if len(self.weights) != len(self.properties) or not positive:
            raise ConfigError(
                f"Goal: need one positive weight per property, got weights {self.weights} for "
                f"{len(self.properties)} properties."
            )
        if self.combine not in ("product", "sum"):
            raise ConfigError(f"Goal: combine must be 'product' or 'sum', got {self.combine!r}.")
        if not 0 < self.floor < math.inf:
            raise ConfigError(f"Goal: floor must be positive, got {self.floor}.")

    @classmethod
    def read(cls, text: "str | Sequence[str] | Goal") -> "Goal":
        """A goal from one short form, several, or itself."""
        if isinstance(text, Goal):
            return text
        return cls((text,) if isinstance(text, str) else tuple(text))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the properties, in order."""
        return tuple(property_name(p) for p in self.properties)  # type: ignore[arg-type]

    def measure(self, molecules: Sequence[Any], smiles: Sequence[str]) -> list[tuple[float, ...]]:
        """The properties of each of some molecules.

        Properties with a method ``many`` are given all of them at once.

        Raises:
            RewardError: If one is negative or not finite.
        """
        columns = [_values(p, molecules) for p in self.properties]
        rows: list[tuple[float, ...]] = list(zip(*columns, strict=True))
        for values, text in zip(rows, smiles, strict=True):
            for name, value in zip(self.names, values, strict=True):
                if not (math.isfinite(value) and value >= 0):
                    raise RewardError(
                        f"Goal: the property {name!r} of {text} is {value}. Properties must be "
                        f"finite and not negative: wrap it, e.g. by max(value, 0.0)."
                    )
        return rows

    def factor(self, molecule: Any) -> float:
        """What the reward of the properties of an RDKit molecule is multiplied by."""
        return factor_of(self.factors, molecule) if self.factors else 1.0

    def value(self, measured: Sequence[float]) -> float:
        """The reward of a molecule with these properties, at least `floor`, without factors."""
        total = sum(self.weights)
        pairs = list(zip(measured, self.weights, strict=True))
        if self.combine == "sum":
            mean = sum(y * w for y, w in pairs) / total
        elif min(measured) <= 0:
            mean = 0.0
        else:
            mean = math.exp(sum(w * math.log(y) for y, w in pairs) / total)
        return max(mean, self.floor)


def _values(wanted: Any, molecules: Sequence[Any]) -> list[float]:
    """One property of each molecule."""
    many = getattr(wanted, "many", None)
    return [float(y) for y in (many(molecules) if many else map(wanted, molecules))]

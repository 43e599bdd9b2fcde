"""What marginals are learned of: places, symbols, and objects or an energy."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.bounds import check_fields
from gflow.environment.base import Environment
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError, UnknownNameError
from gflow.rewards.base import LogReward

HOME = {
    "densities": "gflow.envs.marginals.densities:Densities",
    "digits": "gflow.envs.marginals.digits:Digits",
    "ising": "gflow.envs.marginals.ising:Ising",
    "selfies": "gflow.envs.marginals.selfies:Selfies",
    "smiles": "gflow.envs.marginals.smiles:Smiles",
    "text": "gflow.envs.marginals.text:Text",
}
"""Problems by name; each is imported when it is asked for."""


@dataclass(frozen=True)
class Parts:
    """Objects in three parts, (N, D) int64 symbols each.

    Attributes:
        train: To learn from.
        validation: To choose by.
        test: To measure with.
    """

    train: Tensor
    validation: Tensor
    test: Tensor

    @classmethod
    def of(cls, objects: Tensor, share: float, seed: int = 0) -> "Parts":
        """Objects in an order that a seed says; `share` of them for each of the latter two."""
        generator = torch.Generator().manual_seed(seed)
        objects = objects[torch.randperm(len(objects), generator=generator)]
        held = int(share * len(objects))
        return cls(objects[2 * held :], objects[held : 2 * held], objects[:held])


class Unknown(LogReward[Tensor]):
    """log R = 0 of everything: what is learned is in the objects, not in a reward."""

    has_partial = True

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) zeros."""
        return torch.zeros(len(states), device=states.device)


@dataclass(frozen=True)
class Problem(ABC):
    """Objects of D places that hold one of K symbols each, and what says how likely they are.

    That is `data`, objects to learn from, or `energy`, log R of any object. Subclasses are frozen
    dataclasses; their fields are options, with a line each under `Attributes`. Symbols are
    0 ... K - 1 and K where nothing is known, whatever states of the environment look like:
    `gflow.marginals.Sites` turns one into the other.

    Attributes:
        name: As on the command line.
        summary: One line.
        picture_shape: Height and width if objects are pictures or lattices, else None.
        periodic: Whether these go around a torus.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    picture_shape: ClassVar[tuple[int, int] | None] = None
    periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    @abstractmethod
    def alphabet(self) -> Alphabet:
        """The K symbols."""

    @property
    @abstractmethod
    def places(self) -> int:
        """D."""

    @property
    def data(self) -> Parts | None:
        """Objects to learn from, if there are any."""
        return None

    @property
    def energy(self) -> LogReward[Tensor] | None:
        """What log R of states of `environment()` is, if it is known."""
        return None

    def environment(self) -> Environment[Any]:
        """Where the places are filled in any order."""
        return AnyOrder(self.alphabet, self.places, self.energy or Unknown())

    def encode(self, texts: list[str]) -> Tensor:
        """(N, D) symbols of N texts that `show` could have given.

        Raises:
            ConfigError: If one has a symbol that is not in the alphabet, or is too long.
        """
        return self.alphabet.encode(texts, self.places)

    def show(self, symbols: Tensor) -> list[str]:
        """For people: N texts of (N, D) symbols, ``?`` where nothing is known."""
        return self.alphabet.decode(symbols, "?")

    def measure(self, symbols: Tensor) -> dict[str, float]:
        """What can be said of a sample, (N, D) symbols, by its objects alone."""
        return {}

    def pictures(self, symbols: Tensor, folder: Path) -> dict[str, Path]:
        """Draw a sample, (N, D) symbols; pictures by name."""
        return {}


def named_problem(name: str, **options: Any) -> Problem:
    """A problem by its name.

    Raises:
        UnknownNameError: If there is none of that name.
        ConfigError: If it has no such option.
    """
    kind = problem_class(name)
    known = [field.name for field in fields(kind)]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"The problem {name!r} has no option {option!r}: it has "
                f"{', '.join(known) if known else 'none'}."
            )
    return kind(**options)


def problem_class(name: str) -> type[Problem]:
    """The class of a problem, imported now.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    if name not in HOME:
        raise UnknownNameError("problem of marginals", name, HOME)
    module, _, attribute = HOME[name].partition(":")
    found: type[Problem] = getattr(import_module(module), attribute)
    return found

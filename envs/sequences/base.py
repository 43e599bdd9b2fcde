"""What all sequence environments share: tokens, keys, and names for people."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sequences.alphabet import Alphabet
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

LARGEST_KEY = 2**62


class SequenceEnvironment(DiscreteEnvironment[Tensor]):
    """What all sequence environments share: tokens, keys, and names for people.

    Args:
        alphabet: The symbols.
        length: L, the number of places.
        reward: `LogReward` of (B, L) tokens.
        allowed: (L, A) bool: symbols that each place may hold; all by default.

    Attributes:
        append_only: True promises that symbols are only ever added at the end.
        fills_places: True promises that a state leads to all allowed fillings of its blanks, and to
            nothing else.
        shortest: Number of symbols of the shortest objects.
    """

    append_only: ClassVar[bool] = False
    fills_places: ClassVar[bool] = False

    def __init__(
        self,
        alphabet: Alphabet | str | Sequence[str],
        length: int,
        reward: LogReward[Tensor],
        allowed: Tensor | None = None,
    ) -> None:
        self.alphabet = alphabet if isinstance(alphabet, Alphabet) else Alphabet(alphabet)
        self.num_symbols = self.blank = len(self.alphabet)
        if length < 1:
            raise ConfigError(f"{self.name}: length must be at least 1, got {length}.")
        self.length = self.shortest = length
        self.reward = reward
        self.feature_sizes = (self.num_symbols + 1,) * length
        if allowed is not None:
            if tuple(allowed.shape) != (length, self.num_symbols) or not bool(allowed.any(1).all()):
                raise ConfigError(
                    f"{self.name}: `allowed` must be a ({length}, {self.num_symbols}) bool with a "
                    f"symbol for every place, got shape {tuple(allowed.shape)}."
                )
        self.allowed = allowed
        self._constants: dict[tuple[str, torch.device], Tensor] = {}
        self.num_keys = self._count_keys()
        if self.num_keys > LARGEST_KEY:  # keys would overflow 64 bits
            self.num_keys, self.has_keys = None, False  # type: ignore[misc]

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, L) blanks."""
        return torch.full((batch_size, self.length), self.blank, device=device)

    def show(self, states: Tensor) -> list[str]:
        """The strings, blanks as underscores."""
        return self.alphabet.decode(states, "_")

    def complete(self, states: Tensor) -> Tensor:
        """(B, L) with the first allowed symbol in those of the first `shortest` places still blank.

        What stands in for unfinished strings in forward-looking energies (`Environment.complete`).
        """
        first = torch.zeros(self.length, dtype=states.dtype, device=states.device)
        if self.allowed is not None:
            first = self._on("allowed", states.device).long().argmax(1)
        must = torch.arange(self.length, device=states.device) < self.shortest
        return torch.where((states == self.blank) & must, first, states)

    def filled(self, states: Tensor) -> Tensor:
        """(B,) int64 number of places that hold a symbol."""
        return (states != self.blank).sum(-1)

    def key(self, states: Tensor) -> Tensor:
        """(B,) digits 1 ... A of the symbols, 0 of blanks, in the radix of `_radix`."""
        digits = (states + 1).masked_fill(states == self.blank, 0)
        return (digits * self._on("radix", states.device)).sum(-1)

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, P) zeros: equally many trajectories reach all parents of a state."""
        return torch.zeros(len(states), self.num_backward_actions, device=states.device)

    def _radix(self) -> int:
        """Strings are numbers in bijective base A, without gaps; with holes the base is A + 1."""
        return self.num_symbols

    def _count_keys(self) -> int:
        return sum(self.num_symbols**size for size in range(self.length + 1))

    def _on(self, name: str, device: torch.device) -> Tensor:
        """A constant tensor, moved to each device once."""
        if (name, device) not in self._constants:
            if name == "radix":
                value = self._radix() ** torch.arange(self.length)
            else:
                assert self.allowed is not None
                value = self.allowed
            self._constants[name, device] = value.to(device)
        return self._constants[name, device]

    def _prefixes(self, device: torch.device | str) -> Tensor | None:
        """All strings of at most L symbols, in the order of their keys."""
        if self.num_keys is None:
            return None
        rest, places = torch.arange(self.num_keys, device=device), []
        for _ in range(self.length):
            digit = torch.where(rest > 0, (rest - 1) % self.num_symbols + 1, 0)
            rest = (rest - digit) // self.num_symbols
            places.append(torch.where(digit > 0, digit - 1, self.blank))
        return torch.stack(places, 1)

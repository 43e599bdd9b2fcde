"""Alphabets: between strings for people and tokens for tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.errors import ConfigError


class Alphabet:
    """Symbols and their codes 0 ... A - 1; the code A is the blank.

    Args:
        symbols: Distinct non-empty symbols: a string of characters, or a list of longer ones.

    Example:
        >>> dna = Alphabet("ACGT")
        >>> dna.decode(dna.encode(["GATT"]))
        ['GATT']
    """

    def __init__(self, symbols: str | Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        if not self.symbols or len(set(self.symbols)) < len(self.symbols) or "" in self.symbols:
            raise ConfigError(f"Alphabet: symbols must be distinct and not empty, got {symbols!r}.")
        self._separator = "" if all(len(symbol) == 1 for symbol in self.symbols) else " "
        self._code = {symbol: code for code, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def decode(self, tokens: Tensor, blank: str = "") -> list[str]:
        """B strings from (B, L) tokens; symbols longer than a character are set apart by spaces."""
        names = (*self.symbols, blank)
        rows = ([names[code] for code in row] for row in tokens.tolist())
        return [self._separator.join(name for name in row if name) for row in rows]

    def encode(self, strings: Sequence[str], length: int | None = None) -> Tensor:
        """(B, L) tokens of B strings, filled up with blanks to `length` or to the longest.

        Raises:
            ConfigError: A symbol is not in the alphabet, or a string is too long.
        """
        rows = [text.split(self._separator) if self._separator else text for text in strings]
        size = max((len(row) for row in rows), default=0) if length is None else length
        for text, row in zip(strings, rows, strict=True):
            strange = [symbol for symbol in row if symbol not in self._code]
            if strange or len(row) > size:
                why = f"{strange[0]!r} is no symbol of it" if strange else f"longer than {size}"
                raise ConfigError(f"The alphabet {self} cannot encode {text!r}: {why}.")
        return torch.tensor(
            [[self._code[s] for s in row] + [len(self)] * (size - len(row)) for row in rows]
        ).view(len(rows), size)

    def __str__(self) -> str:
        return (self._separator or "").join(self.symbols)

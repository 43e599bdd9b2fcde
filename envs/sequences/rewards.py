"""Log-rewards of sequences: complete tables, motifs, and the usual shaping of measured values."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import ORDERS, SequenceEnvironment
from gflow.errors import ConfigError, UnknownNameError
from gflow.rewards.base import LogReward


def shaped(values: Tensor, beta: float, peak: float, floor: float = 1e-3) -> Tensor:
    r"""Log R of measured values y: :math:`\beta \log \max(y, floor)`, shifted to a largest R.

    Clip, then exponentiate, then rescale so that the largest R is `peak`. The order matters.

    Args:
        values: (...) measured values y of all objects.
        beta: Exponent.
        peak: Largest reward after rescaling.
        floor: Smallest value before exponentiation.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170
    """
    if not (beta > 0 and peak > 0 and floor > 0):
        raise ConfigError(
            f"shaped: beta, peak and floor must be positive, got {beta}, {peak}, {floor}."
        )
    log_y = beta * values.clamp(min=floor).log()
    return log_y - log_y.max() + torch.tensor(peak, dtype=log_y.dtype).log()


class TableReward(LogReward[Tensor]):
    """log R looked up in a table of all A^L sequences of fixed length.

    Args:
        log_reward: (A^L,) the first symbol is the most significant digit of the index.
        num_symbols: A.
        length: L.
    """

    def __init__(self, log_reward: Tensor, num_symbols: int, length: int) -> None:
        if tuple(log_reward.shape) != (num_symbols**length,):
            raise ConfigError(
                f"TableReward: all sequences of {length} out of {num_symbols} symbols are "
                f"{num_symbols**length}, got a table of shape {tuple(log_reward.shape)}."
            )
        self._table = {log_reward.device: log_reward}
        self.log_reward = log_reward
        self._radix = num_symbols ** torch.arange(length - 1, -1, -1)

    def index(self, sequences: Tensor) -> Tensor:
        """(B,) rows of the table."""
        return (sequences * self._radix.to(sequences.device)).sum(-1)

    def sequences(self, index: Tensor) -> Tensor:
        """(n, L) the sequences of given rows of the table."""
        base = len(self.log_reward) // int(self._radix[0])
        return index[:, None] // self._radix.to(index.device) % base

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        if states.device not in self._table:
            self._table[states.device] = self.log_reward.to(states.device)
        return self._table[states.device][self.index(states)]


class MotifReward(LogReward[Tensor]):
    r"""Sequences full of short motifs: :math:`R = \max(c / (L / 2), floor)^\beta`.

    c counts the places where any of the motifs begins.

    Args:
        alphabet: The symbols.
        motifs: Motifs to count.
        beta: Exponent.
        floor: Smallest value before exponentiation; no motif at all would make the reward zero.
    """

    has_partial = True

    def __init__(
        self,
        alphabet: Alphabet | str,
        motifs: Sequence[str],
        beta: float = 2.0,
        floor: float = 1e-2,
    ) -> None:
        self.alphabet = alphabet if isinstance(alphabet, Alphabet) else Alphabet(alphabet)
        if not motifs or "" in motifs or not (beta > 0 and floor > 0):
            raise ConfigError(
                f"MotifReward: need motifs, none empty, and positive beta and floor; got "
                f"{motifs!r}, {beta}, {floor}."
            )
        self.codes = [self.alphabet.encode([motif])[0].tolist() for motif in motifs]
        self.beta, self.floor = beta, floor

    def counts(self, states: Tensor) -> Tensor:
        """(B, number of motifs) int64 places where each motif begins."""
        found = []
        for codes in self.codes:
            room = states.shape[1] - len(codes) + 1
            hit = torch.ones_like(states[:, : max(room, 0)], dtype=torch.bool)
            for offset, code in enumerate(codes):
                hit = hit & (states[:, offset : offset + hit.shape[1]] == code)
            found.append(hit.sum(-1))
        return torch.stack(found, 1)

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        value = self.counts(states).sum(-1) / (states.shape[1] / 2)
        return self.beta * value.to(torch.get_default_dtype()).clamp(min=self.floor).log()


def measured_sequences(
    names: Alphabet,
    length: int,
    values: Tensor,
    order: str,
    beta: float,
    peak: float,
    floor: float,
) -> SequenceEnvironment:
    """All sequences of one length in proportion to a shaped table.

    Args:
        names: The symbols.
        length: Of the sequences.
        values: (len(names)^length,) one value per sequence, in the order of their numbers.
        order: "prepend_append", "left_to_right" or "any".
        beta: Exponent.
        peak: Largest reward.
        floor: Smallest value before exponentiation.

    Raises:
        UnknownNameError: If there is no such order of building.
    """
    if order not in ORDERS:
        raise UnknownNameError("order of building", order, ORDERS)
    reward = TableReward(shaped(values, beta, peak, floor), len(names), length)
    return ORDERS[order](names, length, reward)

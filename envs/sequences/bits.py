"""Bit strings with planted modes, written word by word."""

from typing import Literal

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.sequences.env import AnyOrder, Autoregressive
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.trajectories import Trajectories

BLOCKS = ("00000000", "11111111", "11110000", "00001111", "00111100")
"""Modes are concatenations of these."""

Form = Literal["fraction", "distance"]


def plant_modes(num_bits: int = 120, count: int = 60, seed: int = 0) -> Tensor:
    """(M, n) int64 bits of `count` modes, each n / 8 blocks drawn from `BLOCKS`.

    Modes drawn twice are kept once, so short strings may have fewer.

    Args:
        num_bits: n, a multiple of 8.
        count: Number of modes drawn.
        seed: Which modes.

    Reference:
        Malkin et al., Trajectory balance, 2022, https://arxiv.org/abs/2201.13259
    """
    if num_bits < 8 or num_bits % 8 or count < 1:
        raise ConfigError(
            f"plant_modes: the number of bits must be a positive multiple of 8 and the number of "
            f"modes positive, got {num_bits} and {count}."
        )
    blocks = torch.tensor([[int(bit) for bit in block] for block in BLOCKS])
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(BLOCKS), (count, num_bits // 8), generator=generator)
    modes: Tensor = blocks[drawn].view(count, num_bits).unique(dim=0)
    return modes


def to_words(bits: Tensor, word: int) -> Tensor:
    """(B, n / k) int64 words of k bits from (B, n) bits; the first bit of a word weighs most."""
    weight = 2 ** torch.arange(word - 1, -1, -1, device=bits.device)
    words: Tensor = (bits.unflatten(1, (-1, word)) * weight).sum(-1)
    return words


def to_bits(words: Tensor, word: int) -> Tensor:
    """(B, n) bits of (B, n / k) words."""
    shift = torch.arange(word - 1, -1, -1, device=words.device)
    bits: Tensor = words[:, :, None] >> shift & 1
    return bits.flatten(1)


class NearModes(LogReward[Tensor]):
    r"""log R = -c d(x), d the Hamming distance to the closest mode.

    =============  ===================================  ====================================
    form           log R                                used by
    =============  ===================================  ====================================
    "fraction"     :math:`-\beta d / n`                 TB paper (up to scale), gfnx: beta 3
    "distance"     :math:`-\beta d`                     torchgfn: beta = 1 / temperature;
                                                        trajectory likelihood: beta 2
    =============  ===================================  ====================================

    Args:
        modes: (M, n) bits.
        word: k, bits per token.
        beta: Inverse temperature.
        form: "fraction" or "distance".
    """

    has_partial = True

    def __init__(
        self, modes: Tensor, word: int = 8, beta: float = 3.0, form: Form = "fraction"
    ) -> None:
        if form not in ("fraction", "distance"):
            raise ConfigError(f"NearModes: form must be 'fraction' or 'distance', got {form!r}.")
        if modes.dim() != 2 or word < 1 or modes.shape[1] % word or not beta > 0:
            raise ConfigError(
                f"NearModes: the bits of a mode must be a multiple of the word and beta positive; "
                f"got modes of shape {tuple(modes.shape)}, word {word}, beta {beta}."
            )
        self.modes, self.word, self.beta, self.form = modes, word, beta, form
        size = modes.shape[1]
        self.scale = beta / size if form == "fraction" else beta
        # Row l 2^k + w of the table: distances of word w from the l-th word of every mode.
        every = to_bits(torch.arange(2**word)[:, None], word)
        chunks = modes.unflatten(1, (-1, word)).transpose(0, 1)
        table = (every[None, :, None] != chunks[:, None]).sum(-1).flatten(0, 1).float()
        offset = 2**word * torch.arange(size // word)
        self._constants = {table.device: (table, offset)}

    def distances(self, states: Tensor, weight: Tensor | None = None) -> Tensor:
        """(B, M) float32 Hamming distances of complete strings to every mode.

        Args:
            states: (B, n / k) words.
            weight: (B, n / k) float32 how much each word counts; alike by default.
        """
        device = states.device
        if device not in self._constants:
            table, offset = self._constants[torch.device("cpu")]
            self._constants[device] = table.to(device), offset.to(device)
        table, offset = self._constants[device]
        return torch.nn.functional.embedding_bag(
            states + offset, table, mode="sum", per_sample_weights=weight
        )

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        nearest = self.distances(states).amin(-1)
        return -self.scale * nearest.to(torch.get_default_dtype())

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of the words placed so far: blanks are no distance away from any mode."""
        placed = states < 2**self.word
        nearest = self.distances(states.where(placed, 0), placed.float()).amin(-1)
        return -self.scale * nearest.to(torch.get_default_dtype())

    def __repr__(self) -> str:
        return f"NearModes({len(self.modes)} modes, beta={self.beta:g}, form={self.form!r})"


def bit_sequences(
    reward: NearModes, order: Literal["left_to_right", "any"] = "left_to_right"
) -> DiscreteEnvironment[Tensor]:
    """Strings of n bits, built from words of k bits.

    Args:
        reward: Knows n and k.
        order: "left_to_right" appends words (2^k actions, a tree); "any" fills one of the n / k
            places with a word (2^k n / k actions).
    """
    if order not in ("left_to_right", "any"):
        raise ConfigError(f"bit_sequences: order must be 'left_to_right' or 'any', got {order!r}.")
    words = [f"{word:0{reward.word}b}" for word in range(2**reward.word)]
    kind = Autoregressive if order == "left_to_right" else AnyOrder
    return kind(words, reward.modes.shape[1] // reward.word, reward)


def flipped_modes(modes: Tensor, seed: int = 0) -> Tensor:
    """(M n, n) test strings: every mode with c random bits flipped, for c = 0 ... n - 1.

    Args:
        modes: (M, n) bits.
        seed: Which modes.
    """
    count, size = modes.shape
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(count, size, size, generator=generator).argsort(-1).argsort(-1)
    flip = order < torch.arange(size)[:, None]  # row c flips what comes first in a shuffle
    return (modes[:, None] ^ flip.long()).flatten(0, 1)


class ModesFound:
    """Which modes were seen so far, within a distance; a trainer callback.

    Args:
        reward: Holds the modes.
        radius: Largest distance; by default a quarter of the bits, 30 for the usual 120.

    Attributes:
        found: (M,) bool.
    """

    def __init__(self, reward: NearModes, radius: int | None = None) -> None:
        size = reward.modes.shape[1]
        self.reward = reward
        self.radius = size // 4 if radius is None else radius
        self.found = torch.zeros(len(reward.modes), dtype=torch.bool)

    def __len__(self) -> int:
        return int(self.found.sum())

    def update(self, states: Tensor) -> int:
        """Look at complete strings; the number of modes found so far."""
        self.found |= (self.reward.distances(states) <= self.radius).any(0).cpu()
        return len(self)

    def __call__(self, trainer: object, batch: Trajectories[Tensor], record: object) -> None:
        """Look at the objects of a training batch."""
        self.update(batch.final_states)

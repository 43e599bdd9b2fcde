"""Bags: multisets of letters, filled one letter at a time."""

import hashlib
import math
import random
from abc import abstractmethod
from functools import cache
from itertools import product

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

LARGEST_KEY = 2**62


class MultisetRanks:
    r"""Numbers all multisets of at most `size` from `letters` letters, densely.

    With p_i the number of letters up to and including letter i, a multiset is an increasing
    sequence p_i + i and its rank sum_i C(p_i + i, i + 1) in the combinatorial number system.

    Args:
        letters: L.
        size: Largest number of letters in a multiset.
    """

    def __init__(self, letters: int, size: int) -> None:
        self.letters, self.size = letters, size
        self.count = math.comb(size + letters, letters)

    def rank(self, counts: Tensor) -> Tensor:
        """(B,) int64 in range(count), for (B, L) int64 counts of each letter."""
        table = self._binomials(counts.device)
        upto = counts.cumsum(-1).clamp(0, self.size)
        return table.gather(1, upto.T).sum(0)

    def unrank(self, ranks: Tensor) -> Tensor:
        """(B, L) int64 counts of the multisets with given ranks."""
        table = self._binomials(ranks.device)
        upto = []
        for i in reversed(range(self.letters)):  # greedily, the largest binomial that fits
            p = torch.searchsorted(table[i], ranks, right=True) - 1
            ranks = ranks - table[i][p]
            upto.append(p)
        totals = torch.stack(upto[::-1], -1)
        return totals.diff(dim=-1, prepend=torch.zeros_like(totals[:, :1]))

    @cache
    def _binomials(self, device: torch.device) -> Tensor:
        """(L, size + 1) C(p + i, i + 1)."""
        rows = [
            [math.comb(p + i, i + 1) for p in range(self.size + 1)] for i in range(self.letters)
        ]
        return torch.tensor(rows, device=device)


class BagReward(LogReward[Tensor]):
    """A reward on (B, L) counts that is defined on bags of every size."""

    has_partial = True

    @abstractmethod
    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, L) counts."""


class Substructures(BagReward):
    r"""R = 0.01; 10 if some letter occurs often; 30 if the bag is a mode as well.

    The modes: each letter `repeats` times, filled up by the other letters; of all *ordered*
    fillings, a random `fraction` is chosen for each letter, and a bag is a mode if one of its
    orders was. The seed and nothing else decides which.

    Args:
        letters: Size of the alphabet, at least 2.
        size: Letters in a bag.
        repeats: How often is often; more than half of `size`, so that one letter at most is.
        fraction: Share of the ordered fillings that are modes.
        seed: Of the choice.
        base: Reward of a bag without substructure.
        substructure: Reward with one.
        mode: Reward of a mode.

    Raises:
        ConfigError: If the sizes do not fit.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170 (there the choice was not seeded)
    """

    def __init__(
        self,
        letters: int = 7,
        size: int = 13,
        repeats: int = 7,
        fraction: float = 0.25,
        seed: int = 0,
        base: float = 0.01,
        substructure: float = 10.0,
        mode: float = 30.0,
    ) -> None:
        if letters < 2 or not size < 2 * repeats <= 2 * size:
            raise ConfigError(
                f"Substructures: need at least 2 letters and size/2 < repeats <= size, got "
                f"{letters} letters, size={size}, repeats={repeats}."
            )
        if not (0 <= fraction <= 1 and min(base, substructure, mode) > 0):
            raise ConfigError(
                f"Substructures: fraction must lie in [0, 1] and rewards be positive, got "
                f"fraction={fraction}, rewards {base}, {substructure}, {mode}."
            )
        self.letters, self.size, self.repeats, self.seed = letters, size, repeats, seed
        self.levels = (base, substructure, mode)
        self._ranks = MultisetRanks(letters, size)
        self.modes = self._choose(fraction)

    def _choose(self, fraction: float) -> Tensor:
        """(M, L) counts of the modes, in the order of their ranks."""
        source = random.Random(self.seed)  # its `random` is the same on every machine and version
        fillings = list(product(range(self.letters - 1), repeat=self.size - self.repeats))
        chosen = set()
        for letter in range(self.letters):
            others = [i for i in range(self.letters) if i != letter]
            draws = [source.random() for _ in fillings]
            order = sorted(range(len(fillings)), key=draws.__getitem__)
            for place in order[: round(fraction * len(fillings))]:
                counts = [0] * self.letters
                counts[letter] = self.repeats
                for filler in fillings[place]:
                    counts[others[filler]] += 1
                chosen.add(tuple(counts))
        modes = torch.tensor(sorted(chosen)).view(-1, self.letters)
        return modes[self._ranks.rank(modes).argsort()]

    @property
    def fingerprint(self) -> str:
        """Hash of the list of modes, to know it again."""
        return hashlib.sha256(repr(self.modes.tolist()).encode()).hexdigest()[:16]

    def has_substructure(self, states: Tensor) -> Tensor:
        """(B,) bool: some letter occurs at least `repeats` times."""
        return (states >= self.repeats).any(-1)

    def is_mode(self, states: Tensor) -> Tensor:
        """(B,) bool: the bag is in the list of modes."""
        known = self._mode_ranks(states.device)
        if not known.shape[0]:
            return torch.zeros_like(states[:, 0], dtype=torch.bool)
        ranks = self._ranks.rank(states)
        place = torch.searchsorted(known, ranks).clamp(max=known.shape[0] - 1)
        return known[place] == ranks

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, L) counts."""
        level = self.has_substructure(states).long() + self.is_mode(states)
        return self._log_levels(states.device, torch.get_default_dtype())[level]

    @cache
    def _mode_ranks(self, device: torch.device) -> Tensor:
        return self._ranks.rank(self.modes).to(device)

    @cache
    def _log_levels(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.float64).log().to(device, dtype)

    def __repr__(self) -> str:
        return f"Substructures({self.repeats} of {self.size}, seed={self.seed})"


class Bags(DiscreteEnvironment[Tensor]):
    r"""Multisets of `size` letters.

    **What is built.** A bag of `size` letters, in no order. **State.** (B, L) int64 counts.

    **Forward actions.** i adds letter i. A bag of `size` letters is finished.

    **Backward actions.** i removes one letter i: one parent per *different* letter. The
    maximum-entropy backward policy, which removes each single letter alike, is therefore
    count_i / |s| and not uniform.

    **Reward.** Any `LogReward` of counts; see `Substructures`.

    **Size.** C(size + L - 1, L - 1) objects, C(size + L, L) states.

    Args:
        letters: Size L of the alphabet.
        size: Letters of a finished bag.
        reward: By default `Substructures`.

    Example:
        >>> env = Bags(letters=3, size=2)
        >>> bags = env.step(env.initial(1), torch.tensor([2]))
        >>> env.show(bags), env.key(bags).tolist()
        (['C'], [1])

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170
    """

    def __init__(
        self, letters: int = 7, size: int = 13, reward: LogReward[Tensor] | None = None
    ) -> None:
        if letters < 1 or size < 1:
            raise ConfigError(f"Bags: letters and size must be positive, got {letters}, {size}.")
        self.letters, self.size = letters, size
        if reward is None:
            reward = Substructures(letters, size, size // 2 + 1)
        if isinstance(reward, Substructures) and (reward.letters, reward.size) != (letters, size):
            raise ConfigError(
                f"Bags: the reward {reward!r} is for {reward.letters} letters and size "
                f"{reward.size}, the bags have {letters} letters and size {size}."
            )
        self.reward = reward
        self.num_actions = self.num_backward_actions = letters
        self.horizon = size
        self.feature_sizes = (size + 1,) * letters
        self._ranks = MultisetRanks(letters, size)
        if self._ranks.count <= LARGEST_KEY:
            self.num_keys = self._ranks.count
        else:
            self.has_keys = False  # type: ignore[misc]

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, L) zeros."""
        return torch.zeros(batch_size, self.letters, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, L) all letters, unless the bag is full."""
        return ~self.is_terminal(states)[:, None].expand(-1, self.letters)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, L) letters inside."""
        return states > 0

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) the bag is full."""
        return states.sum(-1) >= self.size

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) no letter is more frequent than in the object."""
        return (states <= objects).all(-1)

    def key(self, states: Tensor) -> Tensor:
        """(B,) the rank of the multiset; see `MultisetRanks`."""
        return self._ranks.rank(states)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor | None:
        """(C(size + L, L), L) all bags, unfinished ones included."""
        if self.num_keys is None:
            return None
        return self._ranks.unrank(torch.arange(self.num_keys, device=device))

    def objects(self, device: torch.device | str = "cpu") -> Tensor:
        """(X, L) all finished bags: those whose last letter is as frequent as it can be."""
        ranks = MultisetRanks(self.letters - 1, self.size)
        if self.letters == 1:
            return torch.full((1, 1), self.size, device=device)
        first = ranks.unrank(torch.arange(ranks.count, device=device))
        return torch.cat([first, self.size - first.sum(-1, keepdim=True)], 1)

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, L) log counts: n(parent_i) / n(s) = count_i / |s|."""
        return states.to(torch.get_default_dtype()).log()

    def log_partition(self) -> float | None:
        """Log Z as a sum over all bags, if they are at most a million."""
        if self.condition_dim or math.comb(self.size + self.letters - 1, self.size) > 1_000_000:
            return None
        return self._log_partition()

    @cache
    def _log_partition(self) -> float:
        return float(self.reward(self.objects()).double().logsumexp(0))

    def expected_reward(self) -> float:
        """Mean reward of bags sampled in proportion to it, by enumeration."""
        value = self.reward(self.objects()).double()
        return float(((2 * value).logsumexp(0) - value.logsumexp(0)).exp())

    def distance(self, one: Tensor, two: Tensor) -> Tensor:
        """(B,) int64 letters of `one` to exchange to get `two`: size - sum of min(counts)."""
        return self.size - torch.minimum(one, two).sum(-1)

    def show(self, states: Tensor) -> list[str]:
        """Letters in the order of the alphabet, or counts if there are more than 26."""
        if self.letters > 26:
            return [str(row) for row in states.tolist()]
        return [
            "".join(chr(ord("A") + i) * count for i, count in enumerate(row)) or "empty"
            for row in states.tolist()
        ]

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter_add(1, actions[:, None], torch.ones_like(actions)[:, None])

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter_add(1, actions[:, None], torch.full_like(actions, -1)[:, None])

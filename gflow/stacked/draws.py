"""Randomness of K runs: every run draws from its own generator what it would draw by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.masking import choose_masked
from gflow.sampling.exploration import ON_POLICY, Exploration


class Dice:
    """The generators of K runs.

    Args:
        generators: One for each run.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = tuple(generators)

    def fill(self, numbers: Tensor, counts: Sequence[int]) -> Tensor:
        """Uniform numbers in place of all, (L, ...) rows run after run.

        Args:
            numbers: Any.
            counts: K numbers of rows. A run without rows draws nothing.
        """
        for part, generator in zip(numbers.split(list(counts)), self.generators, strict=True):
            if part.shape[0]:
                part.uniform_(generator=generator)
        return numbers

    def coins(self, probability: Sequence[float], counts: Sequence[int], like: Tensor) -> Tensor:
        """(L,) bool, true with the probability of the row's run; without one no coin is thrown.

        Args:
            probability: K numbers.
            counts: K numbers of rows.
            like: Says the device.
        """
        numbers = torch.ones(sum(counts), device=like.device)
        parts = zip(numbers.split(list(counts)), self.generators, probability, strict=True)
        for part, generator, p in parts:
            if p and part.shape[0]:
                part.uniform_(generator=generator)
        return numbers < by_row(probability, counts, numbers)

    def choose(self, law: Categorical, counts: Sequence[int]) -> Tensor:
        """(L,) int64 actions drawn from laws whose rows come run after run."""
        logits = law.logits
        return choose_masked(logits, law.mask, self.fill(torch.empty_like(logits), counts))


@dataclass(frozen=True)
class Explorations:
    """How K runs explore.

    Attributes:
        each: One for each run.
    """

    each: tuple[Exploration, ...]

    @property
    def none(self) -> bool:
        """Whether all follow their policy."""
        return all(exploration is ON_POLICY for exploration in self.each)

    def of(self, name: str) -> list[float]:
        """A setting of all runs."""
        return [getattr(exploration, name) for exploration in self.each]

    def whole(self, count: int, dice: Dice, like: Tensor) -> Tensor | None:
        """(K count,) bool rows whose whole trajectory is uniform; None where none can be."""
        probability = self.of("trajectory_epsilon")
        if not any(probability):
            return None
        return dice.coins(probability, [count] * len(self.each), like)

    def explored(
        self,
        law: Categorical,
        uniform_rows: Tensor | None,
        stop_action: int | None,
        counts: Sequence[int],
        dice: Dice,
    ) -> Categorical:
        """The laws that actions are drawn from instead; see `Exploration.explored`."""
        logits = law.logits
        temperature, bias, epsilon = map(self.of, ("temperature", "stop_bias", "epsilon"))
        if any(t != 1 for t in temperature):
            logits = logits / by_row(temperature, counts, logits)[:, None]
        if any(bias) and stop_action is not None:
            logits = logits.clone()
            logits[:, stop_action] -= by_row(bias, counts, logits)
        if any(epsilon):
            logits = logits.masked_fill(dice.coins(epsilon, counts, logits)[:, None], 0.0)
        if uniform_rows is not None:
            logits = logits.masked_fill(uniform_rows[:, None], 0.0)
        return Categorical(logits, law.mask)


def by_row(values: Sequence[float], counts: Sequence[int], like: Tensor) -> Tensor:
    """(L,) the number of each row's run."""
    of_runs: Any = torch.tensor(values, dtype=like.dtype, device=like.device)
    sizes = torch.tensor(counts, device=like.device)
    found: Tensor = of_runs.repeat_interleave(sizes)
    return found

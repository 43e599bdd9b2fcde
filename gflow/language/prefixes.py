"""Rewards of texts, all prefixes of which are scored together and remembered."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gflow.bounds import Count, Temperature, complaint
from gflow.checks import checked
from gflow.errors import ConfigError, RewardError
from gflow.language.env import Text
from gflow.rewards.base import LogReward

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.trajectories import Trajectories


class PrefixReward(LogReward[Text]):
    """log R = score / temperature, where texts are scored together with all their prefixes.

    Scores do not depend on the temperature and are remembered, so that nothing is scored again when
    that changes, when a memory gives a text back, or when a loss asks for prefixes of what was just
    sampled. Whoever sets `temperature` changes the reward, and its `version`.

    Args:
        vocabulary: V, which stands behind the ends of texts.
        temperature: Above 0.
        remembered: Texts whose scores are kept.

    Attributes:
        edition: How often `forget` was called: scores of another edition are not those of now.
    """

    @checked
    def __init__(
        self, vocabulary: Count, temperature: Temperature = 1.0, remembered: Count = 16384
    ) -> None:
        self.vocabulary, self.remembered = vocabulary, remembered
        self._temperature = temperature
        self._scores: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._wholes: OrderedDict[tuple[int, ...], float] = OrderedDict()
        self.edition = 0

    @abstractmethod
    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) scores of stopping after each prefix of B texts; of longer ones, anything.

        Args:
            tokens: (B, n) int64, some token of the vocabulary behind the ends.
            length: (B,) int64.
            prompt: (B,) int64 numbers of their prompts.
        """

    def whole(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor | None:
        """(B,) scores of whole texts, for those whose prefixes cost more than these; else None.

        Args:
            tokens: (B, n) int64, as `score` takes them.
            length: (B,) int64.
            prompt: (B,) int64.
        """
        return None

    @property
    def temperature(self) -> float:
        """T."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        wrong = complaint(value, Temperature)
        if wrong is not None:
            raise ConfigError(f"{type(self).__name__}: the temperature {wrong}, got {value!r}.")
        if value != self._temperature:
            self._temperature = value
            self.version += 1

    def forget(self) -> None:
        """Score everything anew from now on: what scores is another."""
        self._scores.clear()
        self._wholes.clear()
        self.version += 1
        self.edition += 1

    def scores_of(self, states: Text) -> Tensor:
        """(B,) scores of finished texts; prefixes are not scored where that costs more."""
        length, names = self._length(states), self._names(states)
        found = {name: float(self._scores[name][-1]) for name in names if name in self._scores}
        found |= {name: self._wholes[name] for name in names if name in self._wholes}
        first = {name: row for row, name in enumerate(names) if name not in found}
        if first:
            tokens, rows = self._rows(states, list(first.values()), int(length.max()))
            with torch.no_grad():
                scores = self.whole(tokens, length[rows], states.prompt[rows])
            if scores is None:
                return self.prefixes_of(states).gather(1, length[:, None]).squeeze(1)
            fresh = dict(zip(first, scores.tolist(), strict=True))
            found |= fresh
            self._wholes |= fresh
            while len(self._wholes) > self.remembered:
                self._wholes.popitem(last=False)
        scores = torch.tensor([found[name] for name in names], dtype=torch.get_default_dtype())
        return scores.to(length.device)

    def _rows(self, states: Text, rows: list[int], width: int) -> tuple[Tensor, Tensor]:
        """(B, width) tokens of some texts, and (B,) their rows."""
        chosen = torch.tensor(rows, device=states.tokens.device)
        tokens = states.tokens[chosen, :width]
        return tokens.masked_fill(tokens == self.vocabulary, 0), chosen

    def __call__(self, states: Text, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self.scores_of(states) / self.temperature

    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[Text]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) log R of all stored states, as prefixes of the B final texts."""
        row, time = trajectories.first_visits()
        found = self.prefixes_of(trajectories.final_states)
        return found[row, time.clamp(max=found.shape[1] - 1)] / self.temperature

    def _length(self, states: Text) -> Tensor:
        return (states.tokens != self.vocabulary).sum(1)

    def recall(self, states: Text, scores: Tensor) -> None:
        """Take back the (B, n + 1) scores that `prefixes_of` gave for texts, in this edition."""
        scores = scores.cpu()
        for name, row in zip(self._names(states), scores, strict=True):
            if name not in self._scores:
                self._scores[name] = row[: name[1] + 1].clone()

    def _names(self, states: Text) -> list[tuple[int, ...]]:
        """What scores are remembered by: prompts, lengths and tokens."""
        length = self._length(states)
        table = torch.cat([states.prompt[:, None], length[:, None], states.tokens], 1)
        return [tuple(row[: 2 + row[1]]) for row in table.tolist()]

    def prefixes_of(self, states: Text) -> Tensor:
        """(B, n + 1) scores of all prefixes, n the longest; 0 behind the ends."""
        length, names = self._length(states), self._names(states)
        if not names:  # of trajectories that were all cut
            return torch.zeros(0, 1, device=length.device)
        width = int(length.max())
        first = {name: row for row, name in enumerate(names) if name not in self._scores}
        if first:
            tokens, rows = self._rows(states, list(first.values()), width)
            with torch.no_grad():
                found = self.score(tokens, length[rows], states.prompt[rows]).cpu()
            if tuple(found.shape) != (len(rows), width + 1):
                raise RewardError(
                    f"{self!r}: `score` must return scores of all prefixes, "
                    f"({len(rows)}, {width + 1}), got {tuple(found.shape)}."
                )
            for name, scores in zip(first, found, strict=True):
                self._scores[name] = scores[: name[1] + 1].clone()
        parts = []
        for name in names:
            self._scores.move_to_end(name)
            parts.append(self._scores[name])
        while len(self._scores) > max(self.remembered, len(first)):
            self._scores.popitem(last=False)
        padded = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
        return padded.to(device=length.device, dtype=torch.get_default_dtype())


class TextReward(PrefixReward):
    """Any function of texts.

    Args:
        function: B texts to B scores, that is log-rewards at temperature 1.
        decode: Token numbers to a text.
        vocabulary: V.
        temperature: Above 0.
    """

    def __init__(
        self,
        function: Callable[[list[str]], Sequence[float]],
        decode: Callable[[list[int]], str],
        vocabulary: int,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(vocabulary, temperature)
        self.function, self.decode = function, decode

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) what the function says of each prefix."""
        table = torch.zeros(len(tokens), tokens.shape[1] + 1)
        sizes = length.tolist()
        texts = [
            self.decode(row[:size])
            for row, most in zip(tokens.tolist(), sizes, strict=True)
            for size in range(most + 1)
        ]
        there = torch.arange(table.shape[1]) <= length.cpu()[:, None]
        said = torch.as_tensor(self.function(texts), dtype=table.dtype)
        if said.shape != (len(texts),):
            raise RewardError(
                f"{self!r}: the function must return one number per text, {len(texts)}, got shape "
                f"{tuple(said.shape)}."
            )
        return table.masked_scatter(there, said)

    def __repr__(self) -> str:
        return f"TextReward({getattr(self.function, '__name__', self.function)!s})"


class Constrained(PrefixReward):
    """The sum of several scores, at one temperature: what a model says, and a constraint on it.

    Args:
        parts: Rewards; their own temperatures do not count.
        temperature: Above 0.
    """

    def __init__(self, *parts: PrefixReward, temperature: float = 1.0) -> None:
        super().__init__(parts[0].vocabulary, temperature)
        self.parts = parts

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) the sums."""
        found = [part.score(tokens, length, prompt).cpu() for part in self.parts]
        return torch.stack([one.to(torch.get_default_dtype()) for one in found]).sum(0)

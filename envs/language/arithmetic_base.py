"""A small model that knows how sums are worked out, and does so when it feels like it."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Natural, Probability
from gflow.checks import checked
from gflow.envs.language.pretraining import pretrain, small_gpt2
from gflow.envs.language.words import word_tokenizer
from gflow.language.model import LanguageModel

LEAST, MOST = -40, 50
"""The integers that are words."""
OTHERS = ("+", "-", "=", ",", ".", "?", "Question:", "Answer:", "The", "answer", "is")
BOS, EOS = "<bos>", "<eos>"
WORDS = (*map(str, range(LEAST, MOST + 1)), *OTHERS, BOS, EOS)
PATTERN = r"<\w+>|-?\d+|[A-Za-z]+:?|[^\w\s]"
"""What a word is."""
OPERANDS = 5
"""The most numbers of a question."""
POSITIONS = 96
FIRST_LEAST, FIRST_MOST = -20, 30
"""First numbers of steps that are not those of the question."""


class Corpus:
    """Made-up texts: questions of 2 to 5 numbers, steps, answers.

    Some have the steps of the question. The others have as many that have nothing to do with it,
    correct in themselves. The answer is the result of the last step in either case.

    Args:
        relevant: Share of texts with the steps of the question.
        early: The same at the beginning of training; it falls to the other over the first half.
    """

    @checked
    def __init__(self, relevant: Probability = 0.3, early: Probability = 1.0) -> None:
        self.relevant, self.early = relevant, early
        self.number = {word: number for number, word in enumerate(WORDS)}

    def __call__(
        self, count: int, generator: torch.Generator, part: float
    ) -> tuple[Tensor, Tensor]:
        """(count, n) tokens, and which of them are learned: all behind the question."""
        share = self.relevant + (self.early - self.relevant) * max(0.0, 1 - 2 * part)
        rest = OPERANDS - 1

        def drawn(high: int, width: int) -> Tensor:
            return torch.randint(high, (count, width), generator=generator)

        size = 2 + drawn(rest, 1)
        numbers, signs = drawn(10, OPERANDS), 1 - 2 * drawn(2, rest)
        totals = numbers[:, :1] + (signs * numbers[:, 1:]).cumsum(1)
        asked = torch.stack([torch.cat([numbers[:, :1], totals[:, :-1]], 1), signs, numbers[:, 1:]])
        first = FIRST_LEAST + drawn(FIRST_MOST - FIRST_LEAST + 1, rest)
        others = torch.stack([first, 1 - 2 * drawn(2, rest), drawn(10, rest)])
        apt = torch.rand(count, 1, generator=generator) < share
        return self._texts(size, numbers, signs, torch.where(apt, asked, others))

    def _texts(
        self, size: Tensor, numbers: Tensor, signs: Tensor, steps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Texts of questions of `size` (B, 1) of the numbers and steps (3, B, 4), left-aligned."""
        left, sign, right = steps
        result = left + sign * right
        columns: list[tuple[Tensor, Tensor]] = []
        every = torch.ones_like(size[:, 0], dtype=torch.bool)

        def say(*words: str, there: Tensor = every) -> None:
            columns.extend((torch.full_like(size[:, 0], self.number[w]), there) for w in words)

        def count(value: Tensor, there: Tensor = every) -> None:
            columns.append((value - LEAST, there))

        def operate(sign: Tensor, there: Tensor) -> None:
            plus, minus = self.number["+"], self.number["-"]
            columns.append((torch.where(sign > 0, plus, minus), there))

        say(BOS, "Question:")
        for i in range(OPERANDS):
            there = size[:, 0] > i
            if i:
                operate(signs[:, i - 1], there)
            count(numbers[:, i], there)
        say("=", "?", "Answer:")
        known = len(columns)
        for i in range(OPERANDS - 1):
            there = size[:, 0] > i + 1
            if i:
                say(",", there=there)
            count(left[:, i], there)
            operate(sign[:, i], there)
            count(right[:, i], there)
            say("=", there=there)
            count(result[:, i], there)
        say(".", "The", "answer", "is")
        count(result.gather(1, size - 2).squeeze(1))
        say(".")
        tokens, there = (torch.stack(part, 1) for part in zip(*columns, strict=True))
        learned = there.clone()
        learned[:, :known] = False
        order = torch.argsort(~there, dim=1, stable=True)[:, : int(there.sum(1).max())]
        return tokens.gather(1, order), learned.gather(1, order)


def bare_arithmetic_model(seed: int = 0, layers: int = 3, width: int = 96) -> LanguageModel:
    """A model with random weights that reads and writes `WORDS`."""
    bos, eos = WORDS.index(BOS), WORDS.index(EOS)
    network = small_gpt2(len(WORDS), layers, width, POSITIONS, bos, eos, seed)
    return LanguageModel(network, word_tokenizer(WORDS, BOS, EOS, PATTERN))


@checked
def arithmetic_model(
    folder: str = "", steps: Natural = 2500, seed: int = 0, relevant: Probability = 0.3
) -> LanguageModel:
    """The model that was pre-trained in a folder; trained now, and kept there, if it is not there.

    Args:
        folder: Where it is kept; nowhere if this is empty.
        steps: Steps of its training, some minutes; 0 for random weights, which are not kept.
        seed: Of its weights and texts.
        relevant: Share of texts with the steps of the question.

    Raises:
        MissingExtraError: If the packages for language models are not installed.
    """
    if folder and (Path(folder) / "config.json").exists():
        precision: Any = str(torch.get_default_dtype()).removeprefix("torch.")
        return LanguageModel.load(folder, precision)
    model = bare_arithmetic_model(seed)
    if not steps:
        return model

    def say(step: int, loss: float) -> None:
        if step * 10 % steps < 10 * max(1, steps // 100):
            print(f"pre-training: step {step} of {steps}, loss {loss:.3f}", file=sys.stderr)

    pretrain(model.model, Corpus(relevant), steps, seed=seed, say=say)
    if folder:
        model.model.save_pretrained(folder)
        assert model.tokenizer is not None
        model.tokenizer.save_pretrained(folder)
    return model

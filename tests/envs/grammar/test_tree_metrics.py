"""Bracketing F1 and likelihood per token, by hand."""

import math

import pytest
import torch
from torch import Tensor

from gflow.envs.grammar.metrics import bracketing, judged, nll_per_token, perplexity
from gflow.errors import ShapeError


def table(*sentences: list[tuple[int, int]]) -> Tensor:
    found = torch.zeros(len(sentences), 5, 6, dtype=torch.bool)
    for row, spans in enumerate(sentences):
        for first, after in spans:
            found[row, first, after] = True
    return found


def test_f1_by_hand() -> None:
    """Whole sentences (0, n) never count, also where other spans end at n."""
    length = torch.tensor([5, 4])
    gold = table([(0, 5), (0, 2), (2, 5), (3, 5)], [(0, 4), (0, 2), (2, 4)])
    guess = table([(0, 5), (1, 5), (2, 5), (3, 5)], [(0, 4), (0, 3), (1, 3)])
    found = bracketing(guess, gold, length)
    # 2 of 3 predicted and 2 of 3 there; then 0 of 2 and 0 of 2.
    assert found.sentence == pytest.approx((2 / 3 + 0) / 2)
    assert found.corpus == pytest.approx(2 * 2 / (5 + 5))
    assert bracketing(gold, gold, length) == (1.0, 1.0)


def test_sentences_without_gold_spans() -> None:
    """Recall 1; precision 1 if nothing was predicted, else 0: an F1 of 1 or 0."""
    length = torch.tensor([2, 3, 3])
    nothing = table([(0, 2)], [(0, 3)], [(0, 3), (1, 3)])
    guess = table([(0, 2)], [(0, 3), (1, 3)], [(0, 3)])
    found = bracketing(guess, nothing, length)
    assert found.sentence == pytest.approx((1 + 0 + 0) / 3)
    assert found.corpus == 0
    assert bracketing(nothing[:1], nothing[:1], length[:1]) == (1.0, 1.0)


def test_words_and_whole_sentences_are_not_judged() -> None:
    counts = judged(5, torch.tensor([5, 3]))
    assert not counts[:, range(5), range(1, 6)].any()
    assert counts[0].nonzero().tolist() == [
        [0, 2], [0, 3], [0, 4], [1, 3], [1, 4], [1, 5], [2, 4], [2, 5], [3, 5]
    ]  # fmt: skip
    assert not counts[1, 0, 3]
    assert bool(counts[1, 0, 2])


def test_the_end_of_a_sentence_is_a_token() -> None:
    log_prob, length = torch.tensor([-6.0, -3.0]), torch.tensor([2, 4])
    assert nll_per_token(log_prob, length) == pytest.approx(9 / 8)
    assert perplexity(log_prob, length) == pytest.approx(math.exp(9 / 8))


def test_tables_of_different_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        bracketing(table([(0, 2)]), table([(0, 2)], [(0, 2)]), torch.tensor([3]))

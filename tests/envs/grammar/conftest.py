"""Small grammars with random probabilities, and what they say, written out by hand."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.envs.grammar.rules import Rules

Tree = Any
"""A word's number, or (label, left, right)."""


def random_rules(
    nonterminals: int, preterminals: int, words: int, reads_parent: bool, seed: int = 0
) -> Rules:
    g = torch.Generator().manual_seed(seed)
    q, size = (nonterminals + 1 if reads_parent else 1), nonterminals + preterminals
    pairs = (1.5 * torch.randn(q, nonterminals, size * size, generator=g)).log_softmax(-1)
    return Rules(
        torch.randn(nonterminals, generator=g).log_softmax(-1),
        pairs.view(q, nonterminals, size, size),
        torch.randn(q, preterminals, words, generator=g).log_softmax(-1),
    )


def all_trees(words: list[int], nonterminals: int) -> Iterator[Tree]:
    """Every labelled binary tree over the words."""
    if len(words) == 1:
        yield words[0]
        return
    for split in range(1, len(words)):
        for left in all_trees(words[:split], nonterminals):
            for right in all_trees(words[split:], nonterminals):
                for label in range(nonterminals):
                    yield label, left, right


def probability(rules: Rules, tree: Tree) -> float:
    """p(words, tree), by the definition: a product over rules, a sum over preterminals."""
    n, m = rules.nonterminals, rules.preterminals
    pairs, words = rules.pairs.exp().tolist(), rules.words.exp().tolist()

    def derived(symbol: int, parent: int, node: Tree) -> float:
        row = parent if rules.reads_parent else 0
        if symbol >= n:
            return words[row][symbol - n][node] if isinstance(node, int) else 0.0
        if isinstance(node, int) or node[0] != symbol:
            return 0.0
        total = 0.0
        for x in range(n + m):
            left = derived(x, symbol, node[1])
            if not left:
                continue
            for y in range(n + m):
                right = derived(y, symbol, node[2])
                total += pairs[row][symbol][x][y] * left * right
        return total

    return math.exp(rules.top[tree[0]]) * derived(tree[0], n, tree)


def written(tree: Tree) -> str:
    """As `Parser.show` writes it."""
    if isinstance(tree, int):
        return str(tree)
    return f"({tree[0]} {written(tree[1])} {written(tree[2])})"


@pytest.fixture
def rules_of() -> Callable[..., Rules]:
    return random_rules


@pytest.fixture
def trees_of() -> Callable[[list[int], int], Iterator[Tree]]:
    return all_trees


@pytest.fixture
def probability_of() -> Callable[[Rules, Tree], float]:
    return probability


@pytest.fixture
def line_of() -> Callable[[Tree], str]:
    return written


@pytest.fixture
def sentences() -> Tensor:
    """(3, 5) words of four."""
    return torch.tensor([[0, 1, 3, 0, 2], [3, 3, 1, 2, -1], [1, 0, -1, -1, -1]])

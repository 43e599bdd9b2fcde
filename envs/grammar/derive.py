"""Sentences with their trees, drawn from a grammar."""

import torch
from torch import Tensor

from gflow.envs.grammar.forest import NO_WORD, Forest
from gflow.envs.grammar.rules import Rules
from gflow.errors import ConfigError
from gflow.state import cat, take

ROUNDS = 100
"""Attempts at as many sentences as are asked for, of which the long ones are thrown away."""


def derive(
    rules: Rules, count: int, longest: int, generator: torch.Generator | None = None
) -> Forest:
    """`count` finished trees with their words, distributed as the grammar says.

    Those of more than `longest` words are drawn again, not cut.

    Raises:
        ConfigError: If nearly all are longer.
    """
    rules = rules.detached()
    parts: list[Forest] = []
    have = tried = 0
    for _ in range(ROUNDS):
        more = 16 + 5 * (count - have) // 4
        forest, short = attempt(rules, more, longest, generator)
        parts.append(take(forest, short.nonzero().squeeze(1)))
        have, tried = have + int(short.sum()), tried + more
        if have >= count:
            return take(cat(parts), torch.arange(count, device=forest.words.device))
    raise ConfigError(
        f"derive: {have} of {tried} sentences have at most {longest} words, and {count} are "
        f"wanted. Raise `longest`, or use a grammar whose sentences end."
    )


def attempt(
    rules: Rules, count: int, longest: int, generator: torch.Generator | None = None
) -> tuple[Forest, Tensor]:
    """`count` trees of leftmost derivations, and (count,) bool: it has at most `longest` words.

    What is longer is left unfinished.
    """
    device, n, m = rules.top.device, rules.nonterminals, rules.preterminals
    pairs, words = _Choice(rules.pairs.flatten(2)), _Choice(rules.words)
    row = torch.arange(count, device=device)
    # What is still to be expanded, the next one last, and the parent of each.
    pending = torch.zeros(count, longest + 3, dtype=torch.int64, device=device)
    parent = torch.full_like(pending, n)
    pending[:, 0] = _Choice(rules.top[None, None]).draw(0 * row, 0 * row, generator)
    depth = torch.ones_like(row)
    said = torch.full((count, longest + 1), NO_WORD, device=device)
    number = torch.zeros_like(row)
    alive = torch.ones_like(row, dtype=torch.bool)
    history = []
    for _ in range(2 * longest - 1):
        alive = alive & (number + depth <= longest)
        active = alive & (depth > 0)
        here = (depth - 1).clamp(min=0)
        symbol, above = pending[row, here], parent[row, here]
        inner = active & (symbol < n)
        leaf = active & (symbol >= n)
        context = rules.under(above)
        pair = pairs.draw(context, symbol.clamp(max=n - 1), generator)
        word = words.draw(context, (symbol - n).clamp(min=0), generator)
        before = (inner, symbol, here, number)
        # The left child is expanded first, so it goes on top.
        pending[row, here] = torch.where(inner, pair % (n + m), pending[row, here])
        pending[row, here + 1] = torch.where(inner, pair // (n + m), pending[row, here + 1])
        parent[row, here] = torch.where(inner, symbol, parent[row, here])
        parent[row, here + 1] = torch.where(inner, symbol, parent[row, here + 1])
        said[row, number] = torch.where(leaf, word, said[row, number])
        depth = depth + inner.long() - leaf.long()
        number = number + leaf.long()
        history.append((*before, depth, number))
    short = alive & (depth == 0)
    inner, symbol, under, begin, left, said_after = (
        torch.stack(parts, 1) for parts in zip(*history, strict=True)
    )
    return _tree(said[:, :longest], n, inner, symbol, under, begin, left, said_after), short


class _Choice:
    """Draws from the rows of a table of log-probabilities, (Q, K, C)."""

    def __init__(self, log_prob: Tensor) -> None:
        self.rows, self.size = log_prob.shape[1], log_prob.shape[2]
        share = log_prob.double().softmax(-1).flatten(0, 1).cumsum(-1)
        share = share / share[:, -1:]
        # One ascending list: row r lies between r and r + 1.
        self.edges = (share + torch.arange(len(share), device=share.device)[:, None]).flatten()

    def draw(self, first: Tensor, second: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B,) int64 columns, each drawn from the row [first, second] of its own."""
        row = first * self.rows + second
        coin = torch.rand(row.shape, generator=generator, device=row.device, dtype=torch.float64)
        found = torch.searchsorted(self.edges, coin + row, right=True)
        return (found - row * self.size).clamp(max=self.size - 1)


def _tree(
    words: Tensor,
    n: int,
    inner: Tensor,
    symbol: Tensor,
    under: Tensor,
    begin: Tensor,
    depth: Tensor,
    number: Tensor,
) -> Forest:
    """The trees of derivations, from what happened at each step.

    Args:
        words: (B, L).
        n: N.
        inner: (B, T) bool: a nonterminal was expanded.
        symbol: (B, T) what was expanded.
        under: (B, T) how many symbols were waiting beneath it.
        begin: (B, T) words before it.
        depth: (B, T) symbols waiting after the step.
        number: (B, T) words after it.
    """
    time = torch.arange(inner.shape[1], device=inner.device)
    later = time > time[:, None]

    def first(reached: Tensor) -> Tensor:
        """(B, T) words at the first later step where it holds."""
        return number.gather(1, (later & reached).long().argmax(-1))

    split = first(depth[:, None] <= under[:, :, None] + 1)  # the left child is done
    end = first(depth[:, None] <= under[:, :, None])
    size = words.shape[1] - 1
    none = torch.zeros(words.shape[0], size + 1, dtype=torch.int64, device=words.device)
    gap = (split - 1).clamp(0, size).where(inner, size)  # the last column takes what is none
    return Forest(
        words,
        torch.full_like(none, n).scatter(1, gap, symbol)[:, :size],
        none.scatter(1, gap, begin)[:, :size],
        none.scatter(1, gap, end)[:, :size],
    )

"""What a grammar says of trees: one number for each node, which adds up to log p(words, tree)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.envs.grammar.forest import Forest, children, parents, roots
from gflow.envs.grammar.rules import Rules

TABLE_CELLS = 2**22
"""Expansions of larger tables are not written out."""


def node_scores(rules: Rules, forest: Forest, table: Tensor | None = None) -> Tensor:
    """(B, G) log-probability of what each node expands into; 0 where there is none.

    Children that are words are summed over their preterminals. The expansion of a root is that of
    the topmost node, which counts only where one tree holds all words.

    Args:
        rules: Of the grammar.
        forest: B forests.
        table: What `expansions` gives, if many forests are scored by the same rules.
    """
    first, second = children(forest)
    n = rules.nonterminals
    label = forest.label.clamp(max=n - 1)
    above = parents(forest)
    parent = rules.under(label.gather(1, above.clamp(min=0)).where(above >= 0, n))
    gap = torch.arange(label.shape[1], device=label.device).expand_as(label)
    if table is not None:
        left, right = _child(forest, first, gap, n), _child(forest, second, gap + 1, n)
        value = table[parent, label, left, right]
    else:
        one, two = (
            _symbols(rules, forest, child, label, word)
            for child, word in ((first, gap), (second, gap + 1))
        )
        pairs = rules.pairs[parent, label]  # (B, G, N + M, N + M)
        value = (pairs + one[..., :, None] + two[..., None, :]).flatten(2).logsumexp(-1)
    return value.where(forest.joined, 0.0)


def expansions(rules: Rules) -> Tensor | None:
    """(Q, N, N + V, N + V) log p of nonterminals with children that are nonterminals or words.

    None if it would be too large.
    """
    n, m = rules.nonterminals, rules.preterminals
    size = n + rules.vocabulary
    if rules.pairs.shape[0] * n * size**2 > TABLE_CELLS:
        return None
    context = rules.under(torch.arange(n, device=rules.top.device))
    leaf = F.pad(rules.words[context], (0, 0, n, 0), value=-torch.inf)  # (N, N + M, V)
    inner = torch.eye(n + m, n, device=leaf.device, dtype=leaf.dtype).log()
    child = torch.cat([inner.expand(n, -1, -1), leaf], -1)  # (N, N + M, N + V)
    right = (rules.pairs[..., None] + child[:, None]).logsumexp(-2)  # (Q, N, N + M, N + V)
    return (right[..., None, :] + child[..., None]).logsumexp(-3)


def _child(forest: Forest, child: Tensor, word: Tensor, n: int) -> Tensor:
    """(B, G) int64 what a child is: a label, or a word's number above those."""
    label = forest.label.gather(1, child.clamp(min=0)).clamp(max=n - 1)
    leaf = n + forest.words.gather(1, word).clamp(min=0)
    return torch.where(child >= 0, label, leaf)


def _symbols(rules: Rules, forest: Forest, child: Tensor, label: Tensor, word: Tensor) -> Tensor:
    """(B, G, N + M) log-weight of each symbol as a child of the nodes.

    Args:
        rules: Of the grammar.
        forest: B forests.
        child: (B, G) gap of the child, -1 for a word.
        label: (B, G) of the nodes.
        word: (B, G) place of the word if the child is one.
    """
    n, m = rules.nonterminals, rules.preterminals
    below = forest.label.gather(1, child.clamp(min=0))
    inner = F.one_hot(below.clamp(max=n - 1), n + m).to(rules.top.dtype).log()
    found = forest.words.gather(1, word).clamp(min=0)
    leaf = rules.words[rules.under(label), :, found]  # (B, G, M)
    leaf = F.pad(leaf, (n, 0), value=-torch.inf)
    return torch.where((child >= 0)[..., None], inner, leaf)


def fixed(rules: Rules, forest: Forest) -> Tensor:
    """(B, G) bool: nodes whose score no further move can change.

    All of them, or, where expansions depend on the parent, those that have one.
    """
    if not rules.reads_parent:
        return forest.joined
    return forest.joined & (~roots(forest) | forest.complete[:, None])


def top_score(rules: Rules, forest: Forest) -> Tensor:
    """(B,) log p(S -> A) of finished trees, 0 for others."""
    last = roots(forest).long().argmax(-1)
    label = forest.label.gather(1, last[:, None]).squeeze(1).clamp(max=rules.nonterminals - 1)
    return rules.top[label].where(forest.complete, 0.0)


def log_joint(rules: Rules, forest: Forest, table: Tensor | None = None) -> Tensor:
    """(B,) log p(words, tree); of forests the part that no further move can change.

    Args:
        rules: Of the grammar.
        forest: B forests.
        table: What `expansions` gives, if many forests are scored by the same rules.
    """
    kept = node_scores(rules, forest, table).where(fixed(rules, forest), 0.0)
    return kept.sum(-1) + top_score(rules, forest)

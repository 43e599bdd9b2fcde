"""Grammars and parses for people."""

from collections.abc import Sequence

from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.rules import Rules

SHOWN = 6
"""Rules shown of each symbol."""


def parses(forest: Forest, vocabulary: Sequence[str] = ()) -> list[str]:
    """B lines: trees in brackets, each with its label in front.

    Args:
        forest: B forests.
        vocabulary: Words; their numbers are shown if it is empty.
    """
    words, label = forest.words.tolist(), forest.label.tolist()
    left, right = forest.left.tolist(), forest.right.tolist()
    rows = zip(words, label, left, right, strict=True)
    return [_parse(w, a, i, j, vocabulary) for w, a, i, j in rows]


def _parse(
    words: list[int], label: list[int], left: list[int], right: list[int], names: Sequence[str]
) -> str:
    count = sum(word >= 0 for word in words)
    opened = [""] * count
    closed = [""] * count
    order = sorted((left[g] - right[g], g) for g in range(len(label)) if right[g])
    for _, g in order:  # the largest first
        opened[left[g]] += f"({label[g]} "
        closed[right[g] - 1] += ")"
    shown = (names[word] if names else str(word) for word in words[:count])
    return " ".join(
        begin + word + end for begin, word, end in zip(opened, shown, closed, strict=True)
    )


def rule_table(rules: Rules, vocabulary: Sequence[str]) -> list[str]:
    """Lines: the likeliest expansions of each symbol, or, where it counts, under each parent."""
    n, m = rules.nonterminals, rules.preterminals
    names = [str(a) for a in range(n)] + [f"T{t}" for t in range(m)]
    parents = [*names[:n], "S"] if rules.reads_parent else [""]
    tops = zip(names, rules.top.exp().tolist(), strict=False)
    lines = ["S -> " + " | ".join(f"{name} ({share:.3f})" for name, share in tops)]
    for q, parent in enumerate(parents):
        under = f" under {parent}" if parent else ""
        for a in range(n):
            share, place = rules.pairs[q, a].exp().flatten().topk(min(SHOWN, (n + m) ** 2))
            found = zip(share.tolist(), place.tolist(), strict=True)
            shown = (f"{names[p // (n + m)]} {names[p % (n + m)]} ({s:.3f})" for s, p in found)
            lines.append(f"{names[a]}{under} -> {' | '.join(shown)}")
        for t in range(m):
            share, place = rules.words[q, t].exp().topk(min(SHOWN, rules.vocabulary))
            found = zip(share.tolist(), place.tolist(), strict=True)
            shown = (f"{vocabulary[w]} ({s:.3f})" for s, w in found)
            lines.append(f"{names[n + t]}{under} -> {' | '.join(shown)}")
    return lines

"""How much of a text is in another: BLEU and GLEU of single sentences."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

LONGEST = 4
"""Of the runs of words that are compared."""
UNSEEN = 0.1
"""What counts in place of no match at all."""

Words = Sequence[Hashable]


def runs(words: Words, size: int) -> "Counter[tuple[Hashable, ...]]":
    """How often each run of `size` words occurs."""
    return Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def bleu(words: Words, truth: Words) -> float:
    """BLEU-4 of a sentence: geometric mean of clipped precisions, less for being too short.

    Runs of a length that never match count 0.1, so that short sentences have a score too.

    Args:
        words: The sentence.
        truth: What it should be.

    Reference:
        Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, 2002;
        Chen and Cherry, A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU,
        2014 (method 1)
    """
    if not words or not set(words) & set(truth):
        return 0.0
    logs = 0.0
    for size in range(1, LONGEST + 1):
        mine = runs(words, size)
        shared = (mine & runs(truth, size)).total()
        logs += math.log((shared or UNSEEN) / max(mine.total(), 1))
    short = min(0.0, 1 - len(truth) / len(words))
    return math.exp(logs / LONGEST + short)


def gleu(words: Words, truth: Words) -> float:
    """GLEU-4 of a sentence: the smaller of precision and recall of all runs of 1 to 4 words.

    Args:
        words: The sentence.
        truth: What it should be.

    Reference:
        Wu et al., Google's Neural Machine Translation System, 2016,
        https://arxiv.org/abs/1609.08144
    """
    shared, mine, theirs = 0, 0, 0
    for size in range(1, LONGEST + 1):
        here, there = runs(words, size), runs(truth, size)
        shared += (here & there).total()
        mine, theirs = mine + here.total(), theirs + there.total()
    return shared / max(mine, theirs, 1)

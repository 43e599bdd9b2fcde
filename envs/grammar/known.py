"""Grammars that are known: what a learned one can be compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from gflow.envs.grammar.derive import derive
from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.rules import Rules
from gflow.errors import UnknownNameError
from gflow.state import take

KnownName = Literal["pairs", "attachment", "roles"]

LEXICON_SEED = 12
"""Of the probabilities of words, which are the same in every run."""

Expansions = Mapping[str, Mapping[str, float]]
"""For each symbol, or each symbol/parent, the probabilities of "X Y"."""


@dataclass(frozen=True)
class KnownGrammar:
    """A grammar with names.

    Attributes:
        nonterminals: Names of N symbols; the first is the topmost.
        preterminals: Names of M symbols.
        lexicon: For each preterminal, or preterminal/parent, its words.
        expansions: See `Expansions`.
        top: Probabilities of S -> A.
    """

    nonterminals: tuple[str, ...]
    preterminals: tuple[str, ...]
    lexicon: Mapping[str, str]
    expansions: Expansions
    top: Mapping[str, float]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The vocabulary."""
        return tuple(sorted({word for line in self.lexicon.values() for word in line.split()}))

    @cached_property
    def rules(self) -> Rules:
        """Log-probabilities; those of words are drawn with a fixed seed."""
        n, m = len(self.nonterminals), len(self.preterminals)
        symbols = [*self.nonterminals, *self.preterminals]
        reads = any("/" in name for name in (*self.expansions, *self.lexicon))
        contexts = [*self.nonterminals, "S"] if reads else [""]
        generator = torch.Generator().manual_seed(LEXICON_SEED)
        dtype = torch.float64
        weight = {
            name: 0.25 + torch.rand(len(line.split()), generator=generator, dtype=dtype)
            for name, line in self.lexicon.items()
        }
        top = torch.zeros(n, dtype=dtype)
        for name, share in self.top.items():
            top[self.nonterminals.index(name)] = share
        pairs = torch.zeros(len(contexts), n, n + m, n + m, dtype=dtype)
        words = torch.zeros(len(contexts), m, len(self.words), dtype=dtype)
        for q, parent in enumerate(contexts):
            for a, name in enumerate(self.nonterminals):
                for pair, share in _of(self.expansions, name, parent).items():
                    x, y = (symbols.index(symbol) for symbol in pair.split())
                    pairs[q, a, x, y] = share
            for t, name in enumerate(self.preterminals):
                key = _key(self.lexicon, name, parent)
                at = [self.words.index(word) for word in self.lexicon[key].split()]
                words[q, t, at] = weight[key] / weight[key].sum()
        return Rules(top.log(), pairs.log(), words.log())


def _key(table: Mapping[str, object], name: str, parent: str) -> str:
    return f"{name}/{parent}" if f"{name}/{parent}" in table else name


def _of(table: Expansions, name: str, parent: str) -> Mapping[str, float]:
    return table[_key(table, name, parent)]


def _pairs() -> KnownGrammar:
    """Some words of one kind, then some of another, each half branching to the right."""
    return KnownGrammar(
        nonterminals=("A", "B", "C"),
        preterminals=("X", "Y"),
        lexicon={"X": "x0 x1 x2", "Y": "y0 y1 y2"},
        expansions={
            "A": {"B C": 1.0},
            "B": {"X B": 0.5, "X X": 0.5},
            "C": {"Y C": 0.5, "Y Y": 0.5},
        },
        top={"A": 1.0},
    )


_ENGLISH = {
    "Det": "the a every",
    "N": "dog cat man telescope park hill",
    "Name": "kim lee ann",
    "V": "saw liked met found",
    "P": "in with near",
}

# A noun phrase is a name (0.25), or is expanded. Names are preterminals, so the symbol above
# chooses between both, and what is left of the expansion is Det N (2/3) or NP PP (1/3).
_NAMED = (("NP", 0.75), ("Name", 0.25))


def _phrases() -> dict[str, dict[str, float]]:
    return {
        "Z": {f"{name} VP": share for name, share in _NAMED},
        "NP": {"Det N": 2 / 3, **{f"{name} PP": share / 3 for name, share in _NAMED}},
        "VP": {**{f"V {name}": 0.8 * share for name, share in _NAMED}, "VP PP": 0.2},
        "PP": {f"P {name}": share for name, share in _NAMED},
    }


def _attachment() -> KnownGrammar:
    """A little English, in which prepositional phrases belong to a noun or to a verb."""
    return KnownGrammar(
        nonterminals=("Z", "NP", "VP", "PP"),
        preterminals=tuple(_ENGLISH),
        lexicon=_ENGLISH,
        expansions=_phrases(),
        top={"Z": 1.0},
    )


def _roles() -> KnownGrammar:
    """The same, with other determiners, nouns and names for subjects than for the rest."""
    own = {"DetS": "the every", "NS": "dog man cat"}
    rest = {"Det": "a the", "N": "cat telescope park hill"}
    lexicon = {**_ENGLISH, **own, **rest, "Name": "ann lee", "Name/Z": "kim lee"}
    phrases = _phrases()
    inner = {key: share for key, share in phrases["NP"].items() if key != "Det N"}
    return KnownGrammar(
        nonterminals=("Z", "NP", "VP", "PP"),
        preterminals=("Det", "N", "Name", "V", "P", "DetS", "NS"),
        lexicon=lexicon,
        expansions={**phrases, "NP/Z": {"DetS NS": 2 / 3, **inner}},
        top={"Z": 1.0},
    )


KNOWN: dict[str, Callable[[], KnownGrammar]] = {
    "pairs": _pairs,
    "attachment": _attachment,
    "roles": _roles,
}
"""Known grammars by name."""


def known_grammar(name: str) -> KnownGrammar:
    """The known grammar of a name.

    Raises:
        UnknownNameError: With the closest name.
    """
    if name not in KNOWN:
        raise UnknownNameError("grammar", name, KNOWN)
    return KNOWN[name]()


@dataclass(frozen=True)
class Corpus:
    """Sentences with the trees that they came from, in three parts.

    Attributes:
        grammar: What they were drawn from.
        train: Trees to train on; their words alone are shown.
        valid: Trees to choose by.
        test: Trees to judge by.
    """

    grammar: KnownGrammar
    train: Forest
    valid: Forest
    test: Forest


def corpus(
    name: str, train: int = 20_000, valid: int = 1000, test: int = 1000, longest: int = 20
) -> Corpus:
    """Sentences of a known grammar, always the same ones.

    Args:
        name: Of the grammar.
        train: Sentences to train on.
        valid: To choose by.
        test: To judge by.
        longest: Most words; longer ones are drawn again.
    """
    grammar = known_grammar(name)
    generator = torch.Generator().manual_seed(LEXICON_SEED)
    forest = derive(grammar.rules, train + valid + test, longest, generator)
    parts = torch.arange(train + valid + test).split([train, valid, test])
    return Corpus(grammar, *(take(forest, part) for part in parts))


def sentence_text(grammar: KnownGrammar, words: Tensor) -> list[str]:
    """B lines of words, (B, L)."""
    return [" ".join(grammar.words[w] for w in row if w >= 0) for row in words.tolist()]

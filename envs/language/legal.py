"""Which tokens sentences are made of, for any tokenizer."""

import re

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.language.model import LanguageModel

PLAIN = re.compile(r" ?(?:[A-Za-z]+|[0-9]+|'[a-z]{1,2}|[,;:-])")
"""A word, a number, a shortened verb, or one mark within a sentence."""

ADDRESSES = frozenset({"http", "https", "www", "com", "org", "html", "htm", "php"})
ABBREVIATIONS = frozenset(
    {
        "Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr", "No", "Inc", "Ltd", "Co", "Corp", "vs",
        "etc", "eg", "ie", "US", "UK", "EU", "UN", "Gen", "Sen", "Rep", "Gov", "Lt", "Col", "Sgt",
        "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec", "Fig",
    }
)  # fmt: skip
"""What a full stop may follow within a sentence."""


def is_plain(text: str) -> bool:
    """Whether a decoded token may stand in a sentence that a full stop ends.

    Not line ends, quotes, pieces of addresses, runs of marks, anything with a full stop in it,
    single capitals other than A and I, and common abbreviations.
    """
    if PLAIN.fullmatch(text) is None:
        return False
    word = text.strip()
    if word.lower() in ADDRESSES or word in ABBREVIATIONS:
        return False
    return not (len(word) == 1 and word.isupper() and word not in "AI")


def plain_tokens(model: LanguageModel) -> Tensor:
    """(V,) bool tokens that sentences are made of.

    Raises:
        ConfigError: If there are none.
    """
    special = set(getattr(model.tokenizer, "all_special_ids", ()))
    known = min(model.vocabulary, len(model.tokenizer or ()))
    legal = torch.zeros(model.vocabulary, dtype=torch.bool)
    rows = [t for t in range(known) if t not in special and is_plain(model.decode([t]))]
    if not rows:
        raise ConfigError(
            f"plain_tokens: none of the {model.vocabulary} tokens of this model is a plain word."
        )
    legal[rows] = True
    return legal

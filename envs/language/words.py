"""Small vocabularies of words or characters, as tokenizers of Hugging Face."""

from collections.abc import Sequence
from typing import Any

from gflow.language.model import require_package

CHARACTER = "."
"""The pattern of words that are a character each."""


def word_tokenizer(words: Sequence[str], bos: str, eos: str, pattern: str) -> Any:
    """A tokenizer that knows some words and no others; the number of a token is its place.

    Args:
        words: The vocabulary.
        bos: The word that opens texts.
        eos: The word that ends them, and stands for what is unknown.
        pattern: Regular expression of a word; what lies between words is left out. Texts are put
            together with blanks between them, unless it is `CHARACTER`.

    Raises:
        MissingExtraError: If the packages for it are not installed.
    """
    tokenizers = require_package("tokenizers", "tokenizers of language models")
    transformers = require_package("transformers", "language models")
    numbers = {word: number for number, word in enumerate(words)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token=eos))
    parts = tokenizers.pre_tokenizers
    made.pre_tokenizer = parts.Split(tokenizers.Regex(pattern), "removed", invert=True)
    if pattern == CHARACTER:
        made.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=bos, eos_token=eos, unk_token=eos
    )

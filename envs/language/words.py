"""Small vocabularies of words or characters, as tokenizers of Hugging Face."""

from collections.abc import Sequence
from typing import Any

from gflow.language.model import require_package


def word_tokenizer(words: Sequence[str], bos: str, eos: str, characters: bool = False) -> Any:
    """A tokenizer that knows some words and no others; the number of a token is its place.

    Args:
        words: The vocabulary.
        bos: The word that opens texts.
        eos: The word that ends them, and stands for what is unknown.
        characters: Whether every character is a word; else blanks part them.

    Raises:
        MissingExtraError: If the packages for it are not installed.
    """
    tokenizers = require_package("tokenizers", "tokenizers of language models")
    transformers = require_package("transformers", "language models")
    numbers = {word: number for number, word in enumerate(words)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token=eos))
    parts = tokenizers.pre_tokenizers
    if characters:
        made.pre_tokenizer = parts.Split(tokenizers.Regex("."), "isolated")
        made.decoder = tokenizers.decoders.Fuse()
    else:
        made.pre_tokenizer = parts.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=bos, eos_token=eos, unk_token=eos
    )

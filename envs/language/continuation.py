"""Continuation: the rest of a sentence, likelier than a model would write it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gflow.envs.language.integers import stop_token
from gflow.envs.language.legal import plain_tokens
from gflow.errors import ConfigError
from gflow.language.env import TokenEnvironment
from gflow.language.model import LanguageModel
from gflow.language.prompts import Prompts
from gflow.language.reference import ReferenceLM

OPENINGS = (
    "The old bridge had been closed since the winter flood. On Monday morning the engineers",
    "Anna packed two apples and a map. At the edge of the forest she",
    "Nobody in the village knew who rang the bell at night. The baker",
    "Rain fell on the harbour all day. The fishermen",
    "The museum bought a small painting last year. Visitors",
    "My brother repairs clocks. Every evening he",
    "The committee met for the third time this week. Its members",
    "A letter arrived from the north. It",
    "Most bees return to the hive before dark. Some of them",
    "The train to the coast was late again. Passengers",
    "The garden behind the school is full of weeds. Next spring the children",
    "She opened the piano for the first time in years. The music",
    "Prices of bread rose in the autumn. Many families",
    "The dog would not leave the door. Its owner",
    "Two students measured the height of the tower. Their result",
    "The lake froze early this year. People",
)
"""What models of other people's text go on from, written for this purpose."""


def openings_of(file: str) -> list[str]:
    """The prompts of a text file, one a line; the built-in ones without a file.

    Raises:
        ConfigError: If it cannot be read, or has no line.
    """
    if not file:
        return list(OPENINGS)
    try:
        lines = Path(file).read_text().splitlines()
    except OSError as e:
        raise ConfigError(f"continuation: prompts={file!r} cannot be read: {e}.") from e
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ConfigError(f"continuation: prompts={file!r} has no line; write one prompt a line.")
    return found


def encoded(model: LanguageModel, texts: Sequence[str]) -> Prompts:
    """Texts as prompts, behind the token that opens texts where the tokenizer has one."""
    opens = getattr(model.tokenizer, "bos_token_id", None)
    return Prompts([([] if opens is None else [opens]) + model.encode(text) for text in texts])


def continuation_env(
    model: LanguageModel,
    openings: Sequence[str],
    stop: str = ".",
    temperature: float = 1.0,
    max_length: int = 20,
    min_length: int = 1,
) -> TokenEnvironment:
    """The rest of a sentence behind each of some prompts, with reward p(text, stop)^(1/T).

    Args:
        model: Writes and, without its adapters, judges.
        openings: The prompts.
        stop: The token by which sentences end.
        temperature: T.
        max_length: Most tokens.
        min_length: Fewest.

    Raises:
        ConfigError: If the stop is no single token.
    """
    end, legal, prompts = stop_token(model, stop), plain_tokens(model), encoded(model, openings)
    reward = ReferenceLM(model, prompts, end, temperature, legal)
    return TokenEnvironment(
        model.vocabulary,
        end,
        reward,
        max_length,
        min_length,
        legal,
        prompts,
        decode=model.decode,
    )


def numbers_of(count: int, start: int = 0) -> torch.Tensor:
    """(count,) int64 the prompts from `start`."""
    return torch.arange(start, start + count)

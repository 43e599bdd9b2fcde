"""Infilling: the sentence between a beginning and an ending."""

from collections.abc import Sequence
from typing import Any

from gflow.envs.language.continuation import encoded
from gflow.envs.language.infilling_base import labelled
from gflow.envs.language.integers import stop_token
from gflow.envs.language.legal import plain_tokens
from gflow.envs.language.stories import Story
from gflow.language.env import Text, TokenEnvironment
from gflow.language.memory import TextMemory
from gflow.language.model import LanguageModel
from gflow.language.reference import SuffixLM
from gflow.metrics import bleu, gleu


def infilling_env(
    model: LanguageModel,
    told: Sequence[Story],
    temperature: float = 1.0,
    max_length: int = 10,
    min_length: int = 2,
    words: bool = True,
) -> TokenEnvironment:
    """Middles of stories, with reward p(middle, full stop, ending | beginning)^(1/T).

    The policy reads the beginning and the ending; what judges it reads the story in its order.

    Args:
        model: Writes and, without its adapters, judges.
        told: The stories, one a prompt.
        temperature: T.
        max_length: Most tokens of a middle.
        min_length: Fewest.
        words: Whether it is the small model, which has tokens for the labels of prompts.

    Raises:
        ConfigError: If a full stop is no single token.
    """
    stop, blank = stop_token(model, "."), " " if words else ""
    before = "" if words else " "
    ask = labelled if words else in_words
    asks = encoded(model, [ask(story, story.ending) for story in told])
    reads = encoded(model, [story.opening(blank) for story in told])
    suffixes = [[stop, *model.encode(before + story.ending), stop] for story in told]
    return TokenEnvironment(
        model.vocabulary,
        stop,
        SuffixLM(model, reads, suffixes, temperature),
        max_length,
        min_length,
        plain_tokens(model),
        asks,
        decode=model.decode,
    )


def in_words(story: Story, close: str) -> str:
    """The prompt that asks a model of other people's text for the middle of a story."""
    return f"Beginning: {story.opening('')}\nEnding: {close}.\nMiddle:"


def seed_middles(
    memory: TextMemory, model: LanguageModel, told: Sequence[Story], words: bool = True
) -> int:
    """Remember the true middles of stories that can be written; how many there are.

    Args:
        memory: Of the environment.
        model: Whose tokens they are made of.
        told: The first stories of the environment.
        words: Whether it is the small model.
    """
    env, rows, prompts = memory.env, list[list[int]](), list[int]()
    for number, story in enumerate(told):
        row = model.encode(("" if words else " ") + story.middle)
        if env.min_length <= len(row) <= env.max_length and bool(env.legal[row].all()):
            rows.append(row)
            prompts.append(number)
    if rows:
        memory.seed(rows, prompts)
    return len(rows)


def middle_metrics(env: TokenEnvironment, states: Text, told: Sequence[Story]) -> dict[str, float]:
    """How middles compare with the true ones, and with all that fit the ending.

    Args:
        env: The environment.
        states: Middles.
        told: The stories of its prompts.

    Returns:
        bleu and gleu, means over texts; where it is known what fits also valid, the share of texts
        that do, and found, the share of what fits that is among the texts of a story.
    """
    texts = [text.strip() for text in env.show(states)]
    numbers: list[int] = states.prompt.tolist()
    pairs = [(text.split(), told[n].middle.split()) for n, text in zip(numbers, texts, strict=True)]
    found: dict[str, Any] = {
        "bleu": sum(bleu(*pair) for pair in pairs) / len(pairs),
        "gleu": sum(gleu(*pair) for pair in pairs) / len(pairs),
    }
    if all(story.valid for story in told):
        fits = [text in told[n].valid for n, text in zip(numbers, texts, strict=True)]
        seen = {(n, text) for n, text, fit in zip(numbers, texts, fits, strict=True) if fit}
        found["valid"] = sum(fits) / len(fits)
        there = set(numbers)
        shares = [sum(n == k for n, _ in seen) / len(told[k].valid) for k in there]
        found["found"] = sum(shares) / len(shares)
    return found

"""Stories that a model wrote itself, sentence by sentence, kept in a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from gflow.envs.language.continuation import OPENINGS, continuation_env
from gflow.envs.language.stories import Story
from gflow.errors import ConfigError
from gflow.language.decoding import Decoder
from gflow.language.model import LanguageModel

SENTENCES = 5
NUCLEUS = 0.9


def write_stories(
    model: LanguageModel,
    openings: Sequence[str],
    seed: int = 0,
    fewest: int = 4,
    longest: int = 15,
) -> list[Story]:
    """Stories that go on from first sentences, by nucleus sampling.

    Args:
        model: Writes, without its adapters.
        openings: First sentences, with their full stops.
        seed: Of the sampling.
        fewest: Fewest tokens of a sentence.
        longest: Most.
    """
    generator = torch.Generator().manual_seed(seed)
    told = list(openings)
    sentences = [[text.rstrip(" .")] for text in told]
    for _ in range(SENTENCES - 1):
        env = continuation_env(model, told, ".", 1.0, longest, fewest)
        prompts = torch.arange(len(told))
        found = Decoder(env, model).sampled(prompts, 1, nucleus=NUCLEUS, generator=generator)
        for row, text in enumerate(env.show(found)):
            sentences[row].append(text.strip())
            told[row] += f" {text.strip()}."
    return [Story((a, b, c), d, e) for a, b, c, d, e in sentences]


def stories_of(file: str, model: LanguageModel, count: int, seed: int = 0) -> list[Story]:
    """The stories in a file; if there is none, the model writes them now, and they are kept there.

    Args:
        file: Where they are, as JSON.
        model: Writes them.
        count: How many, at most as many as there are built-in first sentences if it is to write.
        seed: Of the sampling.

    Raises:
        ConfigError: If the file holds no stories, or there are too few.
    """
    path = Path(file)
    if not path.exists():
        firsts = [text.partition(". ")[0] + "." for text in OPENINGS]
        told = write_stories(model, firsts, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(story) for story in told], indent=1) + "\n")
    try:
        rows = json.loads(path.read_text())
        told = [Story(tuple(r["beginning"]), r["middle"], r["ending"]) for r in rows]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ConfigError(
            f"infilling: {file!r} holds no stories: a list of objects with beginning (three "
            f"sentences), middle and ending, without full stops. Remove it to have the model "
            f"write new ones."
        ) from e
    if len(told) < count:
        raise ConfigError(f"infilling: {file!r} holds {len(told)} stories, {count} are asked for.")
    return told[:count]

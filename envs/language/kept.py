"""Small pre-trained models, kept in folders."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gflow.language.model import LanguageModel


def kept(folder: str, build: Callable[[], LanguageModel]) -> LanguageModel:
    """The model that is in a folder; made now, and kept there, if there is none.

    Args:
        folder: Where it is; if this is empty, it is made and kept nowhere.
        build: Makes it.
    """
    if folder and (Path(folder) / "config.json").exists():
        precision: Any = str(torch.get_default_dtype()).removeprefix("torch.")
        return LanguageModel.load(folder, precision)
    model = build()
    if folder:
        model.model.save_pretrained(folder)
        assert model.tokenizer is not None
        model.tokenizer.save_pretrained(folder)
    return model


def progress(steps: int) -> Callable[[int, float], None]:
    """Says ten times on the error stream how far pre-training is."""

    def say(step: int, loss: float) -> None:
        if step * 10 % steps < 10 * max(1, steps // 100):
            print(f"pre-training: step {step} of {steps}, loss {loss:.3f}", file=sys.stderr)

    return say

"""Handwritten digits in black and white."""

import torch
from torch import Tensor

from gflow.envs.targets.digits_vae import TRAINING_IMAGES, digits

PIXELS = 64
SIDE = 8


def binary_digits() -> Tensor:
    """(1797, 64) zeros and ones: scikit-learn's digits, with ink where half of the largest is.

    In torch's default precision. The first `TRAINING_IMAGES` are for training; the others are of
    other writers.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    return (digits() >= 0.5).to(torch.get_default_dtype())


def split(images: Tensor) -> tuple[Tensor, Tensor]:
    """Those to train on and those to test on."""
    return images[:TRAINING_IMAGES], images[TRAINING_IMAGES:]

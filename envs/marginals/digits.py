"""Handwritten digits of 8 by 8 black and white pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gflow.envs.codes.data import PIXELS, SIDE, binary_digits, split
from gflow.envs.marginals.pictures import inpainting
from gflow.envs.marginals.problem import Parts, Problem
from gflow.envs.sequences.alphabet import Alphabet

VALIDATION = 200
"""So many of the 1,500 pictures of the first writers are not trained on."""


@dataclass(frozen=True)
class Digits(Problem):
    """scikit-learn's 1,797 digits, ink where half of the largest is; tests are of other writers.

    Pictures that are alike are all kept, as they come.
    """

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "8 x 8 handwritten digits in black and white"
    picture_shape: ClassVar[tuple[int, int] | None] = (SIDE, SIDE)

    @property
    def alphabet(self) -> Alphabet:
        """No ink, and ink."""
        return Alphabet(".#")

    @property
    def places(self) -> int:
        """64 pixels, row by row."""
        return PIXELS

    @property
    def data(self) -> Parts:
        """1,300, 200 and 297 pictures.

        Raises:
            MissingExtraError: If scikit-learn is not installed.
        """
        first, test = split(binary_digits().long())
        order = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))
        return Parts(first[order[VALIDATION:]], first[order[:VALIDATION]], test)

    def pictures(self, symbols: Tensor, folder: Path) -> dict[str, Path]:
        """Two rows of them."""
        rows = dict(zip(("sampled", " "), symbols[:40].chunk(2), strict=True))
        return {"digits": inpainting(rows, (SIDE, SIDE), folder / "digits.png")}

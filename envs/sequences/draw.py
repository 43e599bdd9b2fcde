"""Sequence logos: what stands at each place, letters as high as the information that they carry."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.envs.sequences.alphabet import Alphabet
from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture, Shown

HUES = ("#0b7a3b", "#1f4fbf", "#c77700", "#b3202a", "#6a3d9a", "#00808a", "#7f4f24", "#444444")
"""Of the symbols in turn; what they are is told by their shape."""
LEAST = 0.012
"""Share of the height of a picture below which a letter is not drawn."""


def frequencies(tokens: Tensor, symbols: int, weights: Tensor | None = None) -> Tensor:
    """(L, A) probability of each symbol at each place, of strings in which that holds one.

    Args:
        tokens: (B, L) symbols, `symbols` for a blank.
        symbols: A.
        weights: (B,) probabilities of the strings; equal ones by default.
    """
    one = torch.nn.functional.one_hot(tokens.long(), symbols + 1)[..., :symbols].double()
    if weights is not None:
        one = one * weights.double().view(-1, 1, 1)
    counts = one.sum(0)
    return counts / counts.sum(-1, keepdim=True).clamp(min=1e-300)


def information(probabilities: Tensor) -> Tensor:
    """(L,) bits that each place says: log2 A less the entropy of its symbols; 0 for one unused."""
    entropy = -(torch.special.xlogy(probabilities, probabilities)).sum(-1) / torch.log(
        torch.tensor(2.0)
    )
    used = probabilities.sum(-1) > 0.5
    most = torch.log2(torch.tensor(float(probabilities.shape[-1])))
    return torch.where(used, (most - entropy).clamp(min=0), 0.0)


def letter_heights(probabilities: Tensor) -> Tensor:
    """(L, A) heights of letters in bits; those of a place sum to its information."""
    return probabilities * information(probabilities)[:, None]


def logo(axis: Any, heights: Tensor, symbols: tuple[str, ...], top: float) -> None:
    """Stack letters at each place, the most frequent on top.

    Args:
        axis: Of matplotlib.
        heights: (L, A).
        symbols: A names.
        top: Height of the axis.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    shapes: dict[int, Any] = {}
    for place, row in enumerate(heights.tolist()):
        base = 0.0
        for symbol in sorted(range(len(row)), key=row.__getitem__):
            high = row[symbol]
            if high >= LEAST * top:
                if symbol not in shapes:
                    shapes[symbol] = TextPath((0, 0), symbols[symbol], size=1)
                box = shapes[symbol].get_extents()
                wide = min(0.9, 0.9 * box.width / 0.55)  # narrow letters stay narrow
                to = Affine2D().translate(-box.x0, -box.y0)
                to = to.scale(wide / box.width, high / box.height)
                to = to.translate(place + 1 - wide / 2, base)
                colour = HUES[symbol % len(HUES)]
                axis.add_patch(PathPatch(to.transform_path(shapes[symbol]), color=colour, lw=0))
            base += high
    axis.set_xlim(0.4, len(heights) + 0.6)
    axis.set_ylim(0, top)
    step = max(1, -(-len(heights) // 20))
    axis.set_xticks(range(1, len(heights) + 1, step))
    axis.set_ylabel("bits")


def logos(
    shown: Shown, alphabet: Alphabet, read: Callable[[Tensor], Tensor] = Tensor.cpu
) -> dict[str, Picture]:
    """The learned distribution as a logo, over the exact one where that is listed.

    Args:
        shown: The run.
        alphabet: The letters.
        read: (B, L) tokens of objects in that alphabet; by default the objects themselves.
    """
    symbols = alphabet.symbols
    rows = {"learned": letter_heights(frequencies(read(shown.objects), len(symbols)))}
    if shown.target is not None:
        objects, weights = shown.target
        exact = frequencies(read(objects), len(symbols), weights.cpu())
        rows["target"] = letter_heights(exact)
    length = len(rows["learned"])
    top = max(0.05, 1.05 * max(float(heights.sum(-1).max()) for heights in rows.values()))
    wide = min(14.0, max(4.5, 0.42 * length + 1))
    figure, axes = pyplot().subplots(
        len(rows), 1, figsize=(wide, 1.9 * len(rows) + 0.4), squeeze=False, sharex=True
    )
    for axis, (name, heights) in zip(axes[:, 0], rows.items(), strict=True):
        logo(axis, heights, symbols, top)
        axis.set_title(name, loc="left", fontsize="medium")
    axes[-1, 0].set_xlabel("place")
    figure.tight_layout()
    said = f"Sequence logo of {shown.count} learned samples"
    said += " over that of the exact target" if len(rows) > 1 else ""
    said += ": letters of a place are together as high as the bits that it says."
    return {"logo": Picture(figure, said)}

"""Pictures of pictures: as they are, given back from their codes, and made up by the model."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.codes.data import SIDE
from gflow.tasks.pictures import pyplot


def gallery(rows: Mapping[str, Tensor], path: Path) -> None:
    """Rows of pictures, each with its name to the left.

    Args:
        rows: Name and (n, P) pictures of each row, ink between 0 and 1; n alike.
        path: Where to save.
    """
    plt = pyplot()
    across = max(len(pictures) for pictures in rows.values())
    figure, axes = plt.subplots(len(rows), 1, figsize=(0.6 * across + 1.6, 0.72 * len(rows)))
    for axis, (name, pictures) in zip(axes if len(rows) > 1 else [axes], rows.items(), strict=True):
        axis.imshow(side_by_side(pictures).cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        for edge in axis.spines.values():
            edge.set_visible(False)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def side_by_side(pictures: Tensor, gap: int = 1) -> Tensor:
    """(SIDE, n (SIDE + gap) - gap) n pictures (n, P) in a row, with gaps of half ink."""
    squares = pictures.detach().double().unflatten(1, (SIDE, SIDE))
    framed = torch.nn.functional.pad(squares, (0, gap), value=0.25)
    return framed.transpose(0, 1).flatten(1)[:, : -gap or None]


def atlas(pictures: Tensor, path: Path) -> None:
    """(N, P) pictures in a square: what each grid of codes stands for."""
    plt = pyplot()
    across = round(len(pictures) ** 0.5)
    missing = -len(pictures) % across
    rows = torch.nn.functional.pad(pictures.detach(), (0, 0, 0, missing)).split(across)
    lines = [torch.nn.functional.pad(side_by_side(row), (0, 0, 0, 1), value=0.25) for row in rows]
    whole = torch.cat(lines)
    figure, axis = plt.subplots(figsize=(6, 6))
    axis.imshow(whole[:-1].cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
    axis.set_axis_off()
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=150)
    plt.close(figure)

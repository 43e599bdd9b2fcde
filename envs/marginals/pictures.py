"""Pictures of what marginals are learned of."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.marginals.molecules import canonical
from gflow.envs.molecules.extras import rdkit
from gflow.tasks.pictures import pyplot

SHOWN = 12
"""Molecules in a picture."""
UNKNOWN, LINE = 0.4, 0.7
"""Ink of what is not known, and of lines between pictures."""


def inpainting(rows: Mapping[str, Tensor], shape: tuple[int, int], path: Path) -> Path:
    """Black and white pictures in rows, grey where nothing is known.

    Args:
        rows: Title and (n, D) symbols of each row: 0, 1, and 2 for unknown; n alike.
        shape: Height and width.
        path: Where to save the picture.
    """
    plt = pyplot()
    whole = tiled(list(rows.values()), shape)
    height = whole.shape[0] / whole.shape[1] * 8
    figure, axis = plt.subplots(figsize=(9, height + 0.4))
    axis.imshow(whole.numpy(), cmap="gray_r", vmin=0, vmax=1)
    axis.set_xticks([])
    axis.set_yticks([(shape[0] + 1) * (i + 0.5) for i in range(len(rows))], list(rows))
    axis.tick_params(length=0)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return path


def tiled(rows: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
    """Ink of rows of pictures in one, which thin lines keep apart.

    Args:
        rows: (n, D) symbols each: 0, 1, and 2 for unknown.
        shape: Height and width.
    """
    ink = torch.tensor([0.0, 1.0, UNKNOWN])
    lines = []
    for symbols in rows:
        framed = torch.nn.functional.pad(ink[symbols].view(-1, *shape), (0, 1, 0, 1), value=LINE)
        lines.append(framed.transpose(0, 1).flatten(1))
    return torch.cat(lines)[:-1, :-1]


def molecules(
    smiles: Sequence[str], path: Path, value: Callable[[str], float] | None = None
) -> Path:
    """The first twelve of some texts that are molecules, each with a value if one is given."""
    texts = [text for text in smiles if canonical(text) is not None][:SHOWN]
    chem, draw = rdkit(), rdkit("rdkit.Chem.Draw")
    picture = draw.MolsToGridImage(
        [chem.MolFromSmiles(text) for text in texts] or [chem.MolFromSmiles("")],
        molsPerRow=4,
        subImgSize=(300, 220),
        legends=[f"{value(text):.2f}" if value else text for text in texts] or ["no molecules"],
    )
    picture.save(path)
    return path


def histogram(
    values: Mapping[str, Sequence[float]], path: Path, name: str, centre: float, deviation: float
) -> None:
    """Histograms on one axis, and the bell that a squared distance alone would make.

    Args:
        values: Numbers by name.
        path: Where to save the picture.
        name: Of the axis.
        centre: Of the bell.
        deviation: Of the bell.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for label, numbers in values.items():
        axis.hist(list(numbers), bins=40, density=True, alpha=0.5, label=label)
    grid = torch.linspace(centre - 4 * deviation, centre + 4 * deviation, 200)
    bell = (-((grid - centre) / deviation).square() / 2).exp()
    bell = bell / (deviation * math.sqrt(2 * math.pi))
    axis.plot(grid.tolist(), bell.tolist(), color="black", label="target of log P alone")
    axis.set_xlabel(name)
    axis.set_ylabel("density")
    axis.legend()
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)

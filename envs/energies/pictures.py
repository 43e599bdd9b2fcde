"""Pictures of couplings, and of densities of the plane."""

from pathlib import Path

import torch
from torch import Tensor

from gflow.energies.networks import EnergyNetwork
from gflow.envs.energies.gray import GrayCode
from gflow.tasks.pictures import pyplot

CELLS = 120
"""Cells along a side of a picture of a density."""


def couplings_picture(truth: Tensor, found: Tensor, path: Path) -> None:
    """Two (N, N) matrices side by side on one scale, the true one first.

    Args:
        truth: J of the data.
        found: J that was learned.
        path: Where to save.
    """
    plt = pyplot()
    largest = max(float(truth.abs().max()), float(found.detach().abs().max()), 1e-9)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2))
    for axis, name, matrix in zip(axes, ("J", "learned"), (truth, found), strict=True):
        image = axis.imshow(
            matrix.detach().cpu().numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest
        )
        axis.set_title(name)
    figure.colorbar(image, ax=axes)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def plane_picture(
    data: Tensor, samples: Tensor, network: EnergyNetwork, code: GrayCode, path: Path
) -> None:
    """Where data are, where the sampler's objects are, and the learned density itself.

    Args:
        data: (X, 2 b) values.
        samples: (Y, 2 b) values.
        network: The energy.
        code: What they are a code of.
        path: Where to save.
    """
    plt = pyplot()
    shown = {
        "data": histogram(code.decode(data.cpu()), code.reach),
        "sampler": histogram(code.decode(samples.cpu()), code.reach),
        "learned density": density_grid(network, code),
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 4))
    for axis, (name, table) in zip(axes, shown.items(), strict=True):
        edge = (-code.reach, code.reach)
        axis.imshow(table.numpy(), origin="lower", extent=(*edge, *edge), cmap="viridis")
        axis.set_title(name)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def histogram(points: Tensor, reach: float, cells: int = CELLS) -> Tensor:
    """(cells, cells) share of (X, 2) points in each square; rows go up with the second coordinate.

    Args:
        points: Points.
        reach: L of the square [-L, L]^2.
        cells: Along a side.
    """
    place = ((points + reach) * (cells / (2 * reach))).floor().long().clamp(0, cells - 1)
    count = torch.bincount(place[:, 1] * cells + place[:, 0], minlength=cells**2)
    return count.view(cells, cells).double() / len(points)


def density_grid(network: EnergyNetwork, code: GrayCode, cells: int = CELLS) -> Tensor:
    """(cells, cells) p~ at the middles of squares, normalised over them; rows as of `histogram`."""
    line = (torch.arange(cells) + 0.5) * (2 * code.reach / cells) - code.reach
    points = torch.stack([line.repeat(cells), line.repeat_interleave(cells)], 1)
    device = next(network.parameters()).device
    with torch.no_grad():
        value = network.log_density(code.encode(points).to(device)).double().cpu()
    return value.softmax(0).view(cells, cells)

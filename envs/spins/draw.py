"""Spins: configurations as black and white squares, and magnetisations learned against exact."""

import torch
from torch import Tensor

from gflow.tasks.histogram import weights_in
from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture, Shown

ACROSS, DOWN = 6, 2
"""Configurations in a picture."""


def lattices(spins: Tensor, height: int, width: int) -> Picture:
    """The first samples on their lattice, +1 black and -1 white.

    Args:
        spins: (B, height * width) of -1 and 1.
        height: Rows.
        width: Columns.
    """
    figure, axes = pyplot().subplots(DOWN, ACROSS, figsize=(1.5 * ACROSS, 1.5 * DOWN))
    for axis, row in zip(axes.flat, spins.cpu(), strict=False):
        axis.imshow(row.view(height, width).numpy(), cmap="gray_r", vmin=-1, vmax=1)
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes.flat[len(spins) :]:
        axis.set_visible(False)
    figure.tight_layout()
    return Picture(figure, "Configurations of the learned sampler: +1 is black, -1 is white.")


def means(shown: Shown, spins: Tensor, exact: Tensor | None) -> Picture:
    """Histogram of mean spins.

    Args:
        shown: The run.
        spins: (B, N) of the learned samples.
        exact: (X, N) of all configurations, in the order of `shown.target`, or None.
    """
    sites = spins.shape[-1]
    edges = torch.linspace(-1 - 1 / sites, 1 + 1 / sites, sites + 2, dtype=torch.float64)
    figure, axis = pyplot().subplots(figsize=(5.6, 3.6))
    heights = weights_in(spins.double().mean(-1), torch.ones(len(spins)), edges)
    middle = ((edges[1:] + edges[:-1]) / 2).numpy()
    axis.bar(middle, heights.numpy(), 2 / sites, color="tab:blue", alpha=0.6, label="learned")
    if exact is not None and shown.target is not None:
        shares = weights_in(exact.double().mean(-1), shown.target[1], edges)
        axis.stairs(shares.numpy(), edges.numpy(), color="black", lw=1.6, label="target")
    axis.legend()
    axis.set_xlabel("mean spin of a configuration")
    axis.set_ylabel("share of configurations")
    figure.tight_layout()
    said = f"Mean spins of {len(spins)} learned configurations (bars)"
    return Picture(figure, said + ("." if exact is None else " and of the target (outlined)."))

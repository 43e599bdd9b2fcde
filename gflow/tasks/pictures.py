"""Pictures of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.errors import MissingExtraError
from gflow.report.chart import is_logarithmic
from gflow.report.folder import RunFacts


def pyplot() -> Any:
    """Matplotlib's pyplot on the file-only backend.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as e:
        raise MissingExtraError("matplotlib", "plot", "A picture") from e
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


WRITTEN = 11
"""Rows up to which grids have their values written in."""


def heatmaps(
    grids: dict[str, Tensor], path: Path, axes_names: tuple[str, str], ticks: Sequence[str] = ()
) -> None:
    """Square grids of probabilities side by side on one colour scale.

    Args:
        grids: Title and (rows, columns) values of each; rows run to the right, columns upwards.
        path: Where to save the picture.
        axes_names: What rows and columns are.
        ticks: Names of the rows and, alike, of the columns; numbers if there are none. Named grids
            of few rows have their values written in.
    """
    plt = pyplot()
    top = max(float(grid.nan_to_num().max()) for grid in grids.values())
    side = max(4.2, min(9.0, 0.3 * len(ticks)))
    figure, axes = plt.subplots(
        1, len(grids), figsize=(side * len(grids), side - 0.4), squeeze=False, layout="constrained"
    )
    for axis, (name, grid) in zip(axes[0], grids.items(), strict=True):
        image = axis.imshow(grid.T.numpy(), origin="lower", vmin=0, vmax=top, cmap="viridis")
        axis.set_title(name)
        axis.set_xlabel(axes_names[0])
        axis.set_ylabel(axes_names[1])
        if ticks:
            size = max(3.0, min(10.0, 72 * 0.7 * (side - 1.6) / len(ticks)))
            axis.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=size)
            axis.set_yticks(range(len(ticks)), ticks, fontsize=size)
        if ticks and len(ticks) <= WRITTEN:
            for (i, j), value in zip(
                torch.cartesian_prod(*[torch.arange(len(grid))] * 2).tolist(),
                grid.flatten().tolist(),
                strict=True,
            ):
                said = f"{value:.0f}" if value in (0, 1) else f"{value:.2f}".removeprefix("0")
                shade = "black" if value > 0.6 * top else "white"
                axis.text(i, j, said, ha="center", va="center", color=shade, fontsize=8)
    figure.colorbar(image, ax=list(axes[0]), label="probability")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def curves(folder: Path, headline: Sequence[str], most: int = 6) -> None:
    """Write curves.png into a run's folder: its reports against the step, a panel for each metric.

    Dashed is what a metric is at the exact solution, dotted where the run was resumed.

    Args:
        folder: Of the run, with its reports and its summary.
        headline: The metrics that come first.
        most: Panels.
    """
    plt = pyplot()
    run = RunFacts.read(folder)
    names = [name for name in headline if len(run.curve(name)) > 1]
    names += [name for name in run.names if len(run.curve(name)) > 1 and name not in names]
    names = names[:most]
    if not names:
        return
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure, axes = plt.subplots(down, across, figsize=(3.6 * across, 2.7 * down), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        points = run.curve(name)
        axis.plot(*zip(*points, strict=True))
        exact = run.exact.get(name)
        if is_logarithmic(name, [value for _, value in points]):
            axis.set_yscale("log")
            exact = exact if exact is not None and exact > 0 else None
        if exact is not None:
            axis.axhline(exact, color="black", linestyle="--", linewidth=1)
        for step in run.resumed:
            axis.axvline(step, color="gray", linestyle=":", linewidth=1)
        axis.set_title(name)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=120)
    plt.close(figure)


def fronts(sets: dict[str, Tensor], names: tuple[str, ...], path: Path, most: int = 6) -> None:
    """Vectors of scores in the plane of each pair of scores, one colour and mark per set."""
    plt = pyplot()
    pairs = [(i, j) for j in range(len(names)) for i in range(j)][:most] or [(0, 0)]
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    figure, axes = plt.subplots(down, across, figsize=(4 * across, 3.6 * down), squeeze=False)
    for axis in axes.flat[len(pairs) :]:
        axis.set_visible(False)
    for axis, (i, j) in zip(axes.flat, pairs, strict=False):
        for (label, points), (mark, size) in zip(sets.items(), MARKS, strict=False):
            x, y = points[:, i].cpu().numpy(), points[:, j].cpu().numpy()
            axis.scatter(x, y, s=size, marker=mark, label=label, alpha=0.6, linewidths=0.8)
        axis.set_xlabel(names[i])
        axis.set_ylabel(names[j])
        axis.grid(alpha=0.3)
    axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


MARKS = ((".", 12), ("o", 30), ("x", 30))
"""Marks of the sets of vectors in a picture and their sizes, in order."""


DEEP = 12.0
"""Nats below the maximum at which a drawn density ends."""


def scatter(
    clouds: dict[str, Tensor],
    log_density: Callable[[Tensor], Tensor] | None,
    path: Path,
    domain: tuple[float, float] | None = None,
) -> None:
    """Points of the plane side by side, over the log-density where it has two dimensions.

    There, a colour bar tells the log-density, down to `DEEP` nats below its maximum.

    Args:
        clouds: (n, 2) points by name.
        log_density: ``(m, 2) -> (m,)``, or None.
        path: Where to save.
        domain: Ends of both coordinates; by default what holds nearly all points.
    """
    plt = pyplot()
    every = torch.cat([points.double() for points in clouds.values()])
    low = every.quantile(0.002, 0)
    high = every.quantile(0.998, 0)
    margin = 0.1 * (high - low).clamp(min=1e-3)
    low, high = low - margin, high + margin
    if domain is not None:
        low, high = (torch.full_like(low, end) for end in domain)
    figure, axes = plt.subplots(
        1,
        len(clouds),
        figsize=(4.4 * len(clouds) + 0.8, 4.2),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    filled: Any = None
    for axis, (name, points) in zip(axes[0], clouds.items(), strict=True):
        if log_density is not None:
            line = [torch.linspace(float(a), float(b), 160) for a, b in zip(low, high, strict=True)]
            x, y = torch.meshgrid(*line, indexing="ij")
            height = log_density(torch.stack([x, y], -1).view(-1, 2)).view(x.shape)
            height = (height - height.max()).clamp(min=-DEEP)
            levels = torch.linspace(-DEEP, 0, 13).tolist()
            filled = axis.contourf(
                x.numpy(), y.numpy(), height.numpy(), levels=levels, cmap="Blues"
            )
        style = {"s": 3, "alpha": 0.5, "color": "tab:red", "label": f"{len(points):,} samples"}
        axis.scatter(points[:, 0].numpy(), points[:, 1].numpy(), **style)
        axis.legend(loc="upper right", markerscale=3, fontsize="small")
        axis.set_xlim(float(low[0]), float(high[0]))
        axis.set_ylim(float(low[1]), float(high[1]))
        axis.set_title(name)
        axis.set_xlabel("coordinate 0")
    axes[0, 0].set_ylabel("coordinate 1")
    if filled is not None:
        figure.colorbar(filled, ax=list(axes[0]), label="log-density less its maximum")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)

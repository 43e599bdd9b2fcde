"""A picture of a round robin: ratings with intervals, and who scored how much against whom."""

from pathlib import Path

import torch

from gflow.arena.standings import Standings
from gflow.tasks.pictures import pyplot


def picture(standings: Standings, path: Path) -> None:
    """Ratings on the left, shares of points on the right.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    plt = pyplot()
    rows = standings.rows()
    names, count = [row["player"] for row in rows], len(rows)
    order = [standings.names.index(name) for name in names]
    results = standings.results.double()
    points = results[..., 0] + results[..., 1] / 2
    played = results.sum(2)
    share = (points + played.T - points.T) / (played + played.T).clamp(min=1)
    share = share.masked_fill(played + played.T == 0, torch.nan)[order][:, order]
    height = 1.6 + 0.5 * count
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10 + 0.3 * count, height), width_ratios=(1.2, 1), layout="constrained"
    )
    at = list(range(count))
    left.errorbar(
        [row["elo"] for row in rows], at, xerr=[row["error"] for row in rows],
        fmt="o", capsize=3, color="tab:blue",
    )  # fmt: skip
    left.set_yticks(at, names)
    left.invert_yaxis()
    left.set_ylim(count - 0.5, -0.5)
    left.set_xlabel("Elo, with 95 % intervals")
    left.grid(axis="x", alpha=0.3)
    image = right.imshow(share.numpy(), vmin=0, vmax=1, cmap="RdBu", aspect="auto")
    for i in range(count):
        for j in range(count):
            value = float(share[i, j])
            if value == value:
                colour = "white" if abs(value - 0.5) > 0.35 else "black"
                right.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=9)
    right.set_xticks(at, names, rotation=30, ha="right")
    right.set_yticks(at, names)
    right.set_title("points of a game, row against column")
    figure.colorbar(image, ax=right)
    figure.savefig(path, dpi=120)
    plt.close(figure)

"""Graphs drawn with the nodes that are chosen."""

import torch
from torch import Tensor

from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture

GRAPHS = 4
"""In a picture."""


def layout(adjacency: Tensor, rounds: int = 150) -> Tensor:
    """(n, 2) places of nodes: edges pull, nodes push, the middle pulls a little.

    After Fruchterman and Reingold, Graph Drawing by Force-directed Placement, 1991.

    Args:
        adjacency: (n, n) bool.
        rounds: Steps, shorter and shorter.
    """
    n = len(adjacency)
    turn = torch.arange(n, dtype=torch.float64) * (2 * torch.pi / n)
    places = torch.stack([turn.cos(), turn.sin()], -1)
    ideal, joined = (4 / n) ** 0.5, adjacency.double()
    for number in range(rounds):
        apart = places[:, None] - places[None]
        length = apart.norm(dim=-1).clamp(min=1e-3)
        force = ideal**2 / length - joined * length**2 / ideal
        move = (apart / length[..., None] * force[..., None]).sum(1) - 3 * places
        size = move.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        places = places + move / size * size.clamp(max=0.15 * (1 - number / rounds))
    places = places - (places.amax(0) + places.amin(0)) / 2
    return places / places.abs().amax().clamp(min=1e-9)


def chosen_nodes(graphs: list[tuple[Tensor, Tensor, str]], caption: str) -> Picture:
    """Graphs side by side; chosen nodes are black squares, others white discs.

    Args:
        graphs: (n, n) bool adjacency, (n,) bool chosen, title.
        caption: What the picture shows.
    """
    across = min(2, len(graphs))
    down = -(-len(graphs) // across)
    figure, axes = pyplot().subplots(
        down, across, figsize=(4.4 * across, 4.4 * down), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (adjacency, chosen, title) in zip(axes.flat, graphs, strict=False):
        places = layout(adjacency)
        size = max(8.0, min(90.0, 2500 / len(places)))
        for i, j in adjacency.triu(1).nonzero().tolist():
            axis.plot(*places[[i, j]].T.numpy(), color="0.7", lw=0.6, zorder=1)
        for mask, mark, colour in ((~chosen, "o", "white"), (chosen, "s", "black")):
            x, y = places[mask].T.numpy()
            axis.scatter(x, y, marker=mark, s=size, fc=colour, ec="black", lw=0.8, zorder=2)
        axis.set_aspect("equal")
        axis.set_title(title, fontsize="small")
    figure.tight_layout()
    return Picture(figure, caption)

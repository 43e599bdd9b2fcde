"""Conditions that choose graphs: different ones in every training batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.conditions.draws import ConditionSampler, in_turns
from gflow.errors import ConfigError


class GraphDraw(ConditionSampler):
    """Draws graphs of a collection: as many different ones as fit, each for `repeat` trajectories.

    The condition of a trajectory is the number of its graph. So every objective works that needs
    no single log Z: detailed and sub-trajectory balance, and log-partition variance, which
    compares trajectories of the same graph, with `repeat` at least 2.

    Args:
        graphs: Numbers of the graphs to draw from, such as the `turn` of an environment.
        repeat: Trajectories per graph.
    """

    def __init__(self, graphs: Sequence[int] | Tensor, repeat: int = 1) -> None:
        self.graphs = torch.as_tensor(graphs, dtype=torch.int64)
        if self.graphs.dim() != 1 or not len(self.graphs) or repeat < 1:
            raise ConfigError(
                f"GraphDraw: need at least one graph and repeat >= 1, got {len(self.graphs)} "
                f"graphs and repeat={repeat}."
            )
        self.repeat = repeat

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 1) numbers of graphs; what is left over joins the last ones."""
        device = generator.device if generator is not None else torch.device("cpu")
        order = torch.randperm(len(self.graphs), generator=generator, device=device)
        drawn = self.graphs.to(device)[order[: max(1, count // self.repeat)]]
        turn = in_turns(count, self.repeat, device) % len(drawn)
        return drawn[turn][:, None].to(torch.get_default_dtype())

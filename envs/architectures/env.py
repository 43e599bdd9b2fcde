"""Cells of neural networks, by the accuracy that networks made of them reach."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.envs.architectures.data import (
    EDGES,
    OPERATIONS,
    ArchitectureTable,
    cell_index,
    write_cell,
)
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.rewards.scalarizations import Scalarization
from gflow.rewards.vector import VectorReward

LIGHTNESS = "lightness"
"""Score of cells with few weights."""


class Architectures(AnyOrder):
    """Cells of the NATS-Bench topology space: one of five operations on each of six edges.

    **What is built.** A cell: a directed acyclic graph of four nodes with all six edges, each with
    an operation (none, skip, 1x1 or 3x3 convolution, 3x3 average pooling).

    **State.** (B, 6) int64 operations, 5 on edges not decided; see `architecture_data.EDGES`.

    **Forward actions.** ``edge * 5 + operation``, in any order of edges. A cell is finished when
    all are decided.

    **Backward actions.** i leaves edge i undecided.

    **Reward.** `ArchitectureReward` of one column of a table, `ArchitectureScores` of several, or
    any `LogReward` of (B, 6) operations.

    **Size.** 15,625 cells, 46,656 states.

    Args:
        reward: Log-reward of cells.

    Example:
        >>> from gflow.envs.architectures.data import synthetic_architectures
        >>> env = Architectures(ArchitectureReward(synthetic_architectures(), "short"))
        >>> env.show(env.step(env.initial(1), torch.tensor([3])))
        ['|nor_conv_3x3~0|+|?~0|?~1|+|?~0|?~1|?~2|']

    Reference:
        Dong et al., NATS-Bench: benchmarking NAS algorithms for architecture topology and size,
        2020, https://arxiv.org/abs/2009.00437
    """

    def __init__(self, reward: LogReward[Tensor]) -> None:
        super().__init__(OPERATIONS, len(EDGES), reward)
        if isinstance(reward, VectorReward):
            self.condition_dim = reward.condition_dim

    def show(self, states: Tensor) -> list[str]:
        """The text form of the benchmark, with question marks where nothing is decided."""
        return [write_cell(row) for row in states.tolist()]


class ArchitectureReward(LogReward[Tensor]):
    r"""Accuracy as a reward, :math:`\log R = \max(\beta \log(a / 100), low)`.

    Unfinished cells have log R = `low`, as if their accuracy were zero: forward-looking
    objectives then see all of the reward in the last step.

    Args:
        table: Accuracies of all cells.
        column: Which to use.
        beta: Exponent.
        low: Smallest log-reward.

    Reference:
        Chen and Mauch, Order-preserving GFlowNets, 2023, https://arxiv.org/abs/2310.00386
    """

    has_partial = True

    def __init__(
        self, table: ArchitectureTable, column: str, beta: float = 1.0, low: float = -12.0
    ) -> None:
        if not (beta > 0 and low < 0):
            raise ConfigError(
                f"ArchitectureReward: need beta > 0 and low < 0, got {beta} and {low}."
            )
        self.column, self.beta, self.low = column, beta, low
        share = (table.column(column) / 100).clamp(min=torch.finfo(torch.float64).tiny)
        log_reward = (beta * share.log()).clamp(min=low).to(torch.get_default_dtype())
        self._table = {log_reward.device: log_reward}

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of finished cells."""
        return _on(self._table, states.device)[cell_index(states)]

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of finished cells, `low` of others."""
        decided = states < len(OPERATIONS)
        return self(states.where(decided, 0)).where(decided.all(-1), self.low)

    def __repr__(self) -> str:
        return f"ArchitectureReward({self.column!r}, beta={self.beta:g})"


class ArchitectureScores(VectorReward[Tensor]):
    """Several accuracies as scores in [0, 1], and how light a cell is.

    Args:
        table: Accuracies of all cells.
        names: Columns of the table, or ``"lightness"``: one minus the number of weights in the
            convolutions, in units of the most that a cell can have.
        scalarization: How scores become log R; by default the logarithm of their mean.
    """

    def __init__(
        self,
        table: ArchitectureTable,
        names: Sequence[str],
        scalarization: Scalarization | None = None,
    ) -> None:
        super().__init__(scalarization)
        if not names:
            raise ConfigError("ArchitectureScores: give at least one name.")
        self.score_names, self.num_scores = tuple(names), len(names)
        accuracy = [name for name in names if name != LIGHTNESS]
        columns = [table.column(name) / 100 for name in accuracy]
        self._table: dict[torch.device, Tensor] = {}
        if columns:
            stacked = torch.stack(columns, 1).to(torch.get_default_dtype())
            self._table[stacked.device] = stacked

    def scores(self, states: Tensor) -> Tensor:
        """(B, K) scores of finished cells."""
        found: list[Tensor] = []
        if self._table:
            found.extend(_on(self._table, states.device)[cell_index(states)].unbind(1))
        for place, name in enumerate(self.score_names):
            if name == LIGHTNESS:
                found.insert(place, lightness(states))
        return torch.stack(found, 1)

    def __repr__(self) -> str:
        return f"ArchitectureScores({', '.join(self.score_names)})"


def lightness(cells: Tensor) -> Tensor:
    """(B,) one minus the share of the 6 * 9 weights per pair of channels that (B, 6) cells have.

    A 3x3 convolution has nine, a 1x1 convolution one, and other operations none.
    """
    wide = (cells == OPERATIONS.index("nor_conv_3x3")).sum(-1)
    thin = (cells == OPERATIONS.index("nor_conv_1x1")).sum(-1)
    return 1 - (9 * wide + thin).to(torch.get_default_dtype()) / (9 * len(EDGES))


def _on(table: dict[torch.device, Tensor], device: torch.device) -> Tensor:
    if device not in table:
        table[device] = next(iter(table.values())).to(device)
    return table[device]

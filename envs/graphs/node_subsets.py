"""What all node-by-node problems on a collection of graphs have in common."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.graphs.instances import GraphBatch
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import LogReward

OUT, IN, OPEN, PADDING = 0, 1, 2, 3
KEY_BITS = 62


@dataclass(frozen=True)
class NodeState:
    """B labellings of graphs; row i is about graph ``graph[i]`` of the environment's collection.

    Attributes:
        graph: (B,) int64 number of the graph.
        label: (B, N) int8, for each node 0 out, 1 in, 2 undecided, 3 padding.
        count: (B, N) int16 neighbours of each node that matter to its label (see the environment).
    """

    graph: Tensor
    label: Tensor
    count: Tensor


S = TypeVar("S", bound=NodeState)


class NodeCount(LogReward[Any]):
    """log R = beta times the number of nodes labelled 1: sizes of sets.

    It is defined on unfinished labellings too.

    Args:
        beta: Gain per node; negative rewards small sets.
    """

    has_partial = True

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def __call__(self, states: NodeState, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self.beta * (states.label == IN).sum(-1).to(torch.get_default_dtype())

    def __repr__(self) -> str:
        return f"NodeCount(beta={self.beta:g})"


class NodeSubsets(DiscreteEnvironment[S], Generic[S]):
    """Subsets of the nodes of graphs, built by deciding about one undecided node at a time.

    A collection of G graphs is G problems side by side: each has its own source and its own log Z,
    and a state carries the number of its graph. A batch may mix them at will: `initial_for` gives
    the sources of chosen graphs, `initial` cycles through the collection, and `on` is the same
    environment with `initial` cycling through other graphs. Where the collection holds more than
    one graph, train with the number of the graph as condition (`gflow.envs.graphs.draw`) and any
    objective that has no single log Z.

    Shapes: G graphs, N nodes of the largest; forward and backward actions are nodes, A = P = N.

    Attributes:
        graphs: The collection.
        turn: (I,) int64 the graphs through which `initial` cycles.
        whole_past_counts: False promises that what can follow depends on undecided nodes alone.
    """

    whole_past_counts: bool = True
    source_reads_condition = True

    def __init__(self, graphs: GraphBatch, reward: LogReward[S]) -> None:
        self.graphs, self.reward = graphs, reward
        count, width = len(graphs), graphs.num_nodes
        if width > 2**15 - 1:
            raise ConfigError(f"{self.name}: graphs may have up to 32767 nodes, got {width}.")
        self.num_actions = self.num_backward_actions = self.horizon = width
        self.feature_sizes = (4,) * width + ((count,) if count > 1 else ())
        self.turn = torch.arange(count)
        self._tables: dict[tuple[str, torch.device], Tensor] = {}
        if width + (count - 1).bit_length() > KEY_BITS:
            self.has_keys = False  # type: ignore[misc]
        else:
            self.num_keys = count << width

    # ------------------------------------------------------------------ which graphs

    def on(self, graphs: Sequence[int] | Tensor) -> Self:
        """The same environment, with `initial` cycling through the graphs of these numbers."""
        view = copy.copy(self)
        view.turn = torch.as_tensor(graphs, dtype=torch.int64).cpu()
        if view.turn.dim() != 1 or not len(view.turn):
            raise ShapeError(
                f"{self.name}.on: need a list of at least one graph, got {view.turn.tolist()}."
            )
        if not bool(((view.turn >= 0) & (view.turn < len(self.graphs))).all()):
            raise ConfigError(
                f"{self.name}.on: graphs are numbered 0 ... {len(self.graphs) - 1}, got "
                f"{view.turn.tolist()[:8]}."
            )
        return view

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> S:
        """Sources of the graphs in `turn`, from the first and over again."""
        place = torch.arange(batch_size, device=device) % len(self.turn)
        return self.initial_for(self.turn.to(device)[place])

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> S:
        """Sources of the graphs whose numbers are the conditions, (B, 1)."""
        if condition is None:
            return self.initial(batch_size, device)
        return self.initial_for(condition[:, 0].long())

    @abstractmethod
    def initial_for(self, graphs: Tensor) -> S:
        """Sources of the graphs with numbers `graphs`, (B,) int64."""

    # ------------------------------------------------------------------ shared rules

    def forward_mask(self, states: S) -> Tensor:
        """(B, N) undecided nodes."""
        return states.label == OPEN

    def is_terminal(self, states: S) -> Tensor:
        """(B,) no node is undecided."""
        return ~(states.label == OPEN).any(-1)

    def chosen(self, states: S) -> Tensor:
        """(B, N) bool: nodes on which an action was taken; with the graph they are the state."""
        return states.label == IN

    def is_initial(self, states: S) -> Tensor:
        """(B,) no action was taken."""
        return ~self.chosen(states).any(-1)

    def encode(self, states: S) -> Tensor:
        """(B, N) int64 labels, and the number of the graph if there are several."""
        label = states.label.long()
        return torch.cat([label, states.graph[:, None]], -1) if len(self.graphs) > 1 else label

    def key(self, states: S) -> Tensor:
        """(B,) the graph and, as bits, the chosen nodes; graphs of up to about 60 nodes."""
        bit = torch.arange(self.num_actions, device=states.graph.device)
        chosen = (self.chosen(states).long() << bit).sum(-1)
        return (states.graph << self.num_actions) + chosen

    def show(self, states: S) -> list[str]:
        """Graph, nodes labelled in, and nodes undecided."""
        lines = []
        for graph, label in zip(states.graph.tolist(), states.label, strict=True):
            inside = (label == IN).nonzero().squeeze(1).tolist()
            undecided = (label == OPEN).nonzero().squeeze(1).tolist()
            rest = f", undecided {undecided}" if undecided else ""
            lines.append(f"graph {graph}: in {inside}{rest}")
        return lines

    # ------------------------------------------------------------------ helpers

    def table(self, name: str, device: torch.device, build: Callable[[], Tensor]) -> Tensor:
        """A constant tensor, built once and kept on each device that asked for it."""
        if (name, device) not in self._tables:
            self._tables[name, device] = build().to(device)
        return self._tables[name, device]

    def neighbours(self, graph: Tensor, node: Tensor) -> Tensor:
        """(B, N) bool neighbours of one node (B,) in each of the graphs (B,)."""
        table = self.table("adjacency", graph.device, lambda: self.graphs.adjacency)
        return table[graph, node]

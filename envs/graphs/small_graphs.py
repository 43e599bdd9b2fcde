"""Small graphs built from nodes and edges, each isomorphism class being one state."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.graphs.classes import GraphClasses
from gflow.errors import ConfigError
from gflow.rewards.base import FunctionReward, LogReward


@dataclass(frozen=True)
class LabelledGraphs:
    """B graphs of up to N nodes, as rewards see them; a graph's nodes come first.

    Attributes:
        node: (B, N) int64 label 1, 2, ... of each node, 0 where there is none.
        edge: (B, N, N) int64 symmetric label 1, 2, ... of each edge, 0 where there is none.
    """

    node: Tensor
    edge: Tensor


class OfGraphs(LogReward[Tensor]):
    """A reward of graphs as a reward of the numbers of their classes: computed once for all.

    Args:
        reward: Reads `LabelledGraphs`; it must not tell isomorphic graphs apart.
        graphs: All classes.
    """

    has_partial = True

    def __init__(self, reward: LogReward[LabelledGraphs], graphs: LabelledGraphs) -> None:
        self.reward, self.graphs, self.values = reward, graphs, reward(graphs)
        self._scored_by = self.version

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        if self._scored_by != self.version:
            self.values, self._scored_by = self.reward(self.graphs), self.version
        self.values = self.values.to(states.device)
        return self.values[states]

    def __repr__(self) -> str:
        return f"OfGraphs({self.reward!r})"


class SmallGraphs(DiscreteEnvironment[Tensor]):
    r"""Graphs of up to `nodes` nodes, built by adding nodes and edges.

    **What is built.** A simple graph up to isomorphism, with labels on nodes and edges.

    **State.** (B,) int64 number of the isomorphism class; 0 is the empty graph. All classes are
    listed when the environment is built, in a canonical form, the greatest code over all orders of
    the nodes, and everything else is a look-up: actions that lead to isomorphic graphs are found
    by comparing the classes they lead to, which is right also where no symmetry of the graph maps
    one action to the other.

    **Forward actions.** In order: a new node, one per node label (`connected`: the first only);
    if `connected`, a new node joined to node i, per i, node label and edge label; a new edge
    between nodes i < j, per pair and edge label; stop, once there are `min_nodes` nodes.

    **Backward actions.** i removes node i if it is isolated (`connected`: if it has one edge, and
    that too); then, per pair i < j, remove that edge (`connected`: if the rest stays connected).

    **Reward.** Any `LogReward` of `LabelledGraphs`; by default all graphs alike.

    **Size.** Without labels 1, 2, 4, 11, 34, 156, 1044 graphs of 1 ... 7 nodes; connected
    1, 1, 2, 6, 21, 112, 853.

    Args:
        nodes: Largest number of nodes, up to 7.
        reward: See above.
        node_labels: Number of labels of nodes.
        edge_labels: Number of labels of edges.
        connected: Build connected graphs only.
        min_nodes: Stopping is allowed from this many nodes on.
        limit: Refuse environments with more classes.

    Raises:
        ConfigError: Sizes out of range, or too many classes.

    Example:
        >>> env = SmallGraphs(nodes=3)
        >>> two = env.step(env.step(env.initial(1), torch.tensor([0])), torch.tensor([0]))
        >>> env.show(env.step(two, torch.tensor([1])))
        ['2 nodes: 0-1']
    """

    def __init__(
        self,
        nodes: int = 5,
        reward: LogReward[LabelledGraphs] | None = None,
        node_labels: int = 1,
        edge_labels: int = 1,
        connected: bool = False,
        min_nodes: int = 1,
        limit: int = 100_000,
    ) -> None:
        if not 0 <= min_nodes <= nodes:
            raise ConfigError(f"SmallGraphs: min_nodes must lie in 0 ... {nodes}, got {min_nodes}.")
        classes = GraphClasses(nodes, node_labels, edge_labels, connected, limit)
        parts, child, parent = classes.parts, classes.child, classes.parent
        self.nodes, self.node_labels, self.edge_labels = nodes, node_labels, edge_labels
        self._ends, pairs = classes.ends, classes.ends.shape[1]
        self.feature_sizes, self.num_keys = classes.sizes, len(parts)
        self.num_actions = child.shape[1] + 1
        self.stop_action = child.shape[1]
        self.num_backward_actions = parent.shape[1]
        self.horizon = (1 if connected else nodes) + pairs + 1
        self.has_forced_terminals = False
        self.every_state_stops = min_nodes == 0
        own = torch.arange(len(parts))[:, None]
        stop = (parts[:, :nodes] > 0).sum(-1, keepdim=True) >= min_nodes
        step_back = (parent[child] == own[..., None]).long().argmax(-1)
        step_forth = (child[parent] == own[..., None]).long().argmax(-1)
        self._tables: dict[str, dict[torch.device, Tensor]] = {}
        for name, value in {
            "parts": parts,
            "child": torch.cat([child.clamp(min=0), own], -1),
            "parent": parent.clamp(min=0),
            "forward": torch.cat([child >= 0, stop], -1),
            "backward": parent >= 0,
            "forward_classes": _first_equal(torch.cat([child, -2 + 0 * own], -1)),
            "backward_classes": _first_equal(parent),
            "undo": torch.cat([step_back, 0 * own], -1),
            "redo": step_forth,
        }.items():
            self._tables[name] = {value.device: value}
        everything = FunctionReward(_alike) if reward is None else reward
        self.reward = OfGraphs(everything, self.graphs(torch.arange(len(parts))))

    # ------------------------------------------------------------------ the environment

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B,) zeros: the empty graph."""
        return torch.zeros(batch_size, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) additions that fit, and the stop."""
        return self._rows("forward", states)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, P) removals."""
        return self._rows("backward", states)

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) False: objects end by the stop action alone."""
        return torch.zeros_like(states, dtype=torch.bool)

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) the first removal that leads back to the same class."""
        return self._rows("undo", states).gather(1, actions[:, None]).squeeze(1)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the first addition to the parent that leads to the same class."""
        return self._rows("redo", states).gather(1, backward_actions[:, None]).squeeze(1)

    def forward_classes(self, states: Tensor) -> Tensor:
        """(B, A) the first addition with an isomorphic result."""
        return self._rows("forward_classes", states)

    def backward_classes(self, states: Tensor) -> Tensor:
        """(B, P) the first removal with an isomorphic result."""
        return self._rows("backward_classes", states)

    def encode(self, states: Tensor) -> Tensor:
        """(B, N + N (N - 1) / 2) labels of nodes, then of pairs, in the canonical order."""
        return self._rows("parts", states)

    def key(self, states: Tensor) -> Tensor:
        """(B,) the states themselves."""
        return states

    def all_states(self, device: torch.device | str = "cpu") -> Tensor:
        """All classes in order."""
        return torch.arange(self.num_keys or 0, device=device)

    def graphs(self, states: Tensor) -> LabelledGraphs:
        """The graphs in the canonical order of their nodes."""
        parts = self._rows("parts", states)
        i, j = self._ends.to(states.device)
        edge = parts.new_zeros(len(states), self.nodes, self.nodes)
        edge[:, i, j] = edge[:, j, i] = parts[:, self.nodes :]
        return LabelledGraphs(parts[:, : self.nodes], edge)

    def show(self, states: Tensor) -> list[str]:
        """Nodes, with their labels if there are several, and edges likewise."""
        lines = []
        for row in self._rows("parts", states).tolist():
            labels = [label for label in row[: self.nodes] if label]
            names = "" if self.node_labels == 1 else f" {labels}"
            joined = zip(*self._ends.tolist(), row[self.nodes :], strict=True)
            edges = [f"{i}-{j}" + f":{e}" * (self.edge_labels > 1) for i, j, e in joined if e]
            lines.append(f"{len(labels)} nodes{names}: {', '.join(edges) or 'no edges'}")
        return lines

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return self._rows("child", states).gather(1, actions[:, None]).squeeze(1)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return self._rows("parent", states).gather(1, actions[:, None]).squeeze(1)

    def _rows(self, name: str, states: Tensor) -> Tensor:
        table = self._tables[name]
        if states.device not in table:
            table[states.device] = next(iter(table.values())).to(states.device)
        return table[states.device][states]


def _first_equal(values: Tensor) -> Tensor:
    """(X, A) the first column with the same value; columns with -1 stand for themselves."""
    first = (values[..., None] == values[:, None]).long().argmax(-1)
    return first.where(values != -1, torch.arange(values.shape[1]))


def _alike(graphs: LabelledGraphs) -> Tensor:
    return torch.zeros(len(graphs.node))

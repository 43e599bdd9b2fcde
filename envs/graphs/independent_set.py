"""Independent sets, cliques and cuts: node by node, with one rule for what excludes a node."""

from abc import abstractmethod

import torch
from torch import Tensor

from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.graphs.node_subsets import IN, OPEN, OUT, PADDING, NodeCount, NodeState, NodeSubsets
from gflow.rewards.base import LogReward


class NodeSelection(NodeSubsets[NodeState]):
    """Nodes are selected; an undecided node with too many selected *rivals* is excluded for good.

    Which nodes are rivals, and how many a node tolerates, makes the problem. The state depends on
    the selected set alone and not on its order, and the number of selected rivals of every node is
    carried along, so that a step in either direction reads one row of a table.

    Un-selecting v is legal if v could have come last, that is if it tolerates the rivals selected.
    What is left can then be built: in its order without v every node meets at most as many rivals.
    """

    @abstractmethod
    def rivals(self) -> Tensor:
        """(G, N, N) bool symmetric: who are rivals."""

    @abstractmethod
    def tolerance(self) -> Tensor:
        """(G, N) int16: number of selected rivals that a node survives."""

    def initial_for(self, graphs: Tensor) -> NodeState:
        """Sources: all nodes undecided."""

        def labels() -> Tensor:
            exists = self.graphs.exists
            return torch.full(exists.shape, OPEN, dtype=torch.int8).masked_fill(~exists, PADDING)

        label = self.table("first", graphs.device, labels)[graphs]
        return NodeState(graphs, label, torch.zeros_like(label, dtype=torch.int16))

    def backward_mask(self, states: NodeState) -> Tensor:
        """(B, N) selected nodes that tolerate the other selected ones."""
        return (states.label == IN) & (states.count <= self._tolerance(states.graph))

    def _rivals(self, graph: Tensor, node: Tensor) -> Tensor:
        return self.table("rivals", graph.device, self.rivals)[graph, node]

    def _tolerance(self, graph: Tensor) -> Tensor:
        return self.table("tolerance", graph.device, self.tolerance)[graph]

    def _step(self, states: NodeState, actions: Tensor) -> NodeState:
        count = states.count + self._rivals(states.graph, actions)
        label = states.label.scatter(1, actions[:, None], IN)
        lost = (label == OPEN) & (count > self._tolerance(states.graph))
        return NodeState(states.graph, label.masked_fill(lost, OUT), count)

    def _backstep(self, states: NodeState, actions: Tensor) -> NodeState:
        count = states.count - self._rivals(states.graph, actions).to(torch.int16)
        label = states.label.scatter(1, actions[:, None], OPEN)
        free = (label == OUT) & (count <= self._tolerance(states.graph))
        return NodeState(states.graph, label.masked_fill(free, OPEN), count)


class IndependentSet(NodeSelection):
    r"""Maximal independent sets of graphs.

    **What is built.** A set of nodes without an edge between them to which none can be added.

    **State.** `NodeState`; `count` is the number of selected neighbours.

    **Forward actions.** v selects the undecided node v; its neighbours are out. The object is
    finished when no node is undecided.

    **Backward actions.** v un-selects any selected node v, so a state has \|S\| parents.

    **Reward.** By default log R = beta \|S\|, see `NodeCount`.

    **Size.** All independent sets of all graphs of the collection.

    Args:
        graphs: The collection.
        reward: By default ``NodeCount(1.0)``.

    Example:
        >>> env = IndependentSet(GraphBatch.from_edges([3], [[(0, 1), (1, 2)]]))
        >>> state = env.step(env.initial(1), torch.tensor([0]))
        >>> env.show(state), env.forward_mask(state).int().tolist()
        (['graph 0: in [0], undecided [2]'], [[0, 0, 1]])

    Reference:
        Zhang et al., Let the Flows Tell: Solving Graph Combinatorial Optimization Problems with
        GFlowNets, 2023, https://arxiv.org/abs/2305.17010
    """

    whole_past_counts = False

    def __init__(self, graphs: GraphBatch, reward: LogReward[NodeState] | None = None) -> None:
        super().__init__(graphs, NodeCount() if reward is None else reward)
        self.horizon = cover_size(self.rivals(), graphs.exists)

    def rivals(self) -> Tensor:
        """(G, N, N) neighbours."""
        return self.graphs.adjacency

    def tolerance(self) -> Tensor:
        """(G, N) none."""
        return torch.zeros_like(self.graphs.degree, dtype=torch.int16)

    def max_entropy_logits(self, states: NodeState) -> Tensor:
        """(B, N) zeros: every order of a set builds it."""
        return torch.zeros(states.label.shape, device=states.label.device)


class Clique(IndependentSet):
    r"""Maximal cliques of graphs: independent sets of the complements.

    **What is built.** A set of nodes with all edges between them to which none can be added.

    **State.** `NodeState`; `count` is the number of selected nodes that are no neighbours.

    **Forward actions.** v selects the undecided node v; nodes not joined to it are out.

    **Backward actions.** v un-selects any selected node v, so a state has \|S\| parents.

    **Reward.** By default log R = beta \|S\|, see `NodeCount`.

    **Size.** All cliques of all graphs of the collection.
    """

    def rivals(self) -> Tensor:
        """(G, N, N) different nodes without an edge."""
        exists, same = self.graphs.exists, torch.eye(self.num_actions, dtype=torch.bool)
        return ~self.graphs.adjacency & exists[:, :, None] & exists[:, None] & ~same


def cover_size(joined: Tensor, exists: Tensor) -> int:
    """A bound on the size of independent sets, for the longest trajectory.

    Nodes are parted greedily into cliques; an independent set has at most one node of each.

    Args:
        joined: (G, N, N) bool edges.
        exists: (G, N) bool nodes.

    Returns:
        The number of cliques, of the graph that needs the most.
    """
    left, graph = exists.clone(), torch.arange(len(exists), device=exists.device)
    cliques = 0
    while bool(left.any()):
        cliques += 1
        room = left
        while bool(room.any()):
            node = room.long().argmax(-1)
            taken = torch.nn.functional.one_hot(node, room.shape[1]).bool() & room
            left = left & ~taken
            # A graph whose clique cannot grow waits for the others.
            room = room & joined[graph, node] & room.any(-1, keepdim=True)
    return cliques


class CutSize(LogReward[NodeState]):
    """log R = beta times the number of edges between nodes labelled 1 and the others.

    Args:
        graphs: The collection.
        beta: Gain per edge.
    """

    has_partial = True

    def __init__(self, graphs: GraphBatch, beta: float = 1.0) -> None:
        self.degree, self.beta = graphs.degree, beta

    def __call__(self, states: NodeState, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        self.degree = self.degree.to(states.graph.device)
        leaving = self.degree[states.graph] - states.count
        size = leaving.where(states.label == IN, 0).sum(-1)
        return self.beta * size.to(torch.get_default_dtype())

    def __repr__(self) -> str:
        return f"CutSize(beta={self.beta:g})"


class MaxCut(NodeSelection):
    r"""Cuts of graphs that are large in the direction of moving a node out of the set.

    **What is built.** A set S of nodes; it is judged by the number of edges that leave it.

    **State.** `NodeState`; `count` is the number of selected neighbours.

    **Forward actions.** v selects the undecided node v. An undecided node with more selected
    neighbours than others is out: selecting it would make the cut smaller.

    **Backward actions.** v un-selects a selected node v with at most as many selected neighbours
    as others. These may be fewer than \|S\|.

    **Reward.** By default log R = beta times the size of the cut, see `CutSize`.

    **Size.** The sets that have an order in which each node finds at most half of its neighbours
    selected.

    Args:
        graphs: The collection.
        reward: By default ``CutSize(graphs, 1.0)``.

    Reference:
        Zhang et al., Let the Flows Tell, 2023, https://arxiv.org/abs/2305.17010. Their uniform P_B
        is 1 / \|S\|, which is too small where not every selected node can have come last.
    """

    def __init__(self, graphs: GraphBatch, reward: LogReward[NodeState] | None = None) -> None:
        super().__init__(graphs, CutSize(graphs) if reward is None else reward)

    def rivals(self) -> Tensor:
        """(G, N, N) neighbours."""
        return self.graphs.adjacency

    def tolerance(self) -> Tensor:
        """(G, N) half the neighbours."""
        return (self.graphs.degree // 2).to(torch.int16)

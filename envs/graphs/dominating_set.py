"""Dominating sets: nodes are taken away as long as every node keeps one in its neighbourhood."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.graphs.node_subsets import IN, OPEN, OUT, PADDING, NodeCount, NodeState, NodeSubsets
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


@dataclass(frozen=True)
class DominatingState(NodeState):
    """As `NodeState`, and for each node the sum of the numbers of its kept neighbours.

    Where just one neighbour is kept, the sum is its number: so it is found without a search.

    Attributes:
        total: (B, N) int32.
    """

    total: Tensor


class DominatingSet(NodeSubsets[DominatingState]):
    r"""Minimal dominating sets of graphs.

    **What is built.** A set of nodes such that every other node has a neighbour in it, and from
    which none can be taken.

    **State.** `DominatingState`; `count` is the number of kept neighbours. Undecided nodes are kept
    so far, nodes labelled 1 are locked in: taking one would leave it, or a neighbour that was
    taken, without a kept neighbour. Nodes without neighbours are locked from the start.

    **Forward actions.** v takes the undecided node v away.

    **Backward actions.** v puts any taken node v back, so a state has as many parents as nodes
    were taken.

    **Reward.** By default log R = -beta times the number of kept nodes, ``NodeCount(-beta)``.

    **Size.** All dominating sets of all graphs of the collection.

    Args:
        graphs: The collection.
        reward: By default ``NodeCount(-1.0)``.

    Raises:
        ConfigError: If a graph has no edges.

    Example:
        >>> env = DominatingSet(GraphBatch.from_edges([3], [[(0, 1), (1, 2)]]))
        >>> env.show(env.step(env.initial(1), torch.tensor([0])))
        ['graph 0: in [1], undecided [2]']

    Reference:
        Zhang et al., Let the Flows Tell, 2023, https://arxiv.org/abs/2305.17010. There nodes
        without neighbours are left undecided, and the parents are miscounted.
    """

    def __init__(
        self, graphs: GraphBatch, reward: LogReward[DominatingState] | None = None
    ) -> None:
        empty = (graphs.edge_offset.diff() == 0).nonzero().squeeze(1).tolist()
        if empty:
            raise ConfigError(
                f"DominatingSet: the graphs {empty[:8]} have no edges, so all of their nodes "
                f"must be kept and there is nothing to decide. Leave them out."
            )
        super().__init__(graphs, NodeCount(-1.0) if reward is None else reward)

    def initial_for(self, graphs: Tensor) -> DominatingState:
        """Sources: all nodes kept, those without neighbours locked."""
        device = graphs.device

        def labels() -> Tensor:
            first = torch.full(self.graphs.exists.shape, OPEN, dtype=torch.int8)
            first = first.masked_fill(self.graphs.degree == 0, IN)
            return first.masked_fill(~self.graphs.exists, PADDING)

        def totals() -> Tensor:
            numbers = torch.arange(self.num_actions)
            return (self.graphs.adjacency * numbers).sum(-1).to(torch.int32)

        degree = self.table("degree", device, lambda: self.graphs.degree.to(torch.int16))
        return DominatingState(
            graphs,
            self.table("first", device, labels)[graphs],
            degree[graphs],
            self.table("total", device, totals)[graphs],
        )

    def backward_mask(self, states: DominatingState) -> Tensor:
        """(B, N) nodes taken away."""
        return states.label == OUT

    def chosen(self, states: DominatingState) -> Tensor:
        """(B, N) nodes taken away."""
        return states.label == OUT

    def max_entropy_logits(self, states: DominatingState) -> Tensor:
        """(B, N) zeros: every order of the nodes taken is possible."""
        return torch.zeros(states.label.shape, device=states.label.device)

    def _step(self, states: DominatingState, actions: Tensor) -> DominatingState:
        return self._moved(states, actions, OUT, -1)

    def _backstep(self, states: DominatingState, actions: Tensor) -> DominatingState:
        return self._moved(states, actions, OPEN, 1)

    def _moved(
        self, states: DominatingState, nodes: Tensor, label: int, sign: int
    ) -> DominatingState:
        """The states after `nodes` (B,) were taken away (sign -1) or put back (+1)."""
        near = self.neighbours(states.graph, nodes)
        count = states.count + near.to(torch.int16) * sign
        total = states.total + near * (nodes[:, None] * sign).to(torch.int32)
        marked = states.label.scatter(1, nodes[:, None], label)
        taken, padding = marked == OUT, marked == PADDING
        # A taken node with one kept neighbour locks it. Column N collects what locks nothing.
        needed = (
            total.clamp(0, self.num_actions).long().where(taken & (count == 1), self.num_actions)
        )
        locked = torch.zeros(
            len(nodes), self.num_actions + 1, dtype=torch.bool, device=nodes.device
        )
        locked = locked.scatter(1, needed, True)[:, :-1] | (count <= 0)
        kept = torch.full_like(marked, OPEN).masked_fill(locked, IN)
        fresh = kept.masked_fill(taken, OUT).masked_fill(padding, PADDING)
        return DominatingState(states.graph, fresh, count, total)

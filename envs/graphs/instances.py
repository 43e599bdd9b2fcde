"""Many different graphs as one flat batch of tensors, and random ones from explicit seeds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.readers import graph_objects, graphs
from gflow.readers.graph_objects import pairs_of

Range = int | tuple[int, int]


@dataclass(frozen=True)
class GraphBatch:
    """G undirected simple graphs laid end to end.

    Node v of graph g has the number ``offset[g] + v``. Every edge is stored in both directions,
    sorted by source, so that the neighbours of a node lie side by side.

    Shapes: G graphs, N nodes of the largest, V nodes in all, E directed edges in all.

    Attributes:
        offset: (G + 1,) int64 number of the first node of each graph, and V.
        edge_index: (2, E) int64 source and target of every directed edge.
    """

    offset: Tensor
    edge_index: Tensor

    def __len__(self) -> int:
        return self.offset.shape[0] - 1

    @cached_property
    def sizes(self) -> Tensor:
        """(G,) int64 nodes of each graph."""
        return self.offset.diff()

    @cached_property
    def num_nodes(self) -> int:
        """N, the nodes of the largest graph."""
        return int(self.sizes.max())

    @cached_property
    def edge_offset(self) -> Tensor:
        """(G + 1,) int64 position of the first directed edge of each graph, and E."""
        return torch.searchsorted(self.edge_index[0].contiguous(), self.offset)

    @cached_property
    def exists(self) -> Tensor:
        """(G, N) bool: the node is one of the graph's and no padding."""
        return torch.arange(self.num_nodes, device=self.offset.device) < self.sizes[:, None]

    @cached_property
    def adjacency(self) -> Tensor:
        """(G, N, N) bool."""
        count, width = len(self), self.num_nodes
        table = torch.zeros(count, width, width, dtype=torch.bool, device=self.offset.device)
        graph, source, target = self.local_edges
        table[graph, source, target] = True
        return table

    @cached_property
    def local_edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """(E,) int64 graph, source and target of every directed edge, nodes counted per graph."""
        graph = torch.searchsorted(self.offset, self.edge_index[0], right=True) - 1
        source, target = self.edge_index - self.offset[graph]
        return graph, source, target

    @cached_property
    def degree(self) -> Tensor:
        """(G, N) int64 neighbours of each node; 0 for padding."""
        return self.adjacency.sum(-1)

    def edges(self, graph: int) -> Tensor:
        """(M, 2) int64 edges of one graph, the smaller node first."""
        first, last = self.edge_offset[graph : graph + 2].tolist()
        pairs = (self.edge_index[:, first:last] - self.offset[graph]).T
        return pairs[pairs[:, 0] < pairs[:, 1]]

    def select(self, graphs: Sequence[int]) -> "GraphBatch":
        """Some of the graphs, in the given order."""
        sizes = self.sizes.tolist()
        return GraphBatch.from_edges([sizes[g] for g in graphs], [self.edges(g) for g in graphs])

    def to(self, device: torch.device | str) -> "GraphBatch":
        """The same graphs on another device."""
        return GraphBatch(self.offset.to(device), self.edge_index.to(device))

    @staticmethod
    def from_edges(sizes: Sequence[int], edges: Sequence[Any]) -> "GraphBatch":
        """Graphs from their numbers of nodes and their lists of edges, in any order and direction.

        Args:
            sizes: Nodes of each graph, at least one.
            edges: For each graph (M, 2) whole numbers, a tensor, an array or nested lists, each row
                an edge (so PyG's (2, E) goes in transposed); repetitions count once.

        Raises:
            ConfigError: No graph or node, edges of another shape, a loop, or an edge to a node that
                does not exist.
        """
        if not sizes or len(sizes) != len(edges) or min(sizes) < 1:
            raise ConfigError(
                f"GraphBatch: need at least one graph, each with a node and a list of edges; got "
                f"sizes {list(sizes)[:8]} and {len(edges)} lists of edges."
            )
        if any(int(size) != size for size in sizes):
            raise ConfigError(f"GraphBatch: sizes are whole numbers, got {list(sizes)[:8]}.")
        offset = torch.tensor([0, *map(int, sizes)]).cumsum(0)
        parts = []
        for graph, (size, pairs) in enumerate(zip(sizes, edges, strict=True)):
            pairs = pairs_of(pairs, f"GraphBatch: graph {graph}")
            bad = (pairs < 0) | (pairs >= size) | (pairs[:, :1] == pairs[:, 1:])
            if bool(bad.any()):
                row = int(bad.any(-1).nonzero()[0])
                raise ConfigError(
                    f"GraphBatch: graph {graph} has nodes 0 ... {size - 1} and the edge "
                    f"{tuple(pairs[row].tolist())}. Edges join two different existing nodes."
                )
            parts.append(pairs + offset[graph])
        both = torch.cat([*parts, *(part.flip(1) for part in parts)])
        # Sorted by source, then target; equal ones once.
        code = torch.unique(both[:, 0] * int(offset[-1]) + both[:, 1])
        return GraphBatch(offset, torch.stack([code // offset[-1], code % offset[-1]]))

    @staticmethod
    def from_files(
        paths: str | Path | Iterable[str | Path], ignore_weights: bool = False
    ) -> "GraphBatch":
        """Graphs from files, one each: DIMACS, lists of edges, matrices; see `readers.graphs`.

        Args:
            paths: A file or several, compressed or not.
            ignore_weights: Take graphs without their weights instead of refusing them.

        Raises:
            ConfigError: With file and line, if one is no undirected simple graph.
        """
        files = [paths] if isinstance(paths, str | Path) else paths
        return GraphBatch._of([graphs.read_graph(path, ignore_weights) for path in files])

    @staticmethod
    def from_networkx(found: Iterable[Any], ignore_weights: bool = False) -> "GraphBatch":
        """Graphs from networkx; nodes are numbered in the order in which they are listed.

        Args:
            found: The graphs, undirected and without loops; parallel edges count once.
            ignore_weights: Take graphs without their weights instead of refusing them.

        Raises:
            ConfigError: If one is directed, has a loop or weights.
        """
        found = [found] if hasattr(found, "nodes") else found
        return GraphBatch._of([graph_objects.from_networkx(g, ignore_weights) for g in found])

    @staticmethod
    def from_pyg(found: Iterable[Any], ignore_weights: bool = False) -> "GraphBatch":
        """Graphs from PyG, each with both directions of every edge in ``edge_index``.

        Args:
            found: The graphs.
            ignore_weights: Take graphs without their weights instead of refusing them.

        Raises:
            ConfigError: If one is directed, has a loop or weights.
        """
        found = [found] if hasattr(found, "edge_index") else found
        return GraphBatch._of([graph_objects.from_pyg(g, ignore_weights) for g in found])

    @staticmethod
    def from_adjacency(matrices: Iterable[Any], ignore_weights: bool = False) -> "GraphBatch":
        """Graphs from symmetric (N, N) matrices of 0 and 1, of any sizes.

        Args:
            matrices: Tensors, arrays, or sparse matrices of SciPy.
            ignore_weights: Take graphs without their weights instead of refusing them.

        Raises:
            ConfigError: If one is no such matrix.
        """
        return GraphBatch._of([graph_objects.from_adjacency(m, ignore_weights) for m in matrices])

    @staticmethod
    def _of(found: Sequence[graphs.Graph]) -> "GraphBatch":
        return GraphBatch.from_edges([g.nodes for g in found], [g.edges for g in found])


def erdos_renyi(count: int, nodes: Range, p: float, generator: torch.Generator) -> GraphBatch:
    """`count` graphs in which each pair of nodes is joined with probability `p`.

    Args:
        count: G.
        nodes: Number of nodes, or the smallest and largest number, drawn uniformly.
        p: Probability of an edge.
        generator: Source of all randomness.
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"erdos_renyi: p must lie in [0, 1], got {p}.")
    sizes = [_draw(nodes, generator) for _ in range(count)]
    edges = []
    for size in sizes:
        pairs = torch.triu_indices(size, size, 1).T
        edges.append(pairs[torch.rand(len(pairs), generator=generator) < p])
    return GraphBatch.from_edges(sizes, edges)


def barabasi_albert(count: int, nodes: Range, m: int, generator: torch.Generator) -> GraphBatch:
    """`count` graphs grown by preferential attachment, each new node joined to `m` older ones.

    A star of m + 1 nodes comes first.

    Args:
        count: G.
        nodes: Number of nodes, or the smallest and largest number, drawn uniformly.
        m: Edges of each new node.
        generator: Source of all randomness.

    Reference:
        Barabasi, Albert, Emergence of Scaling in Random Networks, 1999
    """
    if m < 1 or _low(nodes) <= m:
        raise ConfigError(f"barabasi_albert: need 1 <= m < nodes, got m={m}, nodes={nodes}.")
    sizes = [_draw(nodes, generator) for _ in range(count)]
    edges = []
    for size in sizes:
        weight = torch.zeros(size)
        weight[:m], weight[m] = 1, m
        pairs = [(i, m) for i in range(m)]
        for new in range(m + 1, size):
            old = torch.multinomial(weight[:new], m, generator=generator)
            pairs += [(i, new) for i in old.tolist()]
            weight[old] += 1
            weight[new] = m
        edges.append(torch.tensor(pairs))
    return GraphBatch.from_edges(sizes, edges)


def rb_graphs(
    count: int,
    generator: torch.Generator,
    groups: Range = (20, 24),
    group_size: Range = (5, 11),
    tightness: tuple[float, float] = (0.3, 1.0),
    nodes: tuple[int, int] = (200, 300),
) -> GraphBatch:
    """`count` graphs of model RB: cliques joined at random, hard for independent sets.

    With n groups of k nodes, tightness p, alpha = ln k / ln n and r = -alpha / ln(1 - p), each of
    floor(r n ln n - 1) rounds joins two different groups by floor(p k^2) further edges. Nodes
    without edges are dropped, and graphs of another size than asked for are drawn again. No
    independent set is larger than n.

    Args:
        count: G.
        generator: Source of all randomness.
        groups: n, or its smallest and largest value.
        group_size: k, likewise.
        tightness: Smallest and largest p, in (0, 1).
        nodes: Smallest and largest number of nodes.

    Raises:
        ConfigError: If no graph of the size comes up.

    Reference:
        Xu, Li, Exact Phase Transitions in Random Constraint Satisfaction Problems, 2000,
        https://arxiv.org/abs/cs/0004005; ranges of Zhang et al., Let the Flows Tell: Solving Graph
        Combinatorial Optimization Problems with GFlowNets, 2023, https://arxiv.org/abs/2305.17010
    """
    sizes: list[int] = []
    edges: list[Tensor] = []
    misses = 0
    while len(sizes) < count:
        n, k = _draw(groups, generator), _draw(group_size, generator)
        low, high = tightness
        p = low + (high - low) * float(torch.rand((), generator=generator))
        found = _rb_edges(n, k, p, generator) if nodes[0] <= n * k else torch.zeros(0, 2)
        used, pairs = torch.unique(found, return_inverse=True)
        if nodes[0] <= len(used) <= nodes[1]:
            sizes.append(len(used))
            edges.append(pairs)
            misses = 0
        elif (misses := misses + 1) > 10_000:
            raise ConfigError(
                f"rb_graphs: {groups} groups of {group_size} nodes never give {nodes[0]} to "
                f"{nodes[1]} nodes in 10000 draws. Widen `nodes`, or change the groups."
            )
    return GraphBatch.from_edges(sizes, edges)


def _rb_edges(n: int, k: int, p: float, generator: torch.Generator) -> Tensor:
    """(M, 2) edges of one graph of model RB with n groups of k nodes."""
    alpha = math.log(k) / math.log(n)
    p = min(p, 1 - 1e-6)
    rounds = max(0, math.floor(-alpha / math.log(1 - p) * n * math.log(n) - 1))
    inside = torch.triu_indices(k, k, 1).T
    cliques = (inside + k * torch.arange(n)[:, None, None]).reshape(-1, 2)
    pairs = torch.triu_indices(n, n, 1).T
    drawn = torch.randint(len(pairs), (rounds,), generator=generator)
    wanted = torch.bincount(drawn, minlength=len(pairs)) * math.floor(p * k * k)
    # A pair of groups drawn twice gets twice as many edges, as far as there are any.
    rank = torch.rand(len(pairs), k * k, generator=generator).argsort(-1)
    which, cross = (rank < wanted[:, None]).nonzero(as_tuple=True)
    joined = pairs[which] * k + torch.stack([cross // k, cross % k], -1)
    return torch.cat([cliques, joined])


def _low(nodes: Range) -> int:
    return nodes if isinstance(nodes, int) else nodes[0]


def _draw(nodes: Range, generator: torch.Generator) -> int:
    low, high = (nodes, nodes) if isinstance(nodes, int) else nodes
    if not 1 <= low <= high:
        raise ConfigError(f"A range of sizes must be (low, high) with 1 <= low <= high: {nodes}.")
    return int(torch.randint(low, high + 1, (), generator=generator))

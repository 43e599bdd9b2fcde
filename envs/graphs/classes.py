"""Listing the isomorphism classes of small labelled graphs, and the moves between them."""

import itertools
import math

import torch
from torch import Tensor

from gflow.errors import ConfigError


class GraphClasses:
    """All graphs of up to N labelled nodes up to isomorphism, and what one addition leads to.

    A graph is a row of K = N + N (N - 1) / 2 parts: the labels of its nodes, then of its pairs in
    the order of `torch.triu_indices`, 0 where there is nothing. Its code reads the row as digits,
    and its canonical code is the greatest over all N! orders of the nodes; so nodes come first.

    Args:
        nodes: N, up to 7.
        node_labels: Number of labels of nodes.
        edge_labels: Number of labels of edges.
        connected: Connected graphs only; nodes are then added together with an edge.
        limit: Refuse more classes.

    Attributes:
        sizes: K numbers of values of the parts.
        ends: (2, pairs) int64 the nodes i < j of each pair.
        parts: (X, K) int64 the classes, breadth first.
        child: (X, A) int64 class after each addition, -1 where it is impossible.
        parent: (X, P) int64 class after each removal, -1 where it could not have come last.

    Raises:
        ConfigError: Sizes out of range, or too many classes.
    """

    def __init__(
        self, nodes: int, node_labels: int, edge_labels: int, connected: bool, limit: int
    ) -> None:
        pairs = nodes * (nodes - 1) // 2
        if not 1 <= nodes <= 7 or min(node_labels, edge_labels) < 1:
            raise ConfigError(
                f"SmallGraphs: need nodes in 1 ... 7 and at least one label of each kind; got "
                f"{nodes}, {node_labels}, {edge_labels}."
            )
        self.nodes, self.node_labels, self.edge_labels = nodes, node_labels, edge_labels
        self.connected = connected
        self.ends = torch.triu_indices(nodes, nodes, 1)
        self.sizes = (node_labels + 1,) * nodes + (edge_labels + 1,) * pairs
        if math.prod(self.sizes) > 2**53:
            raise ConfigError(
                f"SmallGraphs: {nodes} nodes with {node_labels} node and {edge_labels} edge labels "
                f"have more codes than a float64 can count. Use fewer labels or nodes."
            )
        self._weights = _orders(nodes, self.sizes)
        self.parts, children = self._list(limit)
        codes, numbers = torch.sort(self._canonical(self.parts))

        def lookup(code: Tensor) -> Tensor:
            place = torch.searchsorted(codes, code).clamp(max=len(codes) - 1)
            return numbers[place].where(codes[place] == code, -1)

        self.child = lookup(children)
        self.parent = lookup(self._codes_of(*self._removals(self.parts)))

    def _canonical(self, parts: Tensor) -> Tensor:
        """(X,) int64 greatest code of (X, K) parts over all orders of the nodes."""
        chunks = parts.double().split(max(1, 2**22 // self._weights.shape[1]))
        return torch.cat([(chunk @ self._weights).amax(-1) for chunk in chunks]).long()

    def _codes_of(self, parts: Tensor, legal: Tensor) -> Tensor:
        """(X, A) int64 canonical codes of (X, A, K) graphs, -1 where they are not legal."""
        codes = torch.full(legal.shape, -1, dtype=torch.int64)
        codes[legal] = self._canonical(parts[legal])
        return codes

    def _digits(self, codes: Tensor) -> Tensor:
        """(X, K) parts of graphs from their codes."""
        return torch.stack(
            [codes // w % s for w, s in zip(_radix(self.sizes), self.sizes, strict=True)], -1
        )

    def _list(self, limit: int) -> tuple[Tensor, Tensor]:
        """(X, K) parts of all classes, breadth first, and (X, A) codes of their children."""
        known = frontier = torch.zeros(1, dtype=torch.int64)
        parts, children = [], []
        while len(frontier):
            parts.append(self._digits(frontier))
            children.append(self._codes_of(*self._additions(parts[-1])))
            found = torch.unique(children[-1])
            frontier = found[(found >= 0) & ~torch.isin(found, known)]
            known = torch.cat([known, frontier])
            if len(known) > limit:
                raise ConfigError(
                    f"SmallGraphs: there are more than {limit} graphs of up to {self.nodes} nodes "
                    f"with these labels. Use fewer, or raise `limit`."
                )
        return torch.cat(parts), torch.cat(children)

    def _additions(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """(X, A, K) graphs with one thing more, and whether that is possible."""
        nodes, slots = parts[:, : self.nodes], torch.arange(self.nodes)
        size = (nodes > 0).sum(-1)
        fits = size < self.nodes
        new = slots == size[:, None]  # (X, N) where the next node goes
        i, j = self.ends
        after, legal = [], []
        for label in range(1, self.node_labels + 1):
            grown = torch.cat([nodes.where(~new, label), parts[:, self.nodes :]], -1)
            after.append(grown)
            legal.append(size == 0 if self.connected else fits)
            if not self.connected:
                continue
            for at, edge in itertools.product(range(self.nodes), range(1, self.edge_labels + 1)):
                touches = ((i == at) & new[:, j]) | ((j == at) & new[:, i])
                joined = grown[:, self.nodes :].where(~touches, edge)
                after.append(torch.cat([grown[:, : self.nodes], joined], -1))
                legal.append(fits & (at < size))
        for pair, edge in itertools.product(range(len(i)), range(1, self.edge_labels + 1)):
            joined = parts.clone()
            joined[:, self.nodes + pair] = edge
            after.append(joined)
            legal.append((joined[:, j[pair]] > 0) & (parts[:, self.nodes + pair] == 0))
        return torch.stack(after, 1), torch.stack(legal, 1)

    def _removals(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """(X, P, K) graphs with one thing less, and whether that could have come last."""
        i, j = self.ends
        edges = parts[:, self.nodes :]
        after, legal = [], []
        for node in range(self.nodes):
            at = (i == node) | (j == node)
            degree = (edges[:, at] > 0).sum(-1)
            alone = (parts[:, : self.nodes] > 0).sum(-1) == 1
            last = (degree == 1) | alone if self.connected else degree == 0
            rest = parts.clone()
            rest[:, node] = 0
            rest[:, self.nodes :][:, at] = 0
            after.append(rest)
            legal.append((parts[:, node] > 0) & last)
        for pair in range(len(i)):
            rest = parts.clone()
            rest[:, self.nodes + pair] = 0
            after.append(rest)
            legal.append(edges[:, pair] > 0)  # what falls apart is found in no list of classes
        return torch.stack(after, 1), torch.stack(legal, 1)


def _radix(sizes: tuple[int, ...]) -> list[int]:
    """Weights of mixed-radix digits, the first the most significant."""
    return [math.prod(sizes[k + 1 :]) for k in range(len(sizes))]


def _orders(nodes: int, sizes: tuple[int, ...]) -> Tensor:
    """(K, nodes!) float64: column q weighs the parts so that their sum is the code in order q."""
    weights = torch.tensor(_radix(sizes), dtype=torch.float64)
    order = torch.tensor(list(itertools.permutations(range(nodes))))  # (Q, N)
    i, j = torch.triu_indices(nodes, nodes, 1)
    pair = torch.zeros(nodes, nodes, dtype=torch.int64)
    pair[i, j] = pair[j, i] = torch.arange(len(i))
    moved = nodes + pair[order[:, i], order[:, j]]
    return weights[torch.cat([order, moved], -1)].T.contiguous()

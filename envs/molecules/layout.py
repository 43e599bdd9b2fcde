"""Two layouts of a batch of trees for a network, with one set of operations.

`Dense` pads every tree to the same numbers of nodes and ports: fixed shapes, matrix products, no
host reads, as a GPU wants it. `Packed` lists the nodes and ports that exist: no padding, as a CPU
wants it. Both compute the same function.

Shapes: B trees, N nodes, K ports per node, D features. ``*M`` stands for the nodes, (B, N) or
(nodes,), and ``*P`` for the ports, (B, E) or (ports,). An open port leads back to its own node.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F


class Layout(ABC):
    """What the network asks of a batch of trees.

    Attributes:
        fragment: (*M) fragment of each node, some number in range for absent ones.
        own: (*P) class of each port.
        far: (*P) class of the port behind it, `classes` for none.
        count: (B,) number of nodes.
        still_open: (B,) number of open ports.
    """

    fragment: Tensor
    own: Tensor
    far: Tensor
    count: Tensor
    still_open: Tensor

    @abstractmethod
    def behind(self, nodes: Tensor) -> Tensor:
        """(*P, D) the node behind each port, its own node for an open port."""

    @abstractmethod
    def among(self, ports: Tensor, weight: Tensor) -> Tensor:
        """(*P, D) each port plus the other ports of its node, weighted by the class of the pair."""

    @abstractmethod
    def collect(self, ports: Tensor) -> Tensor:
        """(*M, D) the sum over the ports of each node."""

    @abstractmethod
    def mean(self, nodes: Tensor) -> Tensor:
        """(B, D) the mean over nodes, zero for an empty tree."""

    @abstractmethod
    def spread(self, trees: Tensor) -> Tensor:
        """(*M, D) for each node its tree, in a shape that can be added to nodes."""

    @abstractmethod
    def open_ports(self, ports: Tensor, source: Tensor, trees: Tensor) -> Tensor:
        """(..., D) the open ports, each plus its tree; `source` for an empty tree."""

    @abstractmethod
    def by_rank(self, scores: Tensor, ranks: int) -> Tensor:
        """(B, ranks, Q) scores of the open ports by their rank in the tree."""

    @abstractmethod
    def by_node(self, values: Tensor) -> Tensor:
        """(B, N) values of the nodes."""


class Dense(Layout):
    """Padded arrays; E = 2N - 2 ports per tree, which is all that a finishable tree has.

    Args:
        fragment: (B, N) int64, -1 for no node.
        link: (B, N, K) int64 ``neighbour * K + its port``, -1 for none.
        orbit: (V+1, K) class of each port of each fragment, `classes` for none.
        pair: (V+1, K, K) class of each pair of ports.
        classes: Number of classes of ports.
    """

    def __init__(
        self, fragment: Tensor, link: Tensor, orbit: Tensor, pair: Tensor, classes: int
    ) -> None:
        n, k = link.shape[1:]
        node = fragment >= 0
        all_classes = orbit[fragment].flatten(1)  # (B, N*K)
        index = torch.arange(n * k, device=link.device)
        listed = torch.where(all_classes < classes, index, n * k).sort(1).values[:, : 2 * n - 2]
        exists = listed < n * k
        listed = listed.clamp(max=n * k - 1)
        target = link.flatten(1).gather(1, listed)
        filled = exists & (target >= 0)
        target = target.clamp(min=0)
        home = listed // k
        nodes = torch.arange(n, device=link.device)
        dtype = torch.get_default_dtype()
        towards = torch.where(filled, target // k, home)
        together = (home[:, :, None] == home[:, None]) & (listed[:, :, None] != listed[:, None])
        together &= exists[:, :, None] & exists[:, None]
        kind = fragment.gather(1, home) * k + listed % k
        self.fragment = fragment.remainder(len(orbit))
        self.own = torch.where(exists, all_classes.gather(1, listed), classes)
        self.far = torch.where(filled, all_classes.gather(1, target), classes)
        self.count = node.sum(1)
        self.is_open = exists & ~filled
        self.still_open = self.is_open.sum(1)
        self.home = ((home[..., None] == nodes) & exists[..., None]).to(dtype)  # (B, E, N)
        self.towards = ((towards[..., None] == nodes) & exists[..., None]).to(dtype)
        self.pair = pair.view(-1, k)[kind[..., None], (listed % k)[:, None]]  # (B, E, E)
        self.together = together.to(dtype)
        self.share = (node / self.count.clamp(min=1)[:, None]).to(dtype)[:, None]

    def behind(self, nodes: Tensor) -> Tensor:
        """See `Layout`."""
        return self.towards @ nodes

    def among(self, ports: Tensor, weight: Tensor) -> Tensor:
        """See `Layout`."""
        weights = F.embedding(self.pair, weight).squeeze(-1) * self.together
        return torch.baddbmm(ports, weights, ports)

    def collect(self, ports: Tensor) -> Tensor:
        """See `Layout`."""
        return self.home.transpose(1, 2) @ ports

    def mean(self, nodes: Tensor) -> Tensor:
        """See `Layout`."""
        return (self.share @ nodes).squeeze(1)

    def spread(self, trees: Tensor) -> Tensor:
        """See `Layout`."""
        return trees[:, None]

    def open_ports(self, ports: Tensor, source: Tensor, trees: Tensor) -> Tensor:
        """See `Layout`."""
        size = ports.shape[1]
        order = torch.where(self.is_open, torch.arange(size, device=ports.device), size)
        order = order.sort(1).values[:, : self.fragment.shape[1] - 1].clamp(max=size - 1)
        chosen = ports.gather(1, order[..., None].expand(-1, -1, ports.shape[2]))
        return torch.where((self.count == 0)[:, None, None], source, chosen) + trees[:, None]

    def by_rank(self, scores: Tensor, ranks: int) -> Tensor:
        """See `Layout`."""
        return scores

    def by_node(self, values: Tensor) -> Tensor:
        """See `Layout`."""
        return values


class Packed(Layout):
    """Lists of what exists. Arguments as for `Dense`."""

    def __init__(
        self, fragment: Tensor, link: Tensor, orbit: Tensor, pair: Tensor, classes: int
    ) -> None:
        b, n, k = link.shape
        node = fragment >= 0
        self.place = node.flatten().nonzero().squeeze(1)
        self.fragment = fragment.flatten()[self.place]
        self.tree = self.place // n
        number = node.flatten().cumsum(0) - 1  # (B*N)
        all_classes = orbit[fragment].flatten()  # (B*N*K)
        exists = all_classes < classes
        ports = exists.nonzero().squeeze(1)
        place, port = ports // k, ports % k  # place in B*N
        self.port_tree = place // n
        self.own = all_classes[ports]
        target = link.flatten()[ports]
        filled = target >= 0
        there = self.port_tree * (n * k) + target
        self.home = number[place]
        self.towards = torch.where(filled, number[there.clamp(min=0) // k], self.home)
        self.far = torch.where(filled, all_classes[there.clamp(min=0)], classes)
        others = exists.view(-1, k)[place]  # (P, K)
        others &= torch.arange(k, device=link.device) != port[:, None]
        to, other = others.nonzero(as_tuple=True)  # ports in order, each with the others
        origin = place[to]
        self.origin = (exists.cumsum(0) - 1)[origin * k + other]
        self.pair = pair[fragment.flatten()[origin], port[to], other]
        many = torch.bincount(to, minlength=len(ports))
        self.begin = many.cumsum(0) - many
        self.count = node.sum(1)
        is_open = ~filled
        self.open = is_open.nonzero().squeeze(1)
        open_tree = self.port_tree[self.open]
        self.still_open = torch.bincount(open_tree, minlength=b)
        start = self.still_open.cumsum(0) - self.still_open
        rank = torch.arange(len(self.open), device=link.device) - start[open_tree]
        self.empty = (self.count == 0).nonzero().squeeze(1)
        self.rank_tree = torch.cat([open_tree, self.empty])
        self.rank = torch.cat([rank, torch.zeros_like(self.empty)])
        self.shape = (b, n)

    def behind(self, nodes: Tensor) -> Tensor:
        """See `Layout`."""
        return nodes.index_select(0, self.towards)

    def among(self, ports: Tensor, weight: Tensor) -> Tensor:
        """See `Layout`."""
        weights = weight.squeeze(1).index_select(0, self.pair)
        return ports + F.embedding_bag(
            self.origin, ports, self.begin, mode="sum", per_sample_weights=weights
        )

    def collect(self, ports: Tensor) -> Tensor:
        """See `Layout`."""
        zero = ports.new_zeros(len(self.place), ports.shape[1])
        return zero.index_add(0, self.home, ports)

    def mean(self, nodes: Tensor) -> Tensor:
        """See `Layout`."""
        total = nodes.new_zeros(self.shape[0], nodes.shape[1]).index_add(0, self.tree, nodes)
        return total / self.count.clamp(min=1)[:, None]

    def spread(self, trees: Tensor) -> Tensor:
        """See `Layout`."""
        return trees.index_select(0, self.tree)

    def open_ports(self, ports: Tensor, source: Tensor, trees: Tensor) -> Tensor:
        """See `Layout`."""
        starts = source.expand(len(self.empty), -1)
        chosen = torch.cat([ports.index_select(0, self.open), starts])
        return chosen + trees.index_select(0, self.rank_tree)

    def by_rank(self, scores: Tensor, ranks: int) -> Tensor:
        """See `Layout`."""
        rows = self.rank_tree * ranks + self.rank
        table = scores.new_zeros(self.shape[0] * ranks, scores.shape[1])
        return table.index_copy(0, rows, scores).view(self.shape[0], ranks, -1)

    def by_node(self, values: Tensor) -> Tensor:
        """See `Layout`."""
        b, n = self.shape
        return values.new_zeros(b * n).index_copy(0, self.place, values).view(b, n)

"""Canonical form and symmetries of trees of fragments, by message passing over the batch.

The assembly is a tree whose nodes have numbered ports, and each node may permute its ports by the
group of its fragment. The message that node i sends out of port p is a number that stands for the
part of the tree on i's side, canonical under the groups. It is a hash of the fragment and of the
least, over the symmetries g of i, of a sum of the messages that arrive at the other ports, each
times a number for its place in the order given by g, and a mark at the place of p. After as many
rounds as the tree can be deep the messages are exact, and one more such number per node stands
for the whole tree as seen from there.

Two trees agree exactly if they are isomorphic, up to collisions of 64-bit numbers.
"""

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.envs.molecules.tables import Tables

OPEN, NONE, MARK = 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179, 0x3C6EF372FE94F82B
FAR = torch.iinfo(torch.int64).max


def mix(x: Tensor) -> Tensor:
    """A bijection of int64 that looks random: the multiplications and shifts of SplitMix64."""
    x = (x ^ (x >> 30)) * -0x40A7B892E31B1A47
    x = (x ^ (x >> 27)) * -0x6B2FB644ECCEEE15
    return x ^ (x >> 31)


def row_hash(fragment: Tensor, link: Tensor) -> Tensor:
    """(B,) int64 hash of the arrays as they are."""
    flat = torch.cat([fragment, link.flatten(1)], 1)
    place = torch.arange(1, flat.shape[1] + 1, device=flat.device) * 0x2545F4914F6CDD1D
    return mix(mix(flat + place).sum(1))


def least(candidates: Tensor) -> Tensor:
    """The least over the third axis, which is short: much faster here than a reduction."""
    return reduce(torch.minimum, candidates.unbind(2))


class Canonical:
    """Messages of a batch of B trees of at most N nodes with at most K ports.

    Args:
        tables: Constants of the vocabulary, whose largest group has G symmetries.
        fragment: (B, N) int64, -1 for no node; nodes fill the front.
        link: (B, N, K) int64, ``neighbour * K + its port``, or -1.

    Attributes:
        seen: (B, n) int64 number of the whole tree as seen from each of the n nodes that there are.
    """

    def __init__(self, tables: Tables, fragment: Tensor, link: Tensor) -> None:
        places, self.room = tables.places, link.shape[1]
        self.reads = link.device.type == "cpu" and len(link) > 0
        if self.reads:  # no more than there is
            # Links as well: after an illegal move, whose result nobody reads, one may stand alone.
            used = ((fragment >= 0) | (link >= 0).any(2)).any(0).tolist()
            last = max((at for at, any_row in enumerate(used, 1) if any_row), default=1)
            fragment, link = fragment[:, :last], link[:, :last]
            places = places[:, : int(tables.order[fragment].max())]
        self.b, self.n, self.k = link.shape
        self.fragment, self.tables, self.link = fragment, tables, link
        self.exists = fragment >= 0
        self.filled = link >= 0
        self.source = link.clamp(min=0).flatten(1)
        port = tables.port[fragment] < tables.num_ports
        self.blank = torch.where(port, OPEN, NONE)
        self.code = mix(fragment + 0x9E3779B9)[..., None]  # (B, N, 1)
        self.places = places[fragment]  # (B, N, G, K)
        # Each place in the canonical order multiplies what arrives there by a number of its own.
        salt = mix(torch.arange(1, self.k + 1, device=link.device) + MARK) | 1
        self.factor, self.mark = salt[self.places], mix(salt)[self.places]
        messages = torch.zeros_like(link)
        for _ in range(self.n - 1):
            before, messages = messages, mix(self.code + least(self._candidates(messages)[1]))
            if self.reads and torch.equal(before, messages):
                break
        self.around, self.outgoing = self._candidates(messages)  # (B, N, G), (B, N, G, K)
        self.seen = mix(self.code[..., 0] + least(self.around))

    def _arrive(self, values: Tensor, blank: Tensor | float) -> Tensor:
        """(B, N, K) the value that the neighbour behind each port sends, `blank` where none is."""
        sent = values.flatten(1).gather(1, self.source).view(self.b, self.n, self.k)
        return torch.where(self.filled, sent, blank)

    def _candidates(self, messages: Tensor) -> tuple[Tensor, Tensor]:
        """What arrives, arranged by each symmetry: at all ports, and with a mark at each port."""
        placed = self._arrive(messages, self.blank)[:, :, None] * self.factor  # (B, N, G, K)
        around = placed.sum(-1)
        return around, around[..., None] - placed + self.mark

    # ------------------------------------------------------------------ canonical form

    def form(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same trees with canonical numbers of nodes and ports.

        The root is the node from which the tree looks least; nodes are numbered depth first, and
        ports are arranged as in the messages. Ties are symmetries of the tree, so any choice gives
        the same arrays.

        Returns:
            fragment (B, N), link (B, N, K), the new number of each node (B, N), and the new number
            of each port (B, N, K).
        """
        k, n = self.k, self.n
        root = torch.where(self.exists, self.seen, FAR).argmin(1)[:, None]
        is_root = torch.arange(n, device=root.device) == root  # (B, N)
        places = self.places
        chosen = self.around.argmin(2)  # (B, N); right for the root
        by_parent = self.outgoing.argmin(2)  # (B, N, K)
        label = torch.where(is_root, 0, -1)  # (B, N): the path from the root as a number
        above = torch.full_like(label, -1)  # port towards the root
        fresh = is_root
        ports = torch.arange(k, device=root.device)
        for depth in range(1, n):
            place = places.gather(2, chosen[..., None, None].expand(-1, -1, 1, k)).squeeze(2)
            path = label[..., None] + (place + 1) * (k + 1) ** (n - 1 - depth)
            path = path.masked_fill(~fresh[..., None] | (ports == above[..., None]), -1)
            best, port = self._arrive(path, -1).max(2)
            fresh = (best > 0) & (label < 0)
            if self.reads and not bool(fresh.any()):
                break
            label = torch.where(fresh, best, label)
            above = torch.where(fresh, port, above)
            towards = by_parent.gather(2, port[..., None]).squeeze(2)
            chosen = torch.where(fresh, towards, chosen)
        place = places.gather(2, chosen[..., None, None].expand(-1, -1, 1, k)).squeeze(2)
        order = torch.where(self.exists, label, FAR).argsort(dim=1, stable=True)
        number = torch.empty_like(order).scatter_(
            1, order, torch.arange(n, device=order.device).expand_as(order)
        )
        name = number[..., None] * k + place  # (B, N, K): new name of each end
        target = torch.where(self.filled, name.flatten(1).gather(1, self.source).view_as(name), -1)
        link = torch.empty_like(name).flatten(1)
        link = link.scatter(1, name.flatten(1), target.flatten(1)).view_as(name)
        fragment = self.fragment.gather(1, order)
        if n == self.room:
            return fragment, link, number, place
        rest = torch.arange(n, self.room, device=root.device).expand(self.b, -1)
        return (
            F.pad(fragment, (0, self.room - n), value=-1),
            F.pad(link, (0, 0, 0, self.room - n), value=-1),
            torch.cat([number, rest], 1),
            torch.cat([place, ports.expand(self.b, self.room - n, k)], 1),
        )

    # ------------------------------------------------------------------ symmetries

    def log_automorphisms(self) -> Tensor:
        """(B,) float64 log of the number of automorphisms, acting on nodes and ports.

        Automorphisms that fix a node choose, independently at every node, a symmetry of its
        fragment that keeps the arrangement of what lies behind the ports; the others move it to
        any of the nodes from which the tree looks the same.
        """
        symmetric = self.tables.symmetric[self.fragment][..., : self.places.shape[2]]  # (B, N, G)
        kept = (self.outgoing == self.outgoing[:, :, :1]) & symmetric[..., None]
        stable = kept.sum(2).to(torch.float64).log()  # (B, N, K)
        behind = torch.zeros_like(stable)
        for _ in range(self.n - 1):
            arriving = self._arrive(behind, 0.0)
            behind = stable + arriving.sum(-1, keepdim=True) - arriving
        root = ((self.around[:, 0] == self.around[:, 0, :1]) & symmetric[:, 0]).sum(-1)
        fixed = root.to(torch.float64).log() + self._arrive(behind, 0.0)[:, 0].sum(-1)
        moved = (self.seen == self.seen[:, :1]) & self.exists
        count = moved.sum(1).clamp(min=1).to(torch.float64).log()
        return torch.where(self.exists[:, 0], fixed + count, torch.zeros_like(fixed))

    def log_overcount(self) -> Tensor:
        """(B,) float64: sum of the logs of the groups of all nodes, less `log_automorphisms`."""
        groups = self.tables.log_group[self.fragment].sum(-1)
        return groups - self.log_automorphisms()

"""A vocabulary as tensors: what the environment, the keys and the network look up."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.envs.molecules.fragments import Fragment, may_bond


@dataclass(frozen=True)
class Tables:
    """Constants of a vocabulary of V fragments with at most K ports each.

    Every port of every fragment has a number in ``range(Q)``. Rows for "no fragment" come last,
    so that the fragment -1 finds them.

    Attributes:
        ports: (V+1,) number of ports; 0 for no fragment.
        port: (V+1, K) the number of a port, Q where there is none.
        fragment_of: (Q,) fragment of a port.
        place_of: (Q,) position of the port in its fragment, in ``range(K)``.
        allowed: (Q+2, Q) whether two ports may bond. Row Q (no port) is all False; row Q+1 (the
            source) allows the first port of every fragment.
        places: (V+1, G, K) for symmetry g and port p the place i with ``g[i] == p``.
        symmetric: (V+1, G) False on the padding of short groups.
        order: (V+1,) the order of the group; 1 for no fragment.
        log_group: (V+1,) float64 its logarithm.
        orbit: (Q+1,) class of a port up to symmetry; the largest number stands for none.
        pair: (V+1, K, K) class of an ordered pair of ports up to symmetry; 0 for none.
    """

    ports: Tensor
    port: Tensor
    fragment_of: Tensor
    place_of: Tensor
    allowed: Tensor
    places: Tensor
    symmetric: Tensor
    order: Tensor
    log_group: Tensor
    orbit: Tensor
    pair: Tensor

    @property
    def num_fragments(self) -> int:
        """V."""
        return len(self.ports) - 1

    @property
    def max_ports(self) -> int:
        """K."""
        return self.port.shape[1]

    @property
    def num_ports(self) -> int:
        """Q, the number of ports of all fragments together."""
        return len(self.place_of)

    @property
    def num_orbits(self) -> int:
        """Number of classes of ports."""
        return int(self.orbit[-1])

    @property
    def num_pairs(self) -> int:
        """Number of classes of ordered pairs of ports, "none" included."""
        return int(self.pair.max()) + 1

    def to(self, device: torch.device) -> "Tables":
        """The same constants on another device."""
        values = (getattr(self, field.name).to(device) for field in dataclasses.fields(self))
        return Tables(*values)


def make_tables(fragments: Sequence[Fragment]) -> Tables:
    """The constants of a list of fragments, on the CPU."""
    v, k = len(fragments), max(f.ports for f in fragments)
    g = max(len(f.group) for f in fragments)
    q = sum(f.ports for f in fragments)
    port = torch.full((v + 1, k), q)
    fragment_of: list[int] = []
    place_of: list[int] = []
    labels: list[tuple[int, ...]] = []
    places = torch.zeros(v + 1, g, k, dtype=torch.int64)
    symmetric = torch.zeros(v + 1, g, dtype=torch.bool)
    orbit: list[int] = []
    pair = torch.zeros(v + 1, k, k, dtype=torch.int64)
    orbits: dict[tuple[int, int], int] = {}
    pairs: dict[tuple[int, int, int], int] = {}
    for index in range(v + 1):
        fragment = fragments[index] if index < v else None
        group = fragment.group if fragment else ((),)
        symmetric[index, : len(group)] = True
        for row in range(g):
            short = group[row] if row < len(group) else group[0]
            full = [*short, *range(len(short), k)]
            for i, image in enumerate(full):
                places[index, row, image] = i
        if fragment is None:
            continue
        for i in range(fragment.ports):
            port[index, i] = len(place_of)
            fragment_of.append(index)
            place_of.append(i)
            labels.append(fragment.labels[i])
            orbit.append(orbits.setdefault((index, fragment.orbits[i]), len(orbits)))
            for j in range(fragment.ports):
                least = min((image[i], image[j]) for image in group)
                pair[index, i, j] = pairs.setdefault((index, *least), len(pairs) + 1)
    allowed = torch.zeros(q + 2, q, dtype=torch.bool)
    kinds = sorted(set(labels))
    kind = torch.tensor([kinds.index(x) for x in labels])
    meets = torch.tensor([[may_bond(a, b) for b in kinds] for a in kinds])
    allowed[:q] = meets[kind][:, kind]
    allowed[q + 1] = torch.tensor(place_of) == 0
    return Tables(
        ports=torch.tensor([*(f.ports for f in fragments), 0]),
        port=port,
        fragment_of=torch.tensor(fragment_of),
        place_of=torch.tensor(place_of),
        allowed=allowed,
        places=places,
        symmetric=symmetric,
        order=symmetric.sum(1),
        log_group=symmetric.sum(1).double().log(),
        orbit=torch.tensor([*orbit, len(orbits)]),
        pair=pair,
    )

"""Energies of spins and other discrete variables, and exactly solved Ising lattices."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

WIDEST_STRIP = 11
"""The transfer matrix has 4^(shorter side) entries: lattices are solved up to this side."""

LARGEST_SUM = 1_000_000
"""Sums over assignments are done term by term up to so many terms."""


class SiteReward(LogReward[Tensor]):
    """A reward on (B, N) values that is defined on partly assigned sites too.

    Values are 1 ... K, and 0 where a site has none yet: it takes no part in log R.

    Attributes:
        sites: N.
        values: K.
    """

    has_partial = True
    sites: int
    values: int

    @abstractmethod
    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, N) values."""

    def log_partition(self) -> float | None:
        """Log Z, by default as a sum over all assignments if they are few."""
        count = self.values**self.sites
        if count > LARGEST_SUM:
            return None
        radix = self.values ** torch.arange(self.sites)
        states = 1 + torch.arange(count)[:, None] // radix % self.values
        return float(self(states).double().logsumexp(0))


@dataclass(frozen=True)
class ExactIsing:
    """What is known exactly of p(s) = exp(log R(s)) / Z on a lattice.

    Attributes:
        log_z: Log Z, nats.
        mean_log_reward: Mean of log R, nats.
        magnetisation: Mean of the mean spin.
        neighbour_correlation: Mean of s_i s_j over edges.
    """

    log_z: float
    mean_log_reward: float
    magnetisation: float
    neighbour_correlation: float

    @property
    def entropy(self) -> float:
        """Entropy of p in nats, for all sites together."""
        return self.log_z - self.mean_log_reward


class IsingReward(SiteReward):
    r"""Spins s = -1, +1 (values 1, 2) on a grid or a torus.

    .. math:: \log R(s) = s^T J s + b \sum_i s_i, \quad J = \sigma A

    with A the symmetric 0/1 adjacency. Each edge is met twice: it contributes 2 sigma s_i s_j.
    Around a torus of side 2 there is one edge, not two.

    Args:
        height: Rows.
        width: Columns.
        coupling: sigma; positive for ferromagnets.
        field: b.
        periodic: Torus instead of grid.

    Reference:
        Zhang et al., Generative Flow Networks for Discrete Probabilistic Modeling, 2022,
        https://arxiv.org/abs/2202.01361
    """

    values = 2

    def __init__(
        self,
        height: int,
        width: int,
        coupling: float = 0.1,
        field: float = 0.0,
        periodic: bool = True,
    ) -> None:
        if height < 1 or width < 1:
            raise ConfigError(f"IsingReward: sides must be positive, got {height} x {width}.")
        self.height, self.width, self.sites = height, width, height * width
        self.coupling, self.field, self.periodic = coupling, field, periodic
        self.edges = lattice_edges(height, width, periodic)

    def spins(self, states: Tensor) -> Tensor:
        """(B, N) float spins -1 and +1, and 0 where there is none yet."""
        return ((2 * states - 3) * (states > 0)).to(torch.get_default_dtype())

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, N) values."""
        s = self.spins(states)
        return 2 * self.coupling * self._bonds(s).sum(-1) + self.field * s.sum(-1)

    def magnetisation(self, states: Tensor) -> Tensor:
        """(B,) mean spin."""
        return self.spins(states).mean(-1)

    def neighbour_correlation(self, states: Tensor) -> Tensor:
        """(B,) mean of s_i s_j over the edges."""
        return self._bonds(self.spins(states)).sum(-1) / max(1, len(self.edges))

    @cached_property
    def exact(self) -> ExactIsing:
        """What is known exactly, by transfer matrix.

        Raises:
            ConfigError: If both sides exceed `WIDEST_STRIP`.
        """
        return solve_ising(self.height, self.width, self.coupling, self.field, self.periodic)

    def log_partition(self) -> float | None:
        """Log Z by transfer matrix; None if the lattice is too wide for it."""
        return None if min(self.height, self.width) > WIDEST_STRIP else self.exact.log_z

    def _bonds(self, spins: Tensor) -> Tensor:
        """(B, E) s_i s_j."""
        one, two = self._ends(spins.device)
        return spins[:, one] * spins[:, two]

    @cache
    def _ends(self, device: torch.device) -> tuple[Tensor, Tensor]:
        one, two = self.edges.to(device).unbind(1)
        return one, two

    def __repr__(self) -> str:
        kind = "torus" if self.periodic else "grid"
        return (
            f"IsingReward({self.height}x{self.width} {kind}, coupling={self.coupling:g}, "
            f"field={self.field:g})"
        )


class PairwiseModel(SiteReward):
    r"""log R(x) = sum_i h_i(x_i) + sum over edges (i, j) of J_ij(x_i, x_j): Potts, Markov fields.

    Args:
        unary: (N, K) float h.
        edges: (E, 2) int64 sites.
        pairwise: (E, K, K) float J; rows belong to the first site of the edge.

    Raises:
        ShapeError: If the shapes do not fit.
        ConfigError: If an edge names no site.
    """

    def __init__(self, unary: Tensor, edges: Tensor, pairwise: Tensor) -> None:
        sizes = check_shapes(
            "PairwiseModel",
            unary=(unary, "N K"),
            edges=(edges, "E 2"),
            pairwise=(pairwise, "E K K"),
        )
        self.sites, self.values, self.edges = sizes["N"], sizes["K"], edges
        if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < self.sites:
            raise ConfigError(
                f"PairwiseModel: edges name the sites 0 ... {self.sites - 1}, got "
                f"{int(edges.min())} ... {int(edges.max())}."
            )
        # The further value 0, for sites without one, contributes nothing.
        self.unary = torch.nn.functional.pad(unary.double(), (1, 0))
        self.pairwise = torch.nn.functional.pad(pairwise.double(), (1, 0, 1, 0))

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, N) values."""
        unary, pairwise, edges = self._tables(states.device, torch.get_default_dtype())
        site = torch.arange(self.sites, device=states.device)
        edge = torch.arange(len(edges), device=states.device)
        bonds = pairwise[edge, states[:, edges[:, 0]], states[:, edges[:, 1]]]
        return unary[site, states].sum(-1) + bonds.sum(-1)

    @cache
    def _tables(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        return self.unary.to(device, dtype), self.pairwise.to(device, dtype), self.edges.to(device)

    def __repr__(self) -> str:
        return f"PairwiseModel({self.sites} sites, {self.values} values, {len(self.edges)} edges)"


def lattice_edges(height: int, width: int, periodic: bool = True) -> Tensor:
    """(E, 2) int64 neighbours on a lattice whose sites are numbered row by row, each pair once."""
    pairs = set()
    for row in range(height):
        for column in range(width):
            for down, right in ((row + 1, column), (row, column + 1)):
                if periodic:
                    down, right = down % height, right % width
                here, there = row * width + column, down * width + right
                if down < height and right < width and here != there:
                    pairs.add((min(here, there), max(here, there)))
    return torch.tensor(sorted(pairs), dtype=torch.int64).view(-1, 2)


def solve_ising(
    height: int, width: int, coupling: float, field: float, periodic: bool = True
) -> ExactIsing:
    r"""An Ising lattice solved by its transfer matrix, in float64.

    With E(r) the log-weight of a row r of spins and V(r, r') = exp(2 sigma r . r'), a torus has
    Z = trace(M^height), M = e^{E/2} V e^{E/2}. The means are derivatives of log Z.

    Args:
        height: Rows.
        width: Columns.
        coupling: sigma.
        field: b.
        periodic: Torus instead of grid.

    Raises:
        ConfigError: If both sides exceed `WIDEST_STRIP`.
    """
    height, width = max(height, width), min(height, width)
    if width > WIDEST_STRIP:
        raise ConfigError(
            f"solve_ising: the shorter side must be at most {WIDEST_STRIP}, got {width}: the "
            f"transfer matrix would have 4^{width} entries."
        )
    parameters = torch.tensor([coupling, field], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        log_z = _log_z(height, width, parameters, periodic)
        (gradient,) = torch.autograd.grad(log_z, parameters)
    bonds, spins = gradient.tolist()
    count = len(lattice_edges(height, width, periodic))
    return ExactIsing(
        log_z=float(log_z.detach()),
        mean_log_reward=coupling * bonds + field * spins,
        magnetisation=spins / (height * width),
        neighbour_correlation=bonds / (2 * max(1, count)),
    )


def _log_z(height: int, width: int, parameters: Tensor, periodic: bool) -> Tensor:
    coupling, field = parameters.unbind()
    bits = torch.arange(2**width)[:, None] >> torch.arange(width) & 1
    rows = 2 * bits.double() - 1  # (2^width, width)
    one, two = lattice_edges(1, width, periodic).unbind(1)
    weight = 2 * coupling * (rows[:, one] * rows[:, two]).sum(1) + field * rows.sum(1)
    log_matrix = 2 * coupling * rows @ rows.T + (weight[:, None] + weight) / 2
    top = log_matrix.detach().max()
    matrix = (log_matrix - top).exp()
    if periodic and height > 2:
        values = torch.linalg.eigvalsh(matrix)
        largest = values[-1]  # positive, as the matrix is
        total: Tensor = height * (top + largest.log()) + ((values / largest) ** height).sum().log()
        return total
    # Open ends, and the torus of two rows, which has one edge between them.
    log_scale = weight.detach().max() / 2
    vector = (weight / 2 - log_scale).exp()
    end, total = vector, 2 * log_scale
    for _ in range(height - 1):
        vector = matrix @ vector
        norm = vector.sum()
        vector, total = vector / norm, total + norm.log() + top
    return total + (end @ vector).log()

"""Densities on the torus: a sum of waves, mixtures of von Mises densities, and tables."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.envs.torus.von_mises import (
    VonMisesMixture,
    sample_von_mises,
    uniform_like,
    von_mises_log_prob,
    wrap,
)
from gflow.errors import ConfigError


class TorusTarget(Target):
    """A density that is periodic in each coordinate, in radians, and known by its basins.

    A basin may be a region or a part of a mixture: a point belongs to it to some share, and the
    mean share over exact samples is its weight.

    Attributes:
        basin_names: M names.
        basin_weights: (M,) float64 exact weights, sum 1.
        axes: D names of the angles.
    """

    basin_names: tuple[str, ...]
    basin_weights: Tensor
    axes: tuple[str, ...] = ("x1", "x2")

    @abstractmethod
    def shares(self, x: Tensor) -> Tensor:
        """(..., M) to how much (..., D) angles belong to each basin; they sum to 1."""


def resampled(
    target: Target, generator: torch.Generator, count: int = 20_000, proposals: int = 100_000
) -> Tensor:
    """(count, D) angles, resampled by their reward from uniform ones; repeated where it is high.

    Nearly exact samples in few dimensions, which take nothing but `proposals` rewards; useless in
    many.

    Args:
        target: The target.
        generator: Source of randomness.
        count: Angles to return.
        proposals: Uniform angles to resample.
    """
    like = torch.empty(0, dtype=torch.get_default_dtype(), device=generator.device)
    x = wrap(2 * math.pi * uniform_like(like, (proposals, target.dim), generator))
    weight = target.log_density(x).double().softmax(0)
    return x[torch.multinomial(weight, count, replacement=True, generator=generator)]


class Sines(TorusTarget):
    r"""The density :math:`(\sin 3 x_1 + \cos 2 x_2 + 2)^3` of two angles; six equal modes.

    Its integral is :math:`14 (2 \pi)^2`: over a uniform torus :math:`E(2 + s + c)^3 = 8 + 6`. The
    basins are the six equal rectangles around the modes.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594; the formula is that of its authors' code.
    """

    dim = 2
    log_z = math.log(14 * (2 * math.pi) ** 2)
    basin_names = tuple(f"mode_{i}{j}" for i in range(3) for j in range(2))
    mode_radius = 0.5
    has_samples = True

    def __init__(self) -> None:
        first = (torch.arange(3, dtype=torch.float64) + 0.25) * (2 * math.pi / 3)
        second = torch.tensor([0.0, math.pi], dtype=torch.float64)
        self.modes = torch.cartesian_prod(first, second)
        self.basin_weights = torch.full((6,), 1 / 6, dtype=torch.float64)

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log R. Written with squares, which do not cancel near the zeros of R."""
        first, second = self.checked(x).unbind(-1)
        half = torch.sin(1.5 * first + math.pi / 4).square() + second.cos().square()
        return 3 * (2 * half).log()

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        found, missing = [], count
        while missing > 0:  # 14 of 64 are kept
            x = 2 * math.pi * uniform_like(like, (5 * missing + 50, 2), generator)
            height = 64 * uniform_like(like, (len(x),), generator)
            found.append(x[height < self.log_density(x).exp()][:missing])
            missing -= len(found[-1])
        return torch.cat(found) if found else like.new_zeros(0, 2)

    def shares(self, x: Tensor) -> Tensor:
        """(..., 6) one for the rectangle that a point lies in."""
        first, second = wrap(x).unbind(-1)
        i = (wrap(first + math.pi / 6) / (2 * math.pi / 3)).long().clamp(max=2)
        j = (wrap(second + math.pi / 2) / math.pi).long().clamp(max=1)
        return torch.nn.functional.one_hot(i * 2 + j, 6).to(x)


class TorusMixture(TorusTarget):
    r"""C times a mixture of products of von Mises densities, :math:`C \sum_k w_k \prod_d vM(x_d)`.

    Z is C. The basins are the components, to which a point belongs with their posterior
    probabilities, so that their weights are exactly w.

    Args:
        means: (K, D) radians.
        concentrations: (K, D) positive.
        weights: (K,) positive, made to sum to 1.
        total: C.
        names: K names of the components.
        axes: D names of the angles.
    """

    has_samples = True

    def __init__(
        self,
        means: Tensor,
        concentrations: Tensor,
        weights: Tensor,
        total: float = 1.0,
        names: Sequence[str] | None = None,
        axes: Sequence[str] | None = None,
    ) -> None:
        self.means, self.concentrations = means.double(), concentrations.double()
        if means.dim() != 2 or concentrations.shape != means.shape or len(weights) != len(means):
            raise ConfigError(
                f"TorusMixture: means and concentrations must be (K, D) and weights (K,), got "
                f"{tuple(means.shape)}, {tuple(concentrations.shape)}, {tuple(weights.shape)}."
            )
        positive = (concentrations > 0).all() & (weights > 0).all()
        if not bool(positive) or not 0 < total < math.inf:
            raise ConfigError(
                f"TorusMixture: concentrations, weights and the total must be positive, got "
                f"{concentrations.tolist()}, {weights.tolist()} and {total}."
            )
        count, self.dim = means.shape
        self.basin_weights = weights.double() / weights.double().sum()
        self.log_weights = self.basin_weights.log() + math.log(total)
        self.log_z = math.log(total)
        self.modes = wrap(self.means)
        self.mode_radius = 3 / float(self.concentrations.min()) ** 0.5
        self.basin_names = tuple(names or (f"part_{k}" for k in range(count)))
        self.axes = tuple(axes or (f"x{d + 1}" for d in range(self.dim)))

    def components(self, x: Tensor) -> Tensor:
        """(..., K) log of each component's share of R at (..., D) angles."""
        means, kappa = self.constant("means", x), self.constant("concentrations", x)
        parts = von_mises_log_prob(self.checked(x).unsqueeze(-2), means, kappa).sum(-1)
        return self.constant("log_weights", x) + parts

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log of the sum of components."""
        return self.components(x).logsumexp(-1)

    def shares(self, x: Tensor) -> Tensor:
        """(..., K) posterior probabilities of the components."""
        return self.components(x).softmax(-1)

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        ends = self.constant("basin_weights", like).cumsum(-1)
        place = uniform_like(like, (count,), generator)
        part = torch.searchsorted(ends, place).clamp(max=len(ends) - 1)
        means, kappa = self.constant("means", like), self.constant("concentrations", like)
        return sample_von_mises(means[part], kappa[part], generator)


def increments(target: TorusMixture, like: Tensor) -> VonMisesMixture:
    """The marginals of a mixture as distributions of increments, exact if it has D = 1 angle."""
    weight = target.constant("basin_weights", like).log().expand(target.dim, -1)
    return VonMisesMixture(
        weight, target.constant("means", like).T, target.constant("concentrations", like).T
    )


def ramachandran() -> TorusMixture:
    """A stand-in for the torsions of a dipeptide: four basins made up by hand, Z = 50.

    It was fitted to no molecule. `gflow.envs.torus.alanine_target` has one.
    """
    return TorusMixture(
        means=torch.deg2rad(
            torch.tensor(
                [[-80.0, 75.0], [-75.0, -20.0], [-150.0, 150.0], [60.0, 45.0]], dtype=torch.float64
            )
        ),
        concentrations=torch.tensor([[8.0, 6.0], [8.0, 6.0], [4.0, 4.0], [12.0, 10.0]]),
        weights=torch.tensor([0.45, 0.35, 0.12, 0.08], dtype=torch.float64),
        total=50.0,
        names=("c7eq", "alpha_r", "beta", "alpha_l"),
        axes=("phi", "psi"),
    )


class TorusTable(TorusTarget):
    """Two angles whose log-density is given on a grid, and smooth in between.

    Interpolation is by cubic convolution (Catmull-Rom) over the periodic grid: it passes through
    the values, and its slope is continuous. Log Z is that of the interpolated density, by
    quadrature in each cell. The basins are regions of the torus.

    Args:
        values: (G, G) log R at angles 2 pi i / G, 2 pi j / G, finite; G at least 4.
        basins: Names of regions and, for each, (..., 2) angles in [-pi, pi) to (...) bool. The
            first region that holds a point counts.
        rest: Name of the basin of what lies in none of them.
        axes: Names of the angles.

    Raises:
        ConfigError: If the table is misshapen or not finite.

    Reference:
        Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions on
        Acoustics, Speech, and Signal Processing 29, 1981.
    """

    dim = 2

    def __init__(
        self,
        values: Tensor,
        basins: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        rest: str = "rest",
        axes: Sequence[str] = ("x1", "x2"),
    ) -> None:
        self.values = torch.as_tensor(values, dtype=torch.float64).cpu()
        if self.values.dim() != 2 or len(set(self.values.shape)) != 1 or len(self.values) < 4:
            raise ConfigError(
                f"TorusTable: values must be (G, G) with G at least 4, got "
                f"{tuple(self.values.shape)}."
            )
        if not bool(self.values.isfinite().all()):
            raise ConfigError(
                "TorusTable: a value is not finite. Clip energies of clashes before they get here."
            )
        self.basins = dict(basins or {})
        self.basin_names = (*self.basins, rest)
        self.axes = tuple(axes)
        place, log_mass = cell_nodes(len(self.values))
        log_mass = log_mass + self.log_density(place)
        self.log_z = float(log_mass.logsumexp(0))
        self.basin_weights = (log_mass - self.log_z).exp() @ self.shares(place)

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) interpolated."""
        table, count = self.constant("values", x), len(self.values)
        scaled = wrap(self.checked(x)) * (count / (2 * math.pi))
        corner = scaled.floor()
        (first, second), (s, t) = corner.long().unbind(-1), (scaled - corner).unbind(-1)
        near = torch.arange(-1, 3, device=x.device)
        rows = (first.unsqueeze(-1) + near).remainder(count)
        columns = (second.unsqueeze(-1) + near).remainder(count)
        patch = table[rows.unsqueeze(-1), columns.unsqueeze(-2)]  # (..., 4, 4)
        return (patch * _cubic(s).unsqueeze(-1) * _cubic(t).unsqueeze(-2)).sum((-1, -2))

    def shares(self, x: Tensor) -> Tensor:
        """(..., M) one for the region that a point lies in."""
        angles = wrap(x + math.pi) - math.pi
        which = torch.full(x.shape[:-1], len(self.basins), device=x.device)
        for number, holds in reversed(list(enumerate(self.basins.values()))):
            which = which.masked_fill(holds(angles), number)
        return torch.nn.functional.one_hot(which, len(self.basin_names)).to(x)


def _cubic(t: Tensor) -> Tensor:
    """(..., 4) weights of the points at -1, 0, 1, 2 for places (...) in [0, 1)."""
    two, three = t.square(), t**3
    return torch.stack(
        [
            -t / 2 + two - three / 2,
            1 - 2.5 * two + 1.5 * three,
            t / 2 + 2 * two - 1.5 * three,
            (three - two) / 2,
        ],
        -1,
    )


def cell_nodes(count: int, nodes: int = 6) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes in each of count^2 equal cells of the torus of two angles.

    Args:
        count: Cells per angle; cell i is [i, i + 1) times 2 pi / count.
        nodes: Nodes per cell and angle.

    Returns:
        (count^2 nodes^2, 2) float64 angles, cell by cell, and (count^2 nodes^2,) log-weights.
    """
    import numpy as np

    place, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(nodes))
    width = 2 * math.pi / count
    line = (torch.arange(count).unsqueeze(-1) + (place + 1) / 2) * width  # (count, nodes)
    size = (count, count, nodes, nodes)
    first = line[:, None, :, None].expand(size)
    second = line[None, :, None, :].expand(size)
    mass = (weight[:, None] * weight[None, :] * (width / 2) ** 2).log().expand(size)
    return torch.stack([first, second], -1).view(-1, 2), mass.reshape(-1)

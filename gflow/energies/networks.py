"""Networks of energies: log-densities, not normalised, of values at sites."""

import itertools
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, NotNegative
from gflow.checks import check_shapes, checked
from gflow.errors import ConfigError


class EnergyNetwork(nn.Module, ABC):
    """log p~(x) = -E(x) of N sites with values 1 ... K.

    It reads features: spins -1 and +1 of two values, else one-hot codes. A site without a value, 0,
    has zeros, so that log p~ extends to partly assigned sites. What lies between the features of
    values is never sampled; gradients by features are taken there (see `ContrastiveStep`).

    Attributes:
        sites: N.
        values: K.
    """

    sites: int
    values: int

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """(B,) log p~ of (B, F) features."""

    @property
    def num_features(self) -> int:
        """F: N for two values, else N K."""
        return self.sites if self.values == 2 else self.sites * self.values

    def features(self, states: Tensor) -> Tensor:
        """(B, F) features of (B, N) values, in torch's default precision."""
        dtype = torch.get_default_dtype()
        if self.values == 2:
            return ((2 * states - 3) * (states > 0)).to(dtype)
        return F.one_hot(states, self.values + 1)[..., 1:].flatten(1).to(dtype)

    def log_density(self, states: Tensor) -> Tensor:
        """(B,) log p~ of (B, N) values."""
        found: Tensor = self(self.features(states))
        return found

    def penalty(self) -> Tensor:
        """() what a step of the energy pays for the parameters; nothing by default."""
        return torch.zeros(())


class PerceptronEnergy(EnergyNetwork):
    """A multi-layer perceptron, which may be added to a density with independent sites.

    The last layer starts at zero: the first density is that of the base, or even.

    Args:
        sites: N.
        values: K.
        width: Units of each hidden layer.
        depth: Hidden layers.
        base: (N, K) log-probabilities of independent sites, as of `site_log_prob`; even by default.

    Reference:
        Zhang et al., Generative Flow Networks for Discrete Probabilistic Modeling, 2022,
        https://arxiv.org/abs/2202.01361
    """

    base: Tensor | None

    @checked
    def __init__(
        self,
        sites: Count,
        values: Count,
        width: Count = 256,
        depth: Count = 3,
        base: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.sites, self.values = sites, values
        sizes = [self.num_features, *[width] * depth]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.SiLU()]
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)
        slope = None
        if base is not None:
            check_shapes("PerceptronEnergy", base=(base, f"{sites} {values}"))
            # log p = sum_i (b_i1 + b_i2) / 2 + s_i (b_i2 - b_i1) / 2 of spins s: a constant aside,
            # it is linear in features of either kind.
            slope = (base[:, 1] - base[:, 0]) / 2 if values == 2 else base.flatten()
        self.register_buffer("base", slope)

    def forward(self, features: Tensor) -> Tensor:
        """(B,) of the perceptron, and of the base up to a constant."""
        found: Tensor = self.layers(features).squeeze(-1)
        return found if self.base is None else found + features @ self.base


class IsingEnergy(EnergyNetwork):
    r"""log p~(s) = s^T J s + b . s of spins, J symmetric without a diagonal, both learned from 0.

    An edge is met twice: it contributes 2 J_ij s_i s_j. `penalty` is
    :math:`\lambda \sum_{ij} |J_ij|`, under which J_ij stays zero unless the correlation of s_i and
    s_j in the data differs by more than lambda from what the other couplings explain. It also
    shrinks couplings that are there; with a `knee` c it is
    :math:`\lambda c \sum_{ij} \log(1 + |J_{ij}| / c)`, whose pull on couplings beyond c falls off
    as c / |J|.

    Args:
        sites: N.
        sparsity: lambda.
        knee: c; 0 for the plain sum.
        field: Whether there is a b.

    Reference:
        Candes, Wakin & Boyd, Enhancing sparsity by reweighted l1 minimization, 2008,
        https://arxiv.org/abs/0711.1612, for the logarithm
    """

    values = 2

    @checked
    def __init__(
        self,
        sites: Count,
        sparsity: NotNegative = 0.0,
        knee: NotNegative = 0.0,
        field: bool = False,
    ) -> None:
        super().__init__()
        self.sites, self.sparsity, self.knee = sites, sparsity, knee
        self.weight = nn.Parameter(torch.zeros(sites, sites))
        self.field = nn.Parameter(torch.zeros(sites)) if field else None

    @property
    def couplings(self) -> Tensor:
        """(N, N) J; the upper triangle of the weights says it all."""
        upper = self.weight.triu(1)
        return upper + upper.T

    def forward(self, features: Tensor) -> Tensor:
        """(B,) the quadratic form of (B, N) spins."""
        found = ((features @ self.couplings) * features).sum(-1)
        return found if self.field is None else found + features @ self.field

    def penalty(self) -> Tensor:
        """() what couplings cost."""
        size = self.couplings.abs()
        if self.knee:
            size = self.knee * (size / self.knee).log1p()
        return self.sparsity * size.sum()


def site_log_prob(data: Tensor, values: int, prior: float = 1.0) -> Tensor:
    """(N, K) log-probabilities of values at each site by themselves, from (B, N) data.

    Args:
        data: (B, N) values 1 ... K.
        values: K.
        prior: Added to every count, so that no value is impossible.

    Raises:
        ConfigError: If there is something else than these values.
    """
    if not len(data) or int(data.min()) < 1 or int(data.max()) > values:
        shown = f"{int(data.min())} ... {int(data.max())}" if data.numel() else "nothing"
        raise ConfigError(f"site_log_prob: data must hold values 1 ... {values}, got {shown}.")
    count = F.one_hot(data - 1, values).sum(0).to(torch.get_default_dtype()) + prior
    return count.log() - count.sum(1, keepdim=True).log()

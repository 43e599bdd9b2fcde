"""Points of the plane around the sixteen places of a lattice."""

import math

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked

SPREAD = 0.25
"""Standard deviation around each place."""


def centres() -> Tensor:
    """(4, 2) the true means of the clusters, (+-sqrt 2, +-sqrt 2)."""
    root = math.sqrt(2)
    return torch.tensor([[root, root], [-root, root], [-root, -root], [root, -root]])


def offsets() -> Tensor:
    """(4, 2) where petals lie around the mean of a cluster: at radius 1, on the diagonals."""
    half = math.sqrt(0.5)
    return torch.tensor([[half, half], [-half, half], [-half, -half], [half, -half]])


@checked
def petals(count: Count = 4000, seed: int = 0) -> Tensor:
    """(count, 2) points, all sixteen places being equally likely.

    The places form a regular 4 x 4 lattice: a point tells which of the sixteen it belongs to, and
    nothing but the lattice as a whole tells which half of that is the cluster and which the petal.

    Args:
        count: Points.
        seed: Of the random numbers.

    Reference:
        Hu et al., GFlowNet-EM for learning compositional latent variable models, 2023,
        https://arxiv.org/abs/2302.06576, whose toy it is
    """
    generator = torch.Generator().manual_seed(seed)
    i = torch.randint(4, (count,), generator=generator)
    j = torch.randint(4, (count,), generator=generator)
    noise = torch.randn(count, 2, generator=generator)
    return centres()[i] + offsets()[j] + SPREAD * noise

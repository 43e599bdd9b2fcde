"""The mixture: means of clusters to be learned, petals around each that are known."""

import math

import torch
from torch import Tensor, nn

from gflow.em.model import LatentModel
from gflow.envs.mixture.data import SPREAD, offsets
from gflow.errors import ShapeError


class PetalMixture(LatentModel):
    r"""x is normal around :math:`\mu_i + o_j`, with z = (i, j) uniform among 16.

    Args:
        means: (4, 2) where the means of the clusters start.
        spread: Standard deviation.

    Raises:
        ShapeError: If there are not four means in the plane.
    """

    offsets: Tensor

    def __init__(self, means: Tensor, spread: float = SPREAD) -> None:
        super().__init__()
        if means.shape != (4, 2):
            raise ShapeError(
                f"PetalMixture: `means` must have shape (4, 2), got {tuple(means.shape)}."
            )
        self.means, self.spread = nn.Parameter(means.clone()), spread
        self.register_buffer("offsets", offsets().to(means), persistent=False)

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """(B,) log p(x, z) in nats, for points (B, 2) and names (B, 2) int64."""
        distance = (x - self.means[z[:, 0]] - self.offsets[z[:, 1]]).square().sum(-1)
        scale = math.log(2 * math.pi * self.spread**2)
        return -distance / (2 * self.spread**2) - scale - math.log(16)

    def maximise(self, x: Tensor, z: Tensor, weight: Tensor) -> None:
        """The best means for weighted pairs: means of points less their petals.

        Clusters to which nothing belongs stay where they are.
        """
        total = weight.new_zeros(4).index_add(0, z[:, 0], weight)[:, None]
        moved = weight[:, None] * (x - self.offsets[z[:, 1]])
        mean = moved.new_zeros(4, 2).index_add(0, z[:, 0], moved) / total
        with torch.no_grad():
            self.means.copy_(mean.where(total > 0, self.means))

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Points (count, 2) and names (count, 2)."""
        device = generator.device if generator is not None else self.means.device
        z = torch.randint(4, (count, 2), generator=generator, device=device)
        noise = torch.randn(count, 2, generator=generator, device=device, dtype=self.means.dtype)
        return self.means[z[:, 0]] + self.offsets[z[:, 1]] + self.spread * noise, z

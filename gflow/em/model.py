"""Latent-variable models: torch modules that say how likely data and latents are together."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from gflow.errors import IncompatibleError


class LatentModel(nn.Module, ABC):
    """p(x, z) of an observation x and a latent z, which an environment builds.

    Only `log_prob` has to be written:

        class Clusters(LatentModel):
            def __init__(self) -> None:
                super().__init__()
                self.means = nn.Parameter(torch.randn(5, 2))

            def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
                return -(x - self.means[z[:, 0]]).square().sum(-1) / 2
    """

    @abstractmethod
    def log_prob(self, x: Any, z: Any) -> Tensor:
        """(B,) log p(x, z), with gradients; constants that no parameter changes may be left out.

        Args:
            x: B rows of the data.
            z: B finished objects of the environment of latents.
        """

    def partial_log_prob(self, x: Any, z: Any) -> Tensor:
        """(B,) what unfinished latents settle of log p(x, z); all of it at finished ones.

        Forward-looking objectives read it.

        Raises:
            IncompatibleError: If it is not defined.
        """
        raise IncompatibleError(
            f"{type(self).__name__} is defined on finished latents only. Define "
            f"`partial_log_prob(x, z)`, or use an objective that reads no energies (tb, db, subtb)."
        )

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Any, Any]:
        """`count` independent pairs (x, z) from p: rows of data, and finished objects.

        The sleep phase learns from them.

        Raises:
            IncompatibleError: If it is not defined.
        """
        raise IncompatibleError(
            f"{type(self).__name__} cannot be sampled from, which the sleep phase does. Define "
            f"`sample(count, generator)`, which returns (x, z)."
        )

    @property
    def has_partial(self) -> bool:
        """Whether `partial_log_prob` is defined."""
        return type(self).partial_log_prob is not LatentModel.partial_log_prob

    @property
    def has_samples(self) -> bool:
        """Whether `sample` is defined."""
        return type(self).sample is not LatentModel.sample

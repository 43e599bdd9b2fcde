"""Reference processes that are known in closed form once their end is given."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


class Bridge(ABC, Generic[S]):
    r"""A process :math:`dX = \sigma\, dW` from a point, which a policy steers by a drift.

    .. math:: dX = u(X, t)\, dt + \sigma\, dW, \qquad 0 \le t \le 1

    The steered process that ends in the target with the least drift is the reference process given
    that it does so. Two things are known of it: X_t given X_1, which no longer depends on the
    drift, and what the drift must be on average.

    Attributes:
        sigma: Standard deviation of the reference process over unit time.
    """

    sigma: float

    @abstractmethod
    def at(self, objects: S, time: Tensor, generator: torch.Generator | None = None) -> Any:
        """X_t given X_1, one sample for each row, in a form that `Environment.encode` takes.

        Args:
            objects: N finished objects, X_1.
            time: (N,) times in [0, 1).
            generator: Source of randomness.
        """

    @abstractmethod
    def pull(
        self, objects: S, condition: Tensor | None = None, clip: float | None = None
    ) -> Tensor:
        r"""(N, d) the drift that each object asks for, without gradient.

        .. math:: \sigma^2 \bigl(\nabla \log R(X_1) - \nabla \log p(X_1)\bigr)

        with p the density of the reference process at its end. Its mean given X_t is the optimal
        drift, if X_1 is a sample of the target.

        Args:
            objects: N finished objects.
            condition: (N, C) or None.
            clip: Largest norm of the gradient of log R; None for no limit.
        """

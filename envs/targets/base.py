"""What a sampler on R^d is asked to sample from: a density known up to its normaliser."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from gflow.errors import ConfigError, IncompatibleError, ShapeError


class Target(ABC):
    r"""An unnormalised density :math:`R(x) = e^{\text{log\_density}(x)}` on R^d.

    A subclass sets the attributes and defines `log_density`. It keeps its constants as float64
    tensors on the CPU and reads them through `constant`, so that the answer has the precision and
    the device of the question. It redefines `score` where a formula beats autograd, and `sample`
    (with ``has_samples = True``) where exact samples can be had.

    Shapes: d = `dim`, C = `condition_dim`, M modes; ... any batch.

    Attributes:
        dim: d.
        log_z: log of the integral of R, or None if it is not known.
        modes: (M, d) float64 centres of the modes, or None.
        mode_radius: A point this close to a mode counts as in it: three standard deviations.
        has_samples: `sample` gives exact, independent samples.
        condition_dim: C, width of the condition that the density reads, 0 for none.

    Example:
        >>> import math
        >>> class Laplace(Target):
        ...     dim, log_z = 1, math.log(2)
        ...     def log_density(self, x, condition=None):
        ...         return -self.checked(x).abs().sum(-1)
        >>> Laplace().score(torch.tensor([[2.0], [-1.0]])).tolist()
        [[-1.0], [1.0]]
    """

    dim: int
    log_z: float | None = None
    modes: Tensor | None = None
    mode_radius: float | None = None
    has_samples: bool = False
    condition_dim: int = 0

    @abstractmethod
    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log R, in the precision of the points.

        Args:
            x: (..., d) points.
            condition: (..., C), for conditional targets only; it broadcasts against the points.
        """

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) gradient of log R with respect to the points, detached; here by autograd."""
        with torch.inference_mode(False), torch.enable_grad():
            point = x.detach().clone().requires_grad_()
            total = self.log_density(point, condition).sum()
            return torch.autograd.grad(total, point)[0]

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """(count, d) independent exact samples; independent, so in no order.

        Args:
            count: How many.
            generator: Source of randomness; sampling happens on its device.
            dtype: Of the result, by default torch's default.
            device: Of the result, by default that of the generator, or the CPU.

        Raises:
            IncompatibleError: If this target cannot be sampled exactly.
        """
        if not self.has_samples:
            raise IncompatibleError(
                f"{self!r} has no exact samples. Use `gflow.mcmc.tempered_smc`, or a target with "
                f"`has_samples`."
            )
        if count < 0:
            raise ConfigError(f"{self!r}: `count` must not be negative, got {count}.")
        home = torch.device("cpu") if generator is None else generator.device
        if generator is None and device is not None:
            home = torch.device(device)
        like = torch.empty(0, dtype=torch.float64, device=home)
        with torch.no_grad():
            drawn = self._sample(count, generator, like)
        return drawn.to(dtype=dtype or torch.get_default_dtype(), device=device or home)

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        """(count, d) samples of the dtype and device of `like`."""
        raise NotImplementedError(f"{type(self).__name__} says `has_samples` but samples none.")

    def constant(self, name: str, like: Tensor) -> Tensor:
        """The tensor attribute of that name in the dtype and on the device of `like`; kept."""
        copies: dict[tuple[str, torch.dtype, torch.device], Tensor]
        copies = self.__dict__.setdefault("_copies", {})
        key = (name, like.dtype, like.device)
        if key not in copies:
            copies[key] = getattr(self, name).to(dtype=like.dtype, device=like.device)
        return copies[key]

    def checked(self, x: Tensor) -> Tensor:
        """`x` itself, if it is a batch of floating-point points of this space.

        Raises:
            ShapeError: If it is not.
        """
        if x.ndim == 0 or x.shape[-1] != self.dim or not x.is_floating_point():
            raise ShapeError(
                f"{self!r}: points must be float of shape (..., {self.dim}), got "
                f"{x.dtype} {tuple(x.shape)}."
            )
        return x

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim})"

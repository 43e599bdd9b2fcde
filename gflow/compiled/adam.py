"""One step of Adam in plain operations, which a graph can hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AdamGroup:
    """Settings of parameters that share them.

    Attributes:
        rate: () learning rate over the bias of the running mean; see `corrections`.
        scale: () one over the root of the bias of the running mean of squares.
        weight_decay: Added to the gradient, times the parameter.
        betas: Of the running means of the gradient and its square.
        eps: Added to the root of the latter.
    """

    rate: Tensor
    scale: Tensor
    weight_decay: float
    betas: tuple[float, float]
    eps: float


def adam_(
    group: AdamGroup,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    keep: Tensor,
) -> None:
    """Change parameters and their running means in place, as `torch.optim.Adam` does.

    Args:
        group: Settings.
        parameters: Of any shapes.
        gradients: Of the same shapes.
        means: Running means of the gradients.
        squares: Running means of their squares.
        keep: () bool: leave everything as it is.

    Reference:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2014,
        https://arxiv.org/abs/1412.6980
    """
    one, two = group.betas
    for value, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
        if group.weight_decay:
            gradient = gradient + group.weight_decay * value
        new_mean = mean + (1 - one) * (gradient - mean)
        new_square = two * square + (1 - two) * gradient * gradient
        size = group.rate.to(value.dtype) * new_mean
        new = value - size / (new_square.sqrt() * group.scale.to(value.dtype) + group.eps)
        value.copy_(torch.where(keep, value, new))
        mean.copy_(torch.where(keep, mean, new_mean))
        square.copy_(torch.where(keep, square, new_square))


def corrections(rate: float, betas: tuple[float, float], step: int) -> tuple[float, float]:
    """`rate` and `scale` of a group at a step, from 1.

    They are worked out by the host: in a graph they would be, again and again, for every parameter.
    """
    return rate / (1 - betas[0] ** step), (1 - betas[1] ** step) ** -0.5


def clipped(gradients: Sequence[Tensor], most: float) -> list[Tensor]:
    """The gradients scaled to a common norm of at most `most`, as `clip_grad_norm_` does."""
    norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
    total = torch.linalg.vector_norm(torch.stack(norms))
    factor = (most / (total + 1e-6)).clamp(max=1.0)
    return [gradient * factor for gradient in gradients]

"""Checks for public boundaries: shapes, and numbers."""

from typing import Annotated

from torch import Tensor

from gflow.bounds import ANY, Bounds, complaint
from gflow.errors import ConfigError, ShapeError


def check_shapes(where: str, **named: tuple[Tensor, str]) -> dict[str, int]:
    """Compare tensors with shapes such as ``"B T"`` and return the size of each letter.

    A letter must have one size throughout the call; a number must match exactly.

    Example:
        >>> import torch
        >>> check_shapes("demo", log_pf=(torch.zeros(4, 3), "B T"), log_r=(torch.zeros(4), "B"))
        {'B': 4, 'T': 3}

    Raises:
        ShapeError: Naming the caller, the argument, the shape wanted and the shape got.
    """
    sizes: dict[str, int] = {}
    for name, (tensor, spec) in named.items():
        axes = spec.split()
        wanted = ", ".join(axes)
        got = tuple(tensor.shape)
        if len(axes) != len(got):
            raise ShapeError(f"{where}: `{name}` must have shape ({wanted}), got {got}.")
        for axis, size in zip(axes, got, strict=True):
            expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != expected:
                known = ", ".join(f"{letter}={n}" for letter, n in sizes.items())
                raise ShapeError(
                    f"{where}: `{name}` must have shape ({wanted}) with {known}, got {got}."
                )
    return sizes


def check_finite(where: str, **named: float) -> None:
    """Refuse numbers that are NaN, infinite or larger than any sensible one.

    Example:
        >>> check_finite("TrajectoryBalance", log_z=0.5)

    Raises:
        ConfigError: Naming the caller, the argument and what came.
    """
    check_range(where, ANY, **named)


def check_range(where: str, bounds: Bounds, **named: float) -> None:
    """Refuse numbers outside of bounds.

    Example:
        >>> check_range("Corners", Bounds(0), r0=0.1, r1=0.5)

    Raises:
        ConfigError: Naming the caller, the argument, the bounds and what came.
    """
    for name, value in named.items():
        reason = complaint(value, Annotated[float, bounds])
        if reason is not None:
            raise ConfigError(f"{where}: {name} {reason}.")

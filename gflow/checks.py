"""Checks for public boundaries: shapes, and numbers."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

from torch import Tensor

from gflow.bounds import ANY, Bounds, complaint
from gflow.errors import ConfigError, ShapeError

P = ParamSpec("P")
R = TypeVar("R")


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


def check_numbers(
    where: str, /, neg_inf: bool = False, pos_inf: bool = False, **named: Tensor
) -> None:
    """Refuse tensors that hold NaN or infinities: what is computed from them would be silent noise.

    Args:
        where: Who complains.
        neg_inf: Whether -inf may be among the numbers.
        pos_inf: Whether inf may.
        named: Tensors of any shape, rows first.

    Example:
        >>> import torch
        >>> check_numbers("demo", neg_inf=True, scores=torch.tensor([1.0, -torch.inf]))

    Raises:
        ConfigError: Naming the caller, the argument, the first bad row and how to go on.
    """
    for name, tensor in named.items():
        bad = tensor.isnan()
        if not neg_inf:
            bad |= tensor.isneginf()
        if not pos_inf:
            bad |= tensor.isposinf()
        if not bool(bad.any()):
            continue
        allowed = "finite" + " or -inf" * neg_inf + " or inf" * pos_inf
        if tensor.dim() == 0:
            raise ConfigError(f"{where}: `{name}` must be {allowed}, got {tensor.item()}.")
        rows = bad.reshape(len(bad), -1).any(1).nonzero().squeeze(1)
        row = int(rows[0])
        value = tensor[row].reshape(-1)[bad[row].reshape(-1)][0].item()
        count = f"{len(rows)} of {len(bad)} rows are bad"
        raise ConfigError(
            f"{where}: `{name}` holds {value} in row {row} ({count}), and every number must be "
            f"{allowed}. Leave those rows out, or compute them anew."
        )


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse numbers, texts and choices that the annotations of a function do not allow.

    ``lam: Positive`` and ``base: Literal["subtb", "db"]`` are then bounds and choices that hold.
    Arguments of other kinds are left to the function.

    Example:
        >>> from gflow.bounds import Positive
        >>> @checked
        ... def half(length: Positive) -> float:
        ...     return length / 2
        >>> half(3.0)
        1.5

    Raises:
        ConfigError: Naming the function, or the class that is built, the argument, what is allowed
            and what came.
    """
    signature = inspect.signature(function)
    first = next(iter(signature.parameters), "")
    hints = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.annotation is not parameter.empty
        and not isinstance(parameter.annotation, str)
    }

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            reason = complaint(value, hints[name]) if name in hints else None
            if reason is not None:
                where = function.__name__
                if where == "__init__":
                    where = type(args[0]).__name__
                elif first == "cls":
                    where = getattr(args[0], "__name__", where)
                raise ConfigError(f"{where}: {name} {reason}.")
        return function(*args, **kwargs)

    return wrapper

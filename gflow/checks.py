"""Shape checks for public boundaries."""

from torch import Tensor

from gflow.errors import ShapeError


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

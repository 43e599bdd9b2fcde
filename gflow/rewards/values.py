"""What a reward may return: real numbers, as a tensor or as Python and numpy have them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gflow.errors import RewardError

WANTED = "Return a float tensor with one log-reward per object"


def real(value: Any, who: str, device: torch.device | str | None = None) -> Tensor:
    """`value` as a tensor of floats; a tensor of floats is handed through as it is.

    Whole numbers, lists of numbers, and numpy arrays become tensors of the default dtype. Truth
    values are refused: a log-reward of True would be 1, which hardly anyone means.

    Args:
        value: What a reward returned.
        who: Whose value it is, for the message.
        device: Where to put what is no tensor yet.

    Raises:
        RewardError: If it is anything else, saying what to return.
    """
    if isinstance(value, Tensor) and value.is_floating_point():
        return value
    found = value
    if isinstance(value, list | tuple) and value and all(isinstance(x, Tensor) for x in value):
        found = torch.stack(list(value)) if len({x.shape for x in value}) == 1 else None
    elif isinstance(value, list | tuple | np.ndarray | np.generic | int | float):
        try:
            array = np.asarray(value)
            found = None if array.dtype.kind not in "biuf" else torch.tensor(array, device=device)
        except (ValueError, TypeError, OverflowError):
            found = None
        if _has_truth(value):
            found = torch.tensor(True)
    if not isinstance(found, Tensor) or found.is_complex():
        raise RewardError(f"{who} returned {_shown(value)}. {WANTED}.")
    if found.dtype == torch.bool:
        raise RewardError(
            f"{who} returned truth values ({_shown(value)}). {WANTED}, for example "
            f"torch.where(good, 0.0, -10.0)."
        )
    return found.to(torch.get_default_dtype())


def numbers(values: Sequence[Any], objects: Sequence[Any], who: str) -> list[float]:
    """One float per object, of what a function of a list of objects returned.

    Raises:
        RewardError: If there are more or fewer, or something that is no real number.
    """
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise RewardError(f"{who} returned {_shown(values)}. Return a list of floats, one each.")
    if len(values) != len(objects):
        raise RewardError(
            f"{who} returned {len(values)} values for {len(objects)} objects. Return a list of "
            f"floats, one for each object, in their order."
        )
    out = []
    for thing, value in zip(objects, values, strict=True):
        number = value
        if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
            number = value.item()
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise RewardError(
                f"{who} returned {_shown(value)} for the object {thing!r}. Return a float for "
                f"each object: its log-reward."
            )
        out.append(float(number))
    return out


def _has_truth(value: Any) -> bool:
    """Whether a list holds truth values, alone or among numbers that would swallow them."""
    if isinstance(value, list | tuple):
        return any(_has_truth(x) for x in value)
    return isinstance(value, bool | np.bool_)


def _shown(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, Tensor | np.ndarray):
        return f"{kind} of {value.dtype} with shape {tuple(value.shape)}"
    text = repr(value)
    return f"{kind} {text if len(text) <= 60 else text[:57] + '...'}"

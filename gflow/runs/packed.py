"""Nested states as tensors by name and a document that says where each stands."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gflow.errors import CheckpointError

MARKS = ("tensor", "tuple", "pairs", "number")
"""Keys, each alone in its object, by which the document names what JSON has no word for."""


def pack(value: Any, tensors: dict[str, Tensor], name: str = "state") -> Any:
    """A document of a nested state; its tensors are put into `tensors`.

    Args:
        value: Dicts, lists and tuples of tensors, numbers and text.
        tensors: Gets each tensor, on the CPU and with memory of its own, by a dotted name.
        name: What names begin with.

    Raises:
        CheckpointError: Something else is in it.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        named = [(str(key), pack(inner, tensors, f"{name}.{key}")) for key, inner in value.items()]
        if all(isinstance(key, str) for key in value) and not _marked(dict(named)):
            return dict(named)
        keys = [pack(key, tensors, name) for key in value]
        return {"pairs": [[k, packed] for k, (_, packed) in zip(keys, named, strict=True)]}
    if isinstance(value, list | tuple):
        items = [pack(inner, tensors, f"{name}.{i}") for i, inner in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, float) and value - value != 0:  # infinite or NaN
        return {"number": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CheckpointError(
        f"{name} is a {type(value).__name__}, and a folder holds tensors, numbers and text alone. "
        f"Let `state_dict` of what it belongs to say it by these."
    )


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`.

    Raises:
        CheckpointError: The document names a tensor that there is not.
    """
    if isinstance(packed, list):
        return [unpack(inner, tensors) for inner in packed]
    if not isinstance(packed, dict):
        return packed
    if not _marked(packed):
        return {key: unpack(inner, tensors) for key, inner in packed.items()}
    ((mark, inner),) = packed.items()
    if mark == "tuple":
        return tuple(unpack(item, tensors) for item in inner)
    if mark == "pairs":
        return {unpack(key, tensors): unpack(item, tensors) for key, item in inner}
    if mark == "number":
        return float(inner)
    if inner not in tensors:
        raise CheckpointError(f"The document names a tensor {inner!r}, and the weights have none.")
    return tensors[inner]


def _marked(packed: dict[str, Any]) -> bool:
    return len(packed) == 1 and next(iter(packed)) in MARKS

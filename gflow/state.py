"""States are tensors, or frozen dataclasses of tensors, with the batch first.

Environments with one tensor per state use it as it is. Others declare

    @dataclass(frozen=True)
    class MoleculeState:
        fragment: Tensor  # (B, N)
        parent: Tensor    # (B, N)

and the functions below index, join and compare either kind, field by field.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


def tensors(states: Any, where: str = "") -> list[Tensor]:
    """The tensors that a batch of states is made of, in the order of its fields.

    Raises:
        TypeError: With the name of the field that is neither a tensor nor a dataclass of them.
    """
    if isinstance(states, Tensor):
        return [states]
    if not dataclasses.is_dataclass(states) or isinstance(states, type):
        raise TypeError(_no_tensor(states, where))
    return [
        part
        for field in dataclasses.fields(states)
        for part in tensors(getattr(states, field.name), f"{where}.{field.name}")
    ]


def _no_tensor(value: Any, where: str) -> str:
    what = "None" if value is None else f"a {type(value).__name__}"
    if not where:
        return f"States are a tensor or a frozen dataclass of tensors, the batch first, not {what}."
    advice = (
        "Give it a value that means absent, such as -1, and keep the tensor"
        if value is None
        else "Write it as numbers, one row for each state"
    )
    return (
        f"The field `{where.removeprefix('.')}` of the states is {what}, and every field is a "
        f"tensor with the batch first. {advice}; what is the same for all states belongs to the "
        f"environment."
    )


def describe(states: Any) -> list[str]:
    """One line for each state: its numbers, field by field."""
    if isinstance(states, Tensor):
        return [str(row) for row in states.tolist()]
    name = type(states).__name__
    columns = [
        [f"{field.name}={line}" for line in describe(getattr(states, field.name))]
        for field in dataclasses.fields(states)
    ]
    return [f"{name}({', '.join(row)})" for row in zip(*columns, strict=True)]


def shorten(text: str, width: int = 96) -> str:
    """`text` on one line of at most `width` characters, the middle left out."""
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    head = (2 * width) // 3
    return f"{text[:head]} ... {text[len(text) - (width - head - 5) :]}"


def tree_map(function: Callable[..., Tensor], first: S, *others: S) -> S:
    """Apply `function` to every tensor of a state, or to the matching tensors of several."""
    if isinstance(first, Tensor):
        return function(first, *others)  # type: ignore[return-value]
    fields = [field.name for field in dataclasses.fields(first)]  # type: ignore[arg-type]
    return type(first)(
        **{
            name: tree_map(function, getattr(first, name), *(getattr(o, name) for o in others))
            for name in fields
        }
    )


def batch_size(states: Any) -> int:
    """Number of states in the batch."""
    return tensors(states)[0].shape[0]


def device_of(states: Any) -> torch.device:
    """The device that holds the states."""
    return tensors(states)[0].device


def take(states: S, index: Tensor) -> S:
    """Rows `index` (int64 or bool) of every field."""
    return tree_map(lambda t: t[index], states)


def as_tuples(rows: Tensor) -> list[Any]:
    """Rows of a (B, ...) tensor as nested tuples of numbers."""

    def tupled(value: Any) -> Any:
        return tuple(tupled(v) for v in value) if isinstance(value, list) else value

    return [tupled(row) for row in rows.tolist()]


def cat(batches: Sequence[S]) -> S:
    """Batches joined one after the other."""
    if len(batches) == 1:
        return batches[0]
    if isinstance(batches[0], Tensor):
        return torch.cat(batches)  # type: ignore[return-value, arg-type]
    return tree_map(lambda *parts: torch.cat(parts), *batches)


def where(condition: Tensor, yes: S, no: S) -> S:
    """Row by row: `yes` where `condition` (B,) holds, else `no`."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(condition.view(-1, *[1] * (a.dim() - 1)), a, b)

    return tree_map(choose, yes, no)


def clone(states: S) -> S:
    """A copy that shares no memory."""
    return tree_map(Tensor.clone, states)


def to_device(states: S, device: torch.device | str) -> S:
    """The same states on another device."""
    return tree_map(lambda t: t.to(device), states)


def equal_rows(a: S, b: S) -> Tensor:
    """(B,) bool: rows in which every field agrees exactly."""
    same = [
        (x == y).flatten(1).all(1) if x.dim() > 1 else x == y
        for x, y in zip(tensors(a), tensors(b), strict=True)
    ]
    return torch.stack(same).all(0)

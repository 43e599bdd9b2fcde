"""Flow terms of several processes as one table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from gflow.terms import FlowTerms

HOLDS = ("complete", "from_source")
"""Fields of which None means that they hold for all trajectories."""


@dataclass(frozen=True)
class Outline:
    """What the terms of a process look like.

    Attributes:
        kind: Their class.
        tensors: Type and shape of each tensor, by field.
        plain: All else that is not None.
    """

    kind: type[FlowTerms]
    tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]]
    plain: dict[str, Any]

    @classmethod
    def of(cls, terms: FlowTerms) -> "Outline":
        """The outline of terms."""
        held = {field.name: getattr(terms, field.name) for field in fields(terms)}
        tensors = {k: (v.dtype, tuple(v.shape)) for k, v in held.items() if isinstance(v, Tensor)}
        plain = {k: v for k, v in held.items() if v is not None and k not in tensors}
        return cls(type(terms), tensors, plain)


class Layout:
    """Where each tensor of each process lies once all have been padded to one width.

    Processes whose longest trajectories differ have tables of different widths; nothing is read
    behind the end of a trajectory.

    Args:
        outlines: One for each process; None where it has no trajectories.
    """

    def __init__(self, outlines: Sequence[Outline | None]) -> None:
        known = [outline for outline in outlines if outline is not None]
        self.kind, self.plain = known[0].kind, dict(known[0].plain)
        self.counts = [0 if o is None else o.tensors["length"][1][0] for o in outlines]
        self.fields: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
        for name in sorted({name for outline in known for name in outline.tensors}):
            found = [o.tensors[name] for o in known if name in o.tensors]
            shape = tuple(max(sizes) for sizes in zip(*(s[1:] for _, s in found), strict=True))
            self.fields[name] = (found[0][0], shape)

    def padded(self, name: str, value: Tensor | None, rank: int, on: torch.device) -> Tensor:
        """(B_r, ...) the tensor of a process as all have it."""
        dtype, shape = self.fields[name]
        full = (self.counts[rank], *shape)
        if value is None:  # the others' trajectories are cut, or chance's
            return torch.full(full, float(name in HOLDS), device=on).to(dtype)
        pads = [p for have, want in zip(value.shape[:0:-1], shape[::-1], strict=True)
                for p in (0, want - have)]  # fmt: skip
        return torch.nn.functional.pad(value.to(dtype), pads) if any(pads) else value.to(dtype)

    def size(self, name: str, rank: int) -> int:
        """Bytes of a tensor of a process; a multiple of eight."""
        dtype, shape = self.fields[name]
        count = self.counts[rank] * torch.Size(shape).numel()
        return -(-count * dtype.itemsize // 8) * 8

    def packed(self, held: dict[str, Tensor]) -> Tensor:
        """(n,) uint8 all tensors of a process, one after the other."""
        parts = []
        for value in held.values():
            data = value.detach().contiguous().view(-1).view(torch.uint8)
            parts.append(torch.nn.functional.pad(data, (0, -len(data) % 8)))
        return torch.cat(parts)

    def unpacked(self, data: Sequence[Tensor]) -> dict[str, Tensor]:
        """The tensors of all processes, joined, from what `packed` made of each."""
        found: dict[str, list[Tensor]] = {name: [] for name in self.fields}
        for rank, part in enumerate(data):
            at = 0
            for name, (dtype, shape) in self.fields.items():
                count = self.counts[rank]
                bytes_ = count * torch.Size(shape).numel() * dtype.itemsize
                found[name].append(part[at : at + bytes_].view(dtype).view(count, *shape))
                at += self.size(name, rank)
        return {name: torch.cat(parts) for name, parts in found.items()}


class _Own(torch.autograd.Function):
    """Joined rows, with gradients into one process's own, times the number of processes.

    The gradients are meaned over the processes afterwards. So what the loss owes to rows counts
    once, and so does what it owes to parameters that all processes read alike, such as log Z.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, joined: Tensor, start: int, size: int) -> Tensor:
        ctx.rows, ctx.size = slice(start, start + len(own)), size
        return joined

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient[0][ctx.rows] * ctx.size, None, None, None


def join_terms(
    terms: FlowTerms | None,
    outlines: Sequence[Outline | None],
    rank: int,
    exchange: Callable[[Tensor, list[int]], list[Tensor]],
    device: torch.device,
) -> tuple[FlowTerms, int]:
    """The terms of all processes, and the place of this process's first trajectory.

    Args:
        terms: This process's own.
        outlines: Those of all.
        rank: Number of this process.
        exchange: Sends this process's bytes to all, given how many each sends; returns all.
        device: Where the terms are.
    """
    layout, size = Layout(outlines), len(outlines)
    own: dict[str, Tensor] = {}
    for name in layout.fields:
        value = None if terms is None else getattr(terms, name)
        own[name] = layout.padded(name, value, rank, device)
    sizes = [sum(layout.size(name, r) for name in layout.fields) for r in range(size)]
    joined = layout.unpacked(exchange(layout.packed(own), sizes))
    start = sum(layout.counts[:rank])
    for name, value in own.items():
        if value.requires_grad:
            joined[name] = _Own.apply(value, joined[name], start, size)
    held: dict[str, Any] = {**layout.plain, **joined}
    return layout.kind(**held), start

"""Layers whose outputs a rollout computed already: evaluation takes those, with gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

COLUMNS = 64
"""Sums of more rows than this are left to the operation made for it."""

ROWS = 24
"""With so many rows of a table for each that is added, its gradient as a product costs as much as
sorting and adding, as measured on a CPU."""


class _Known(torch.autograd.Function):
    """A linear layer whose output is there: nothing forward, as ever backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, known: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return known.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        bias = gradient.sum(0) if ctx.biased else None
        return gradient @ weight, gradient.T @ x, bias, None


class _Rows(torch.autograd.Function):
    """Sums of rows of a table; the gradient of the table is a product of matrices."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        ctx.rows = len(table)
        return _added(features, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (features,) = ctx.saved_tensors
        every = torch.arange(ctx.rows, device=features.device)
        named = [column[:, None] == every for column in features.unbind(1)]
        counts = sum(part.to(gradient.dtype) for part in named[1:]) + named[0].to(gradient.dtype)
        return None, counts.T @ gradient


def _added(features: Tensor, table: Tensor) -> Tensor:
    """(N, width) sums of the rows that (N, K) features name, one after the other.

    Compilers merge this with what is around it, and go along the rows.
    """
    parts = [F.embedding(column, table) for column in features.unbind(1)]
    return sum(parts[1:], start=parts[0])


class Layers(TorchFunctionMode):
    """Notes what linear layers said without gradient, and says it again when that is asked for.

    A static rollout shows a policy B states at each time, and evaluation all of them again, in the
    same order, with those of the last time behind. A layer whose weights did not change between
    has nothing new to say of the former. Layers are known by their weights; which of them see rows
    one by one, so that this holds, was found out by a `Probe`.

    Args:
        rows: For each layer by the name of its weight, how many of its rows are known beforehand.
        name_of: The name of a weight, or None if it is no parameter.
    """

    def __init__(self, rows: Mapping[str, int], name_of: Callable[[Tensor], str | None]) -> None:
        super().__init__()
        self.rows, self.name_of = rows, name_of
        self.said: dict[str, list[Tensor]] = {name: [] for name in rows}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.linear:
            return self.linear(*args, **kwargs)
        if func is F.embedding_bag and len(args) == 2 and _plain_sum(kwargs):
            return self.embedding(*args)
        return func(*args, **kwargs)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the layer says of (N, I) rows."""
        name = self.name_of(weight)
        if name is None or name not in self.rows:
            return F.linear(x, weight, bias)
        count = self.rows[name]
        if not torch.is_grad_enabled():
            found = F.linear(x, weight, bias)
            self.said[name].append(found.clone())  # activations may be applied in place
            return found
        known = torch.cat([*self.said[name], F.linear(x[count:], weight, bias).detach()])
        out: Tensor = _Known.apply(x, weight, bias, known)
        return out

    def embedding(self, features: Tensor, table: Tensor) -> Tensor:
        """The sum of the rows of a table that (N, K) features name.

        With gradient of a long table it is the operation made for it, which compilers call as it
        is: the gradient as a product would be the more work the longer the table.
        """
        count = features.shape[1]
        if not 0 < count <= COLUMNS or (torch.is_grad_enabled() and len(table) > ROWS * count):
            return F.embedding_bag(features, table, mode="sum")
        if not torch.is_grad_enabled():
            return _added(features, table)
        out: Tensor = _Rows.apply(features, table)
        return out


def _plain_sum(settings: Mapping[str, Any]) -> bool:
    """Whether embeddings are added up and nothing else is asked for."""
    usual = {"mode": "mean", "norm_type": 2.0}
    asked = {n: v for n, v in settings.items() if v not in (None, False) and v != usual.get(n)}
    return asked == {"mode": "sum"}


class Probe(Layers):
    """Finds out which layers can be replayed, while a step is run in earnest.

    Attributes:
        found: What `Layers` takes: layers that were shown with gradient, once, first what they had
            been shown without, row by row in that order.
    """

    def __init__(self, name_of: Callable[[Tensor], str | None]) -> None:
        super().__init__({}, name_of)
        self.shown: dict[str, list[Tensor]] = {}
        self.found: dict[str, int] = {}
        self.seen: set[str] = set()

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the layer says; what it was shown is noted."""
        name = self.name_of(weight)
        if name is not None and x.dim() == 2:
            if not torch.is_grad_enabled():
                self.shown.setdefault(name, []).append(x.detach().clone())
            else:
                self._compare(name, x)
        return F.linear(x, weight, bias)

    def _compare(self, name: str, x: Tensor) -> None:
        if name in self.seen:
            self.found.pop(name, None)
        self.seen.add(name)
        before = torch.cat(self.shown[name]) if name in self.shown else x[:0]
        count = len(before)
        close = 0 < count <= len(x) and before.shape[1:] == x.shape[1:]
        if close and torch.allclose(before, x.detach()[:count], atol=1e-4, rtol=1e-4):
            self.found[name] = count

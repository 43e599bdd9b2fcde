"""Layers of K networks at once: batched products in place of what `vmap` would make of them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class StackedLayers(TorchFunctionMode):
    """Within it, linear layers and sums of embeddings are one product each under `vmap`.

    `vmap` knows no rule for sums of embeddings, and makes a product and an addition of every linear
    layer, with gradients of the addition apart from those of the product.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace the two; let all else pass."""
        given = kwargs or {}
        if func is F.linear:
            return _linear(*args, **given)
        if func is F.embedding_bag and given.get("mode") == "sum" and len(args) == 2:
            return _Bag.apply(*args)
        return func(*args, **given)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    found: Tensor = _Linear.apply(x, weight) if bias is None else _Biased.apply(x, weight, bias)
    return found


class _Layer(torch.autograd.Function):
    """A function that exists under `vmap` alone: what it does is in its rule."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        """Without `vmap`: the plain function, never differentiated."""
        if len(args) == 2 and not args[0].is_floating_point():
            return F.embedding_bag(*args, mode="sum")
        return F.linear(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing is kept: the rule is differentiated by itself."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Not reached: `vmap` lays rules open to differentiation."""
        raise NotImplementedError("stacked layers are differentiated under vmap alone")


class _Linear(_Layer):
    """x W'."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor) -> tuple[Tensor, int]:
        """(K, ..., out) for (K, ..., in) and (K, out, in)."""
        x, weight = (
            _first(v, d, info.batch_size) for v, d in zip((x, weight), in_dims, strict=True)
        )
        out = torch.bmm(x.flatten(1, -2) if x.dim() > 2 else x[:, None], weight.mT)
        return out.view(*x.shape[:-1], -1), 0


class _Biased(_Layer):
    """x W' + b."""

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, x: Tensor, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, int]:
        """(K, ..., out) for (K, ..., in), (K, out, in) and (K, out)."""
        x, weight, bias = (
            _first(v, d, info.batch_size) for v, d in zip((x, weight, bias), in_dims, strict=True)
        )
        rows = x.flatten(1, -2) if x.dim() > 2 else x[:, None]
        out = torch.baddbmm(bias[:, None], rows, weight.mT)
        return out.view(*x.shape[:-1], -1), 0


class _Bag(_Layer):
    """Sums of the rows of a table."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, features: Tensor, table: Tensor) -> tuple[Tensor, int]:
        """(K, M, W) for (K, M, C) numbers of rows of (K, V, W)."""
        count = info.batch_size
        features, table = (
            _first(v, d, count) for v, d in zip((features, table), in_dims, strict=True)
        )
        rows = table.shape[1]
        first = rows * torch.arange(count, device=features.device)
        numbers = (features + first[:, None, None]).flatten(0, 1)
        out = F.embedding_bag(numbers, table.flatten(0, 1), mode="sum")
        return out.view(*features.shape[:2], -1), 0


def _first(value: Tensor, at: int | None, count: int) -> Tensor:
    """With the dimension of the runs in front."""
    return value.expand(count, *value.shape) if at is None else value.movedim(at, 0)

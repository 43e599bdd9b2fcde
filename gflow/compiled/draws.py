"""Random numbers of a step, drawn before it and handed out in order."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

UNIFORM: set[Any] = {torch.rand, torch.rand_like, Tensor.uniform_}
NORMAL: set[Any] = {torch.randn, torch.randn_like, Tensor.normal_}
INTEGER: set[Any] = {torch.randint}


class Draws(TorchFunctionMode):
    """Answers `torch.rand`, `randn`, `randint`, `uniform_` and `normal_` from given numbers.

    A graph of operations holds no generator. So what a step draws within this context comes from
    two vectors that are filled beforehand, whoever asks, in the order in which it is asked.

    Args:
        uniform: (U,) numbers uniform in [0, 1); None to count only, and draw as ever.
        normal: (V,) standard normal numbers, likewise.

    Attributes:
        count: Numbers asked for so far, of either kind.
    """

    def __init__(self, uniform: Tensor | None = None, normal: Tensor | None = None) -> None:
        super().__init__()
        self.given = {"uniform": uniform, "normal": normal}
        self.count = {"uniform": 0, "normal": 0}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in UNIFORM or func in INTEGER:
            return self._answer("uniform", func, args, kwargs)
        if func in NORMAL:
            return self._answer("normal", func, args, kwargs)
        return func(*args, **kwargs)

    def _answer(self, kind: str, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What `func` would return, of the numbers at hand."""
        flat = self.given[kind]
        if flat is None:
            found: Tensor = func(*args, **kwargs)
            self.count[kind] += found.numel()
            return found
        kwargs.pop("generator", None)
        if func in (Tensor.uniform_, Tensor.normal_):
            return self._fill(kind, func, *args, **kwargs)
        if func in INTEGER:
            return self._integers(*args, **kwargs)
        if func in (torch.rand_like, torch.randn_like):
            like = args[0]
            size, dtype = tuple(like.shape), kwargs.get("dtype") or like.dtype
        else:
            size = _size(kwargs.pop("size", args))
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
        return self._next(kind, size).to(dtype)

    def _next(self, kind: str, size: tuple[int, ...]) -> Tensor:
        """The next numbers of a kind, in a shape."""
        flat, first = self.given[kind], self.count[kind]
        assert flat is not None
        self.count[kind] = first + math.prod(size)
        return flat[first : self.count[kind]].view(size)

    def _fill(
        self, kind: str, func: Any, tensor: Tensor, first: float = 0.0, second: float = 1.0
    ) -> Tensor:
        """`uniform_(low, high)` or `normal_(mean, std)`."""
        unit = self._next(kind, tuple(tensor.shape))
        scale = second - first if func is Tensor.uniform_ else second
        if (first, scale) != (0.0, 1.0):
            unit = unit * scale + first
        return tensor.copy_(unit)

    def _integers(self, *args: Any, **kwargs: Any) -> Tensor:
        """`randint(high, size)` or `randint(low, high, size)`."""
        given = list(args)
        size = _size(kwargs["size"] if "size" in kwargs else given.pop())
        high = kwargs["high"] if "high" in kwargs else given.pop()
        low = kwargs["low"] if "low" in kwargs else (given.pop() if given else 0)
        found = (self._next("uniform", size).double() * (high - low)).long() + low
        integers: Tensor = found.clamp(max=high - 1).to(kwargs.get("dtype") or torch.int64)
        return integers


def _size(given: Any) -> tuple[int, ...]:
    """A size that was given as one sequence or as several numbers."""
    if len(given) == 1 and not isinstance(given[0], int):
        given = given[0]
    return tuple(given)

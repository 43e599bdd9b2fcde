"""Memory that is used again from one batch to the next."""

import weakref
from typing import Any

from torch import Tensor


class Spare:
    """Large buffers that outlive what fills them, so that the next batch finds them.

    An allocator gives large blocks back to the system, which clears them page by page when they
    are wanted again: for a rollout that keeps its layers that is a third of its time. What borrows
    buffers keeps them until it is collected itself; nothing else may keep them. Copies and
    pickles of a `Spare` are empty.
    """

    def __init__(self) -> None:
        self.free: list[tuple[Tensor, ...]] = []

    def borrow(self, owner: object, like: Tensor, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Uninitialised tensors of the given shapes, of the type of `like`, while `owner` lives.

        One set is kept at most: another one that comes back takes its place.
        """
        found = self.free.pop() if self.free else ()
        fits = len(found) == len(shapes) and all(
            part.shape == shape and part.dtype == like.dtype and part.device == like.device
            for part, shape in zip(found, shapes, strict=True)
        )
        if not fits:
            found = tuple(like.new_empty(shape) for shape in shapes)
        weakref.finalize(owner, self._back, found)
        return found

    def _back(self, buffers: tuple[Tensor, ...]) -> None:
        self.free = [buffers]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Spare":
        return Spare()

    def __reduce__(self) -> tuple[Any, ...]:
        return Spare, ()

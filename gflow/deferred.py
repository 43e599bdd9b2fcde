"""Conditions that must hold: read by the host at once, or noted on the device and read later."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn

import torch
from torch import Tensor

Complaint = Callable[[], NoReturn]
"""Raises the error that says what is wrong."""

_current: ContextVar["Deferred | None"] = ContextVar("deferred checks", default=None)


def require(ok: Tensor, complain: Complaint, what: str) -> None:
    """Complain unless all of `ok` holds: at once, or at the next read within `Deferred.during`.

    Args:
        ok: Any shape, bool.
        complain: Raises the error.
        what: Short name of what is checked, if only that is known later.
    """
    pending = _current.get()
    if pending is not None:
        pending.note(ok, complain, what)
    elif not bool(ok.all()):
        complain()


def require_finite(number: Tensor, complain: Complaint, what: str) -> None:
    """The same of a () number that must be finite; read at once, it costs the read alone."""
    if _current.get() is not None:
        require(number.isfinite(), complain, what)
    elif not math.isfinite(float(number)):
        complain()


@contextmanager
def at_once() -> Iterator[None]:
    """Read conditions when they are met, even within `Deferred.during` of somebody else."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


class Deferred:
    """Collects conditions of many steps in two numbers on the device.

    What they are about is kept for the latest step alone, so that errors found there are told in
    full; of an earlier failure only the step and the name of the check are known.

    Args:
        device: Where the conditions are.

    Attributes:
        failed: () float32 on the device: 1 once a condition failed, else 0. Optimisers take it as
            `found_inf` and leave the parameters as they are.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = device
        self.names: list[str] = []
        self._latest: list[tuple[Tensor, Complaint]] = []
        self._reset()

    def _reset(self) -> None:
        self.failed = torch.zeros((), dtype=torch.float32, device=self.device)
        self._where = torch.full((), -1, dtype=torch.int64, device=self.device)

    @contextmanager
    def during(self, step: int) -> Iterator[None]:
        """Note the conditions of a step instead of reading them."""
        self.step = step
        self._latest = []
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def note(self, ok: Tensor, complain: Complaint, what: str) -> None:
        """Remember a condition of the step at hand."""
        if what not in self.names:
            self.names.append(what)
        bad = ~ok.all()
        code = self.step * 64 + self.names.index(what)
        self._where = torch.where(bad & (self._where < 0), code, self._where)
        self.failed = torch.maximum(self.failed, bad.to(torch.float32))
        self._latest.append((ok, complain))

    def read(self) -> tuple[int, str] | None:
        """None if all held since the last read; else complain about the latest step.

        Returns:
            Step and name of the first condition that failed, if those of the latest step all held.
        """
        code = int(self._where)
        if code < 0:
            return None
        self._reset()
        for ok, complain in self._latest:
            if not bool(ok.all()):
                complain()
        return code // 64, self.names[code % 64]

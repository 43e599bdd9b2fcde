"""Ctrl-C: the first asks a run to stop after its step, the second stops it at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

STOPPING = b"\nStopping after this step and saving. Once more to stop at once.\n"


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect signals instead of raising in mid-step; a second one raises at once.

    A closed terminal counts as Ctrl-C, unless the run was told not to mind it (`nohup`).

    Yields:
        The numbers of the signals received.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            if number == getattr(signal, "SIGHUP", None):  # the shell and the system both send it
                return
            raise KeyboardInterrupt
        caught.append(number)
        try:
            os.write(2, STOPPING)  # print may be at work
        except OSError:
            pass  # the terminal is gone

    before = {}
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            continue
        try:
            before[number] = signal.signal(number, note)
        except ValueError:  # not in the main thread
            break
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Long runs do not grow."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from gflow.runs.memory import give_back

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc, and give_back does nothing")
def test_holes_below_what_is_in_use_are_given_back() -> None:
    blocks: list[Any] = [ctypes.create_string_buffer(100_000) for _ in range(2000)]
    for block in blocks:
        ctypes.memset(block, 1, len(block))
    kept = blocks[::50]  # nothing can be given back from the end
    full = resident()
    del blocks, block
    held = resident()
    give_back()
    assert full - resident() > 100e6
    assert resident() < held
    assert len(kept) == 40

"""Memory that was freed and not given back."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Give memory that Python and torch have freed back to the system, where that is glibc's.

    Its heap keeps what lies below anything still in use, and tensors whose sizes differ from step
    to step leave ever more such holes: a run that needs 1 GB came to hold 4. It costs a tenth of a
    second.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None

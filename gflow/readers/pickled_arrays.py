"""Arrays and numbers of numpy in pickles, rebuilt from their bytes."""

import math
import re
import struct
from typing import Any

import numpy as np

from gflow.readers.plain_pickle import Built, Known, refuse

Values = np.ndarray[Any, np.dtype[Any]]

NUMBER = re.compile(r"b1|[iu][1248]|f[248]")
"""Types of numbers; texts are read where a table asks for them, from lists of objects."""

LETTERS = dict(zip(("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8").split(), "?bhiqBHIQefd", strict=True))
"""The same for Python's `struct`."""

LIMIT = 1 << 31
"""Elements along an axis."""


class PickledType(Built):
    """What stands for numpy's dtype: a code such as f8, and the order of its bytes."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not (NUMBER.fullmatch(code) or code == "O8"):
            refuse(f"it has an array of type {code[:20] if isinstance(code, str) else '?'}")
        self.code, self.order = code, "="

    def build(self, state: Any) -> None:
        """The order of the bytes; what compound types say further on must be empty."""
        if type(state) is not tuple or len(state) != 8 or state[0] != 3:
            refuse("it has a type of an unknown version")
        order, compound, sizes, flags = state[1], state[2:5], state[5:7], state[7]
        expected = 63 if self.code == "O8" else 0
        if compound != (None, None, None) or sizes != (-1, -1) or flags != expected:
            refuse("it has a compound type")
        if order not in ("<", ">", "|", "="):
            refuse("it has an unknown order of bytes")
        self.order = order

    def values(self, data: Any) -> Values:
        """(N,) the numbers in bytes, copied."""
        if self.code == "O8" or type(data) is not bytes:
            refuse(f"it has an array of type {self.code} made of {type(data).__name__}")
        kind = np.dtype(self.order + self.code)
        if len(data) % kind.itemsize:
            refuse(f"it has {len(data)} bytes for numbers of {kind.itemsize}")
        return np.frombuffer(data, kind).astype(kind.newbyteorder("="))

    def number(self, data: bytes) -> float:
        """One number in bytes; a hundred thousand of them do not need as many arrays."""
        if self.code == "O8" or len(data) != int(self.code[1]):
            refuse(f"it has {len(data)} bytes for a number of type {self.code}")
        order = ">" if self.order == ">" else "<" if self.order == "<" else "="
        found: float = struct.unpack(order + LETTERS[self.code], data)[0]
        return found


class PickledArray(Built):
    """What stands for an array: empty at first, then given its shape, type and bytes.

    Args:
        texts: Whether arrays of objects are read, of texts and numbers only.
    """

    def __init__(self, texts: bool = False) -> None:
        self.texts = texts
        self.values: Values | None = None

    def build(self, state: Any) -> None:
        """The content."""
        if type(state) is not tuple or len(state) != 5 or state[0] != 1:
            refuse("it has an array of an unknown version")
        _, shape, kind, fortran, data = state
        if type(kind) is not PickledType or type(fortran) is not bool:
            refuse("it has an array without a type")
        if kind.code == "O8" and self.texts:
            values = _texts(data)
        else:
            values = kind.values(data)
        self.values = shaped(values, shape, "F" if fortran else "C")


def shaped(values: Values, shape: Any, order: Any) -> Values:
    """Flat values in a shape that has exactly as many places."""
    whole = type(shape) is tuple and all(type(n) is int and 0 <= n < LIMIT for n in shape)
    if not whole or len(shape) > 8 or math.prod(shape) != len(values) or order not in ("C", "F"):
        refuse(f"it gives {len(values)} values a shape that has more or fewer places")
    return values.reshape(shape, order=order)


def content(array: Any) -> Values:
    """The values of an array that was read."""
    if isinstance(array, PickledArray) and array.values is not None:
        return array.values
    if type(array) is np.ndarray:  # made by `from_buffer`
        return array
    refuse(f"it has {type(array).__name__} in place of an array")


def numpy_names(texts: bool = False) -> Known:
    """The names that arrays and numbers of numpy need, of any version of it."""

    def reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
        if kind != "numpy.ndarray" or shape != (0,) or code != b"b":
            refuse("it begins an array otherwise than numpy")
        return PickledArray(texts)

    def from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> Values:
        if type(kind) is not PickledType:
            refuse("it has an array without a type")
        return shaped(kind.values(data), shape, order)

    def scalar(kind: Any, data: Any) -> Any:
        if type(kind) is not PickledType or type(data) is not bytes:
            refuse("it has a number without a type")
        return kind.number(data)

    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): PickledType,
    }
    for home in ("numpy.core", "numpy._core"):
        names[f"{home}.multiarray", "_reconstruct"] = reconstruct
        names[f"{home}.multiarray", "scalar"] = scalar
        names[f"{home}.numeric", "_frombuffer"] = from_buffer
    return names


def _texts(data: Any) -> Values:
    """(N,) texts and numbers of a list of objects."""
    if type(data) is not list:
        refuse(f"it has an array of objects made of {type(data).__name__}")
    for value in data:
        if type(value) not in (str, int, float, bool, type(None)):
            refuse(f"it has {type(value).__name__} in an array")
    values = np.empty(len(data), dtype=object)
    values[:] = data
    return values

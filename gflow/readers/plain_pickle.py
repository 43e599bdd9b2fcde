"""Pickles read as data: a small machine that knows the opcodes of tables and calls nothing else.

Python's own `Unpickler` can be told which names to look up, but not how what they name is used: an
array of numpy that is made or given a state by a crafted file reads memory that is not its own.
Here names stand for functions of ours, which check what they are given, and everything else is a
number, a text, bytes, a tuple, a list or a dict.
"""

import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

Known = Mapping[tuple[str, str], "Callable[..., Any] | None"]
"""By module and name, what to call in its place; None for names that are only passed on."""

LARGEST = 1 << 28
"""Bytes of a pickle that are read; published tables have a hundredth of that."""


class Built:
    """What a name makes that is given a state afterwards."""

    def build(self, state: Any) -> None:
        """Take the state.

        Raises:
            pickle.UnpicklingError: It is none that a table has.
        """
        refuse(f"it sets the state of {type(self).__name__}")


def load_plain(data: bytes, known: Known) -> Any:
    """What a pickle holds.

    Args:
        data: The pickle.
        known: The names that it may use.

    Raises:
        pickle.UnpicklingError: It asks for anything else, is damaged, or larger than `LARGEST`.
    """
    if len(data) > LARGEST:
        refuse(f"it has {len(data)} bytes, more than {LARGEST}")
    try:
        return _Machine(data, known).run()
    except pickle.UnpicklingError:
        raise
    except (LookupError, ValueError, TypeError, OverflowError, struct.error) as e:
        raise pickle.UnpicklingError(f"it is damaged ({type(e).__name__})") from e


def refuse(why: str) -> NoReturn:
    """End the reading of a pickle.

    Raises:
        pickle.UnpicklingError: Always.
    """
    raise pickle.UnpicklingError(f"{why}, which no table needs")


class _Name:
    """A name that the pickle looked up; only `_Machine` can use what stands behind it."""

    __slots__ = ("call", "text")

    def __init__(self, text: str, call: Callable[..., Any] | None) -> None:
        self.text, self.call = text, call

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other == self.text

    __hash__ = None  # type: ignore[assignment]


class _Machine:
    """One reading of one pickle."""

    def __init__(self, data: bytes, known: Known) -> None:
        self.data, self.known, self.place = data, known, 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        data, steps = self.data, _STEPS
        while True:
            opcode = data[self.place]
            self.place += 1
            step = steps.get(opcode)
            if step is None:
                if opcode == _STOP:
                    return self.stack.pop()
                refuse(f"it uses the opcode {_NAMES.get(opcode, opcode)}")
            step(self)

    # ------------------------------------------------------------------ reading

    def byte(self) -> int:
        found = self.data[self.place]
        self.place += 1
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        start = self.place
        self.place = start + size
        if self.place > len(self.data):
            raise ValueError("cut short")
        return self.data[start : self.place]

    def line(self) -> str:
        end = self.data.index(b"\n", self.place)
        start, self.place = self.place, end + 1
        return self.data[start:end].decode()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    # ------------------------------------------------------------------ containers

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        found, self.stack = self.stack, self.marks.pop()
        return found

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("too few")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            refuse(f"it appends to {type(target).__name__}")
        target.extend(values)

    def update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            refuse(f"it sets items of {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int):
                refuse(f"it has {type(key).__name__} as a key")
            target[key] = value

    # ------------------------------------------------------------------ names

    def look_up(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            refuse("it looks up what is no name")
        if (module, name) not in self.known:
            refuse(f"it asks for {module}.{name}")
        self.stack.append(_Name(f"{module}.{name}", self.known[module, name]))

    def global_(self) -> None:
        self.look_up(self.line(), self.line())

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.look_up(module, name)

    def reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack[-1]
        if type(name) is not _Name or name.call is None or type(arguments) is not tuple:
            what = name.text if type(name) is _Name else type(name).__name__
            refuse(f"it calls {what}")
        try:
            self.stack[-1] = name.call(*arguments)
        except TypeError as e:
            raise pickle.UnpicklingError(
                f"it calls {name.text} with other arguments than a table does"
            ) from e

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Built):
            what = target.text if type(target) is _Name else type(target).__name__
            refuse(f"it sets the state of {what}")
        target.build(state)


def _simple() -> dict[bytes, Callable[[_Machine], Any]]:
    """What the opcodes do, by their code."""
    p = pickle
    sized = {
        p.BINUNICODE: (4, True),
        p.BINUNICODE8: (8, True),
        p.BINBYTES: (4, False),
        p.BINBYTES8: (8, False),
        p.BYTEARRAY8: (8, False),
    }
    steps: dict[bytes, Callable[[_Machine], Any]] = {
        p.SHORT_BINUNICODE: lambda m: m.stack.append(m.take(m.byte()).decode()),
        p.SHORT_BINBYTES: lambda m: m.stack.append(m.take(m.byte())),
        p.PROTO: lambda m: m.take(1),
        p.FRAME: lambda m: m.take(8),
        p.MARK: _Machine.mark,
        p.NONE: lambda m: m.push(None),
        p.NEWTRUE: lambda m: m.push(True),
        p.NEWFALSE: lambda m: m.push(False),
        p.BININT: lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
        p.BININT1: lambda m: m.push(m.byte()),
        p.BININT2: lambda m: m.push(m.number(2)),
        p.LONG1: lambda m: m.push(int.from_bytes(m.take(m.byte()), "little", signed=True)),
        p.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        p.EMPTY_TUPLE: lambda m: m.push(()),
        p.EMPTY_LIST: lambda m: m.push([]),
        p.EMPTY_DICT: lambda m: m.push({}),
        p.TUPLE: lambda m: m.push(tuple(m.since_mark())),
        p.TUPLE1: lambda m: m.tuple_of(1),
        p.TUPLE2: lambda m: m.tuple_of(2),
        p.TUPLE3: lambda m: m.tuple_of(3),
        p.APPEND: lambda m: m.extend([m.stack.pop()]),
        p.APPENDS: lambda m: m.extend(m.since_mark()),
        p.SETITEM: lambda m: m.update([m.stack.pop(), m.stack.pop()][::-1]),
        p.SETITEMS: lambda m: m.update(m.since_mark()),
        p.MEMOIZE: lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
        p.BINPUT: lambda m: m.memo.__setitem__(m.byte(), m.stack[-1]),
        p.LONG_BINPUT: lambda m: m.memo.__setitem__(m.number(4), m.stack[-1]),
        p.BINGET: lambda m: m.stack.append(m.memo[m.byte()]),
        p.LONG_BINGET: lambda m: m.push(m.memo[m.number(4)]),
        p.GLOBAL: _Machine.global_,
        p.STACK_GLOBAL: _Machine.stack_global,
        p.REDUCE: _Machine.reduce,
        p.NEWOBJ: _Machine.reduce,
        p.BUILD: _Machine.build,
    }
    for code, (width, text) in sized.items():
        if text:
            steps[code] = lambda m, w=width: m.push(m.take(m.number(w)).decode())  # type: ignore[misc]
        else:
            steps[code] = lambda m, w=width: m.push(m.take(m.number(w)))  # type: ignore[misc]
    return steps


_STEPS = {code[0]: step for code, step in _simple().items()}
_STOP = pickle.STOP[0]
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}

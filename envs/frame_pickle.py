"""Reading pickled data frames without pandas and without running what a pickle may ask for."""

import pickle
from pathlib import Path
from typing import Any

from gflow.readers.pickled_arrays import content, numpy_names
from gflow.readers.plain_pickle import LARGEST, Built, load_plain, refuse


class _Index:
    """Stands for pandas' indexes; holds what one was made of."""

    def __init__(self, content: Any) -> None:
        self.content = content


class _Holder(Built):
    """Stands for a frame or its block manager; keeps the state it is given."""

    state: Any = None

    def build(self, state: Any) -> None:
        """Keep it."""
        self.state = state


def _slice(*numbers: Any) -> slice:
    if not 1 <= len(numbers) <= 3 or any(type(n) not in (int, type(None)) for n in numbers):
        refuse("it has a slice of something else than numbers")
    return slice(*numbers)


_NAMES = {
    ("pandas.core.frame", "DataFrame"): _Holder,
    ("pandas.core.internals.managers", "BlockManager"): _Holder,
    ("pandas.core.indexes.base", "_new_Index"): lambda kind, content: _Index(content),
    ("pandas.core.indexes.base", "Index"): None,
    ("pandas.core.indexes.range", "RangeIndex"): None,
    ("builtins", "slice"): _slice,
    **numpy_names(texts=True),
}


def read_frame(path: str | Path) -> dict[str, list[Any]]:
    """Columns of a pickled pandas data frame by name, as plain Python lists.

    The frame and its arrays are rebuilt from their bytes; nothing that the file names is called.

    Args:
        path: The file, written by any pandas that stores "0.14.1" block managers.

    Raises:
        pickle.UnpicklingError: The pickle asks for anything else, or is no frame.
    """
    with Path(path).open("rb") as file:
        frame = load_plain(file.read(LARGEST + 1), _NAMES)
    try:
        return _columns(frame)
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise pickle.UnpicklingError("it holds no data frame") from e


def _columns(frame: Any) -> dict[str, list[Any]]:
    manager = frame.state.get("_mgr", frame.state.get("_data"))
    parts = manager.state[3]["0.14.1"]
    names = content(parts["axes"][0].content["data"]).tolist()
    columns: dict[str, list[Any]] = {}
    for block in parts["blocks"]:
        places, values = block["mgr_locs"], content(block["values"])
        rows = range(len(names))[places] if type(places) is slice else content(places).tolist()
        for row, column in zip(rows, values, strict=True):
            columns[names[row]] = column.tolist()
    return {name: columns[name] for name in names}

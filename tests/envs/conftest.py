import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def write_frame(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, dict[str, np.ndarray]], None]:
    return lambda path, columns: _write_frame(path, columns, monkeypatch)


def _write_frame(path: Path, columns: dict[str, np.ndarray], monkeypatch: Any) -> None:
    """Pickle the skeleton that pandas pickles, with classes of the same names."""
    homes = {}
    with monkeypatch.context() as patch:
        for name in (
            "pandas",
            "pandas.core",
            "pandas.core.frame",
            "pandas.core.internals",
            "pandas.core.internals.managers",
            "pandas.core.indexes",
            "pandas.core.indexes.base",
            "pandas.core.indexes.range",
        ):
            homes[name] = types.ModuleType(name)
            patch.setitem(sys.modules, name, homes[name])

        def define(module: str, name: str, body: dict[str, Any]) -> Any:
            cls = type(name, (), {**body, "__module__": module, "__qualname__": name})
            setattr(homes[module], name, cls)
            return cls

        def new_index(kind: Any, content: Any) -> None:
            raise AssertionError

        new_index.__module__, new_index.__qualname__ = "pandas.core.indexes.base", "_new_Index"
        homes["pandas.core.indexes.base"]._new_Index = new_index  # type: ignore[attr-defined]
        state = {"__getstate__": lambda self: self.state}
        index = {"__reduce__": lambda self: (new_index, (type(self), self.content))}
        frame = define("pandas.core.frame", "DataFrame", state)()
        manager = define("pandas.core.internals.managers", "BlockManager", state)()
        axis = define("pandas.core.indexes.base", "Index", index)()
        rows = define("pandas.core.indexes.range", "RangeIndex", index)()
        names = list(columns)
        axis.content = {"data": np.array(names, dtype=object), "name": None}
        rows.content = {"name": None, "start": 0, "stop": 2, "step": 1}
        kinds: dict[str, list[int]] = {}
        for place, values in enumerate(columns.values()):
            kinds.setdefault(values.dtype.str, []).append(place)
        blocks = []
        for places in kinds.values():
            gap = places[1] - places[0] if len(places) > 1 else 1
            where: Any = slice(places[0], places[-1] + 1, gap)
            if list(range(len(names)))[where] != places:
                where = np.array(places)
            values = np.stack([columns[names[place]] for place in places])
            blocks.append({"values": values, "mgr_locs": where})
        manager.state = (None, None, None, {"0.14.1": {"axes": [axis, rows], "blocks": blocks}})
        frame.state = {"_mgr": manager, "_typ": "dataframe", "attrs": {}}
        path.write_bytes(pickle.dumps(frame, protocol=5))

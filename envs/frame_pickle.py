"""Reading pickled data frames without pandas and without running what a pickle may ask for."""

import pickle
from pathlib import Path
from typing import Any


class _Index:
    """Stands for pandas' indexes; holds what one was made of."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content


class _Holder:
    """Stands for a frame or its block manager; keeps the state it is given."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _FrameOnly(pickle.Unpickler):
    """Reads numpy arrays and the skeleton of a data frame; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        reconstruct = np.zeros(1).__reduce__()[0]
        allowed: dict[tuple[str, str], Any] = {
            ("pandas.core.frame", "DataFrame"): _Holder,
            ("pandas.core.internals.managers", "BlockManager"): _Holder,
            ("pandas.core.indexes.base", "_new_Index"): lambda kind, content: _Index(content),
            ("pandas.core.indexes.base", "Index"): _Index,
            ("pandas.core.indexes.range", "RangeIndex"): _Index,
            ("builtins", "slice"): slice,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        for home in ("numpy.core", "numpy._core"):
            allowed[f"{home}.multiarray", "_reconstruct"] = reconstruct
            allowed[f"{home}.numeric", "_frombuffer"] = _from_buffer
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no table needs")
        return allowed[module, name]


def read_frame(path: str | Path) -> dict[str, list[Any]]:
    """Columns of a pickled pandas data frame by name, as plain Python lists.

    Only the reconstruction of numpy arrays and of the frame itself is allowed.

    Args:
        path: The file, written by any pandas that stores "0.14.1" block managers.

    Raises:
        pickle.UnpicklingError: The pickle asks for anything else.
    """
    with Path(path).open("rb") as file:
        frame = _FrameOnly(file).load()
    if not isinstance(frame, _Holder) or not isinstance(frame.state, dict):
        raise pickle.UnpicklingError("it holds no data frame")
    manager: Any = frame.state.get("_mgr", frame.state.get("_data"))
    parts = manager.state[3]["0.14.1"]
    names = parts["axes"][0].content["data"].tolist()
    columns: dict[str, list[Any]] = {}
    for block in parts["blocks"]:
        places = block["mgr_locs"]
        rows = range(len(names))[places] if isinstance(places, slice) else places.tolist()
        for row, values in zip(rows, block["values"], strict=True):
            columns[names[row]] = values.tolist()
    return {name: columns[name] for name in names}


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: str) -> Any:
    import numpy as np

    return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # type: ignore[call-overload]

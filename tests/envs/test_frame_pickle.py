"""Frames are read from pickles that pandas would write, and from no others."""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gflow.envs.frame_pickle import read_frame


def test_columns_come_back_whatever_their_blocks(tmp_path: Path, write_frame: Any) -> None:
    columns = {
        "row": np.array([3, 4]),
        "first": np.array([0.5, 1.5]),
        "cell": np.array(["a", "b"], dtype=object),
        "second": np.array([2.5, 3.5]),
        "third": np.array([4.5, 5.5]),
    }
    path = tmp_path / "frame.pd"
    write_frame(path, columns)
    assert b"pandas" in path.read_bytes()
    assert "pandas" not in sys.modules
    found = read_frame(path)
    assert list(found) == list(columns)
    assert found == {name: values.tolist() for name, values in columns.items()}


class Trap:
    """Unpickling this in the ordinary way would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trap.pd"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(pickle.UnpicklingError, match="which no table needs"):
        read_frame(path)
    assert not (tmp_path / "sprung").exists()
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(pickle.UnpicklingError, match="no data frame"):
        read_frame(path)

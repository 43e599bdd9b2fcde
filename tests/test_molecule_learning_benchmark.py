"""The benchmark of learning per molecule: which rows are taken for done, and how it sums up."""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rdkit")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "molecule_learning.py"


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("molecule_learning_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_rows_of_other_runs_are_not_taken_for_done(benchmark: Any) -> None:
    def name(**changed: Any) -> Any:
        usual: dict[str, Any] = {"reactions": False, "fragments": "f", "molecules": 10}
        usual |= {"seconds": float("inf"), **changed}
        return benchmark.file_name(argparse.Namespace(**usual), "usual", 32.0, 1)

    assert name() == "usual-32-1-10.json"
    others: list[dict[str, Any]] = [{"reactions": True}, {"fragments": ""}]
    others += [{"seconds": 60.0}, {"molecules": 20}]
    assert len({name(), *(name(**changed) for changed in others)}) == 5


def test_a_line_is_over_the_seeds_at_one_mark(benchmark: Any) -> None:
    rows = [
        benchmark.Row("usual", 32.0, seed, molecules, 1.5, mean, 0.5, modes, 0, 0)
        for seed, mean, modes in ((0, 0.2, 3), (1, 0.4, 5))
        for molecules in (1_000, 2_000)
    ]
    lines = benchmark.table(rows).splitlines()
    assert lines[0] == "usual, beta 32, 2 seeds"
    assert len(lines) == 4
    assert lines[3].split()[:3] == ["2000", "+-", "0"]
    assert "0.300 +- 0.141" in lines[3]
    assert benchmark.told([3, 5]) == "4 +- 1"

"""The script that compares ways to learn a grammar, in small."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FILE = Path(__file__).parents[3] / "benchmarks" / "grammar.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("grammar_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_way_learns_and_is_judged(script: Any) -> None:
    """From the same beginning, with as many steps of the grammar; the truth is better than all."""
    torch.set_default_dtype(torch.float32)
    effort = script.Effort(m_steps=8, settle=2, candidates=20, batch=8, short=4)
    rows = list(script.rows_of(["pairs-cfg"], [0], effort, list(script.LEARN)))
    assert [row[1] for row in rows] == ["true grammar", *script.LEARN]
    truth, *learned = (row[3] for row in rows)
    assert truth["f1"] == 100
    for numbers in learned:
        assert truth["nll"] < numbers["nll"] < 3
        assert 0 <= numbers["f1"] <= 100
    by_name = {row[1]: row[3] for row in rows}
    assert 0 <= by_name["gflownet-em"]["tv"] <= 1
    assert by_name["exact-em"]["nll"] < by_name["monte-carlo-em"]["nll"]

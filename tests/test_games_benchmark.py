"""The script that solves games prints what it promises."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from gflow import enumerate_states
from gflow.envs.games import TicTacToe
from gflow.exact import adversarial_flows

FILE = Path(__file__).parents[1] / "benchmarks" / "games_exact.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("games_exact", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_line_of_the_table_is_the_golden_one(script: Any) -> None:
    golden = (2, 0.592175, 99.823, 0.8624, 1.1952, 7.2451, 5.2046, 99.823)
    assert script.row(TicTacToe(scale=2)) == pytest.approx(golden, abs=6e-4)


@pytest.mark.parametrize("scale", [1, 2, 5, 10])
def test_greedy_play_of_the_solution_never_loses(script: Any, scale: float) -> None:
    """T2.4: not against a best response, from either side; even moves of one side do."""
    graph = enumerate_states(TicTacToe(scale=scale))
    log_pf = adversarial_flows(graph).log_pf
    assert script.against_the_best(graph, log_pf, 1) == 0
    assert script.against_the_best(graph, log_pf, -1) == 0
    assert script.against_the_best(graph, -log_pf, 1) == -1

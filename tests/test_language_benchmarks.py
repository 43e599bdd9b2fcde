"""`benchmarks/posterior.py`, `integers.py`, `arithmetic.py`: every method runs, and tunes."""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_balance_comes_near_the_posterior_and_a_climb_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LM-4 at equal samples; with entropy a policy gradient has the same target."""
    benchmark = load("posterior", monkeypatch)
    monkeypatch.setattr(benchmark, "LETTERS", 3)
    monkeypatch.setattr(benchmark, "LONGEST", 3)
    found = {}
    for name, objective in benchmark.OBJECTIVES.items():
        found[name] = benchmark.balanced(objective, 50, 0)
    for name, entropy in benchmark.ENTROPY.items():
        found[name] = benchmark.climbed(entropy, 50, 0)
    assert [step for step, _ in found["msubtb"]] == [0, 50]
    climbed = found.pop("reinforce")
    for name, curve in found.items():
        assert curve[-1][1] < 0.7 * curve[0][1], name
        assert curve[-1][1] < climbed[-1][1], name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours", "ppo", "ppo + kl"])
def test_a_method_makes_integers_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = load("integers", monkeypatch)
    before = benchmark.base(0)
    after = benchmark.run(name, 40, 0)
    assert after["valid"] > before["valid"] + 0.03
    assert after["cpu seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "supervised", "ppo", "ours + demos"])
def test_a_method_is_judged_by_three_lengths(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gflow.envs.language.arithmetic_base import arithmetic_model

    benchmark = load("arithmetic", monkeypatch)
    monkeypatch.setattr(benchmark, "SUPERVISED", 2)
    folder = str(tmp_path)
    arithmetic_model(folder, 2)
    torch.manual_seed(0)
    args = argparse.Namespace(base=folder, questions=2, steps=2, seed=0)
    rows = benchmark.judged(name, args)
    assert [row[:2] for row in rows] == [[name, "3"], [name, "4"], [name, "5"]]
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[2:5])

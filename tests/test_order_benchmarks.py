"""The scripts about order-preserving objectives print what they promise."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_learned_reward_is_the_closed_form(capsys: pytest.CaptureFixture[str]) -> None:
    script = load("sparsification")
    script.GAMMAS = (100.0,)
    assert script.bounded(400) < 1e-3
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[0] == "100"
    assert lines[2].endswith("0.6406   0.6406")
    assert abs(script.equivalent_gamma(0.871) - 1e4) < 200
    found = script.unbounded(0, (0, 100))
    assert found[0] == pytest.approx(0.1)
    assert 0.15 < found[1] < 0.4


@pytest.mark.slow
def test_the_race_runs_and_keeps_its_runs(starter: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = [str(FOLDER / "order_preserving.py"), "--out", str(tmp_path)]
    command += ["--steps", "2", "--scale", "0.02", "--seeds", "2"]
    done = starter.run(command)
    assert done.returncode == 0, done.stderr
    first = done.stdout
    assert first.count(": done") == 30
    assert "branin + currin: 36 cells on the exact front" in first
    assert "branin + currin + shubert: 104 cells on the exact front" in first
    assert first.count("Published") == 2
    assert (tmp_path / "order_preserving.png").stat().st_size > 10_000
    runs = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert all(0 <= run["on_front"] <= 1 for run in runs if "on_front" in run)
    assert all(run["curve"] == sorted(run["curve"]) for run in runs if "curve" in run)
    again = starter.run(command).stdout
    assert ": done" not in again
    assert again.splitlines()[-20:] == first.splitlines()[-20:]

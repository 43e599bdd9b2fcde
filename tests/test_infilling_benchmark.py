"""`benchmarks/infilling.py`: what was trained and judged is kept, and a second start goes on."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("infilling", FOLDER / "infilling.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_second_start_judges_what_is_left(benchmark: Any, tmp_path: Path) -> None:
    asked: list[tuple[str, list[int], float]] = []

    def way(name: str, broken: int = -1) -> Any:
        def texts(numbers: torch.Tensor, generator: torch.Generator) -> Any:
            if broken in numbers.tolist():
                raise KeyboardInterrupt
            drawn = float(torch.rand(1, generator=generator))
            asked.append((name, numbers.tolist(), drawn))
            return numbers * drawn

        return texts

    def measure(texts: torch.Tensor) -> dict[str, float]:
        return {"mean_log_p": float(texts.mean())}

    sets = {"trained": torch.arange(5), "other": torch.arange(5, 7)}
    run = {"steps": 3}
    more = (measure, 2, 7)
    path, whole = tmp_path / "results.json", tmp_path / "whole.json"
    benchmark.judge(whole, benchmark.known(whole, run), sets, {"a": way("a"), "b": way("b")}, *more)
    at_once = list(asked)
    asked.clear()
    ways = {"a": way("a"), "b": way("b", broken=4)}
    with pytest.raises(KeyboardInterrupt):
        benchmark.judge(path, benchmark.known(path, run), sets, ways, *more)
    benchmark.judge(path, benchmark.known(path, run), sets, {"a": way("a"), "b": way("b")}, *more)
    assert asked == at_once, "nothing twice, in the same order, with the same draws"
    results = json.loads(path.read_text())
    assert results == json.loads(whole.read_text())
    parts = results["sets"]["trained"]["b"]
    assert [part["stories"] for part in parts] == [2, 2, 1]
    told = sum(n * d for name, rows, d in asked if name == "b" and rows[0] < 5 for n in rows)
    assert told > 0
    assert f"| trained | b | {told / 5:.3f} |" in benchmark.table(results)
    assert benchmark.known(path, {"steps": 4})["sets"] == {}, "other weights are judged anew"


class Counting:
    """A trainer whose steps take no time."""

    step = 0

    def train(self, steps: int) -> dict[str, float]:
        self.step += steps
        return {"loss": 0.0, "mean_log_reward": 0.0}

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        assert set(state) == {"step"}
        self.step = state["step"]


def test_a_second_start_trains_for_what_is_left(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(benchmark.time, "process_time", lambda: float(next(clock)))
    path, told = tmp_path / "trained.pt", vars(argparse.Namespace(seed=0))
    first, second, third = Counting(), Counting(), Counting()
    benchmark.trained(first, path, 5.0, told)
    benchmark.trained(second, path, 9.0, told)
    benchmark.trained(third, path, 9.0, told)
    assert 0 < first.step < second.step == third.step

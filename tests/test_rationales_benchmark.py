"""`benchmarks/rationales.py`: every method is measured, and what is trained is what it says."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from gflow.envs.language.rationale_task import RationalesTask

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "rationales.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("rationales_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BENCHMARK = load()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BENCHMARK.METHODS))
def test_a_method_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BENCHMARK, "SUPERVISED", 2)
    fitted: list[int] = []
    run = BENCHMARK.LabelFit.run

    def spied(self: Any, tokens: Any, size: Any, *rest: Any) -> Any:
        fitted.append(int(size.max()))
        return run(self, tokens, size, *rest)

    monkeypatch.setattr(BENCHMARK.LabelFit, "run", spied)
    task = RationalesTask(
        base_steps=0, items=4, test_items=5, rank=2, repeat=2, m_every=1, m_steps=1, drawn=2
    )
    found = BENCHMARK.METHODS[name](task, 0, 2)
    assert {round(5 * value) for value in found.values()} <= set(range(6))
    assert ("named" in found) == (name in ("base, rationales", "E", "EM"))
    assert bool(fitted) == (name in ("supervised", "EM"))
    if fitted:  # rationales are written, or there are none
        assert (max(fitted) > 0) == (name == "EM")

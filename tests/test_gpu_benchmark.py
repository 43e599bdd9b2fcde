"""The dry run of `benchmarks/gpu.py` on a CPU."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "gpu", raising=False)
    return __import__("gpu")


def test_the_dry_run_writes_every_case(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tiny.json"
    words = ["--device", "cpu", "--tiny", "--out", str(out), "--ways", "eager", "captured",
             "stacked", "--only", "8x8", "8-mers", "diffusion"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    gpu.main()
    found: list[dict[str, Any]] = json.loads(out.read_text())["cases"]
    assert [case["problem"] for case in found] == ["8x8", "8-mers", "diffusion"]
    for case in found:
        assert case["ways"]["eager"]["milliseconds"] > 0
        assert "captures a CUDA graph" in case["ways"]["captured"]["refused"]
    assert found[0]["ways"]["stacked"]["milliseconds"] > 0
    assert "only numbered moves are stacked" in found[2]["ways"]["stacked"]["refused"]


def test_when_the_time_is_up_cases_are_named(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "late.json"
    words = ["--device", "cpu", "--tiny", "--out", str(out), "--seconds", "-1"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    gpu.main()
    found = json.loads(out.read_text())["cases"]
    assert [case["skipped"] for case in found] == ["the time is up"] * len(gpu.PROBLEMS)

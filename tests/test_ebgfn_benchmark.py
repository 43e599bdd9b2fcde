"""`benchmarks/ebgfn.py`: what stands beside the samplers, and that it goes on where it was."""

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FILE = Path(__file__).parents[1] / "benchmarks" / "ebgfn.py"


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(FILE.parent))
    spec = importlib.util.spec_from_file_location("ebgfn_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FILE.parent))
    return module


def test_eight_gaussians_that_are_far_apart(script: Any) -> None:
    """log 8 + log(2 pi e sigma^2) in the plane, hardly less as they touch, and log of the cells."""
    apart = math.log(8) + math.log(2 * math.pi * math.e * 0.125)
    cells = 2 * math.log(2**16 / 12.4)
    plane = script.DENSITIES["8gaussians"]
    values = plane.code().encode(plane.points(50_000, torch.Generator().manual_seed(9)))
    assert apart + cells - 0.05 < script.gaussians_nll(values) < apart + cells + 0.02


@pytest.mark.slow
def test_pseudo_likelihood_finds_couplings_and_the_price_helps(script: Any) -> None:
    plain = script.pseudo_likelihood("ising4", "pseudo", 0)["-log RMSE"]
    priced = script.pseudo_likelihood("ising4", "pseudo sparse", 0)["-log RMSE"]
    assert 4.0 < plain < priced - 0.3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fresh", "data", "chains", "sparse", "random"])
def test_lines_are_measured_and_not_done_twice(
    script: Any,
    method: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script, "LATTICES", {"ising4": {"rows": 2, "columns": 2}})
    monkeypatch.setattr(script, "COMPARED", 40)
    monkeypatch.setattr(script, "TESTED", 5)
    monkeypatch.setattr(script, "SAMPLES", 2)
    out = tmp_path / "lines.csv"
    argv = ["ebgfn.py", "--problems", "ising4", "--methods", method, "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", [*argv, "--batch", "4", f"--out={out}"])
    threads = torch.get_num_threads()
    script.main()
    first = out.read_text()
    rows = [line.split(",") for line in first.splitlines()]
    assert [row[1] for row in rows] == ["method", "pseudo", "pseudo sparse", method]
    found = dict(zip(rows[0], rows[3], strict=True))
    assert 1 < float(found["NLL"]) < 6
    assert float(found["-log RMSE"]) > 1
    assert int(found["steps"]) >= 10
    assert (found["acceptance"] == "") == (method == "fresh")
    monkeypatch.setattr(script, "line", None)  # nothing is left to do
    script.main()
    assert out.read_text() == first
    assert capsys.readouterr().out.count("pseudo sparse") == 3
    assert torch.get_num_threads() == threads

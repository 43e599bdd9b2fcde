"""`benchmarks/mixture.py`: every method fits the mixture from its start."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.envs.mixture import petals

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "mixture.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("mixture_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BENCHMARK = load()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BENCHMARK.METHODS))
def test_a_method_raises_the_likelihood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BENCHMARK, "ROUNDS", 5)
    monkeypatch.setattr(BENCHMARK, "SAMPLED", 150)
    data = petals(200)
    fit = BENCHMARK.begin(data, 3)
    before = float(fit.latents.log_likelihood().mean())
    start = fit.joint.model.means.detach().clone()
    assert len(torch.cdist(start, data).min(1).values.nonzero()) == 0  # four of the points
    BENCHMARK.METHODS[name](fit)
    after = float(fit.latents.log_likelihood().mean())
    if name == "adaptive":  # waits until its sampler is good enough
        assert (fit.steps > 0) == (after != before)
    else:
        assert fit.steps > 0
        assert after > before + 0.3

"""The script that compares autoencoders of digits trains each and measures what it says."""

import importlib.util
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("sklearn")

FILE = Path(__file__).parents[1] / "benchmarks" / "digits.py"
OPTIONS: dict[str, Any] = {
    "side": 2,
    "symbols": 2,
    "prior": "pixelcnn",
    "embedding": 2,
    "seconds": 0.01,
    "checks": 1,
    "samples": 20,
    "batch": 16,
    "repeat": 4,
    "lr": 3e-3,
    "model_lr": 1e-3,
}


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(FILE.parent))
    spec = importlib.util.spec_from_file_location("digits_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FILE.parent))
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["exact", "gfn", "gfn-tb", "gfn-greedy", "wake-sleep", "vae", "vae-ar", "vq"]
)
def test_every_method_moves_the_decoder_and_is_measured_exactly(script: Any, method: str) -> None:
    args = Namespace(**OPTIONS)
    before = [p.clone() for p in script.start(method, 0, args).model.decoder.parameters()]
    fit, (test, train, kl, steps) = script.line(method, 0, args)
    moved = zip(before, fit.model.decoder.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in moved)
    with torch.no_grad():
        x = fit.reward.data.data
        wanted = [float(-fit.model.log_marginal(part).mean()) for part in (x[1500:], x[:1300])]
    assert [test, train] == pytest.approx(wanted)
    assert steps >= 25
    assert (kl == kl) == (method not in ("exact", "vq"))  # those have no sampler


@pytest.mark.slow
def test_codes_that_are_too_many_are_sampled(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vector quantisation is given a sampler, which leaves its decoder as it is."""
    from gflow.envs.codes import model

    monkeypatch.setattr(model, "LISTED", 1)
    fit, (test, train, kl, _) = script.line("vq", 0, Namespace(**OPTIONS))
    rows = fit.reward.data.conditions[1500:]
    z = fit.quantised.codes(fit.reward.data.rows(rows))
    assert torch.equal(fit.likeliest(rows), z)  # though there is a sampler, too
    upper = script.bound(fit.env, rows, z).mean()
    monkeypatch.setattr(model, "LISTED", 2**16)
    exact = float(script.nll(fit.env, fit.policy, rows, 1).mean())
    assert exact < test <= float(upper)
    assert train != train
    assert kl != kl

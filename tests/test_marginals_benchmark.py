"""The script that compares orders on data trains each model and measures it."""

import importlib.util
import math
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.envs.marginals import Digits, Parts, Text

FILE = Path(__file__).parents[1] / "benchmarks" / "marginals_data.py"
OPTIONS: dict[str, Any] = {
    "network": "shared",
    "fixed_steps": 40,
    "fit_steps": 20,
    "steps": 10,
    "width": 8,
    "depth": 1,
    "heads": 2,
    "batch": 8,
    "orders": 2,
    "test": 4,
    "items": 2,
    "draws": 3,
    "samples": 5,
    "seed": 0,
    "lr": 1e-2,
    "folder": "",
}


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(FILE.parent))
    spec = importlib.util.spec_from_file_location("marginals_data_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FILE.parent))
    return module


@pytest.fixture
def small() -> Parts:
    parts = Text(6).data
    return Parts(parts.train[:200], parts.validation[:20], parts.test[:4])


def test_the_fixed_order_is_measured_exactly(script: Any, small: Parts) -> None:
    fixed = script.fit_fixed(Text(6), small, Namespace(**OPTIONS))
    wanted = torch.zeros(4)
    for place in range(6):
        seen = small.test.clone()
        seen[:, place:] = 27
        said = fixed.policy(fixed.env, seen).forward_logits.log_softmax(1)
        wanted += said.gather(1, small.test[:, place, None]).squeeze(1)
    wanted = -wanted.detach().mean() / 6 / math.log(2)
    assert fixed.bits(small.test) == pytest.approx(float(wanted))
    assert fixed.bits(small.test) < math.log2(27)  # it has learned something
    assert fixed.sample(5).shape == (5, 6)


def test_any_order_is_measured_in_bits(script: Any, small: Parts) -> None:
    """Both stages leave the conditionals of the first; either says what its network says."""
    model = script.fit_any_order(Text(6), small, Namespace(**OPTIONS))
    policy = model.policy
    at_once = (policy.network.log_marginal(small.test) - policy.log_scale()).detach()
    assert model.bits(small.test, 0) == pytest.approx(-float(at_once.mean()) / 6 / math.log(2))
    assert model.bits(small.test, 1) < math.log2(27)
    assert model.sample(5).shape == (5, 6)
    assert bool((model.sample(5) < 27).all())


def test_weights_of_the_smallest_error_are_kept(script: Any) -> None:
    module, errors = torch.nn.Linear(1, 1), iter([5.0, 3.0, 4.0, *[6.0] * 7])
    taken = []

    def advance() -> None:
        taken.append(1)
        module.weight.data.fill_(float(len(taken)))

    script.best_of(module, lambda: next(errors), advance)
    assert len(taken) == script.CHECKS == 10
    assert float(module.weight.data) == 2.0


@pytest.mark.parametrize("network", ["shared", "transformer"])
def test_all_of_a_problem(
    script: Any, small: Parts, network: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    class Few(Text):
        @property
        def data(self) -> Parts:
            return small

    monkeypatch.setattr(script, "named_problem", lambda name, **options: Few(6))
    monkeypatch.setitem(script.ERASE, "text", (3, 5))
    script.measure("text", Namespace(**OPTIONS | {"network": network}))
    shown = capsys.readouterr().out
    for word in ("| fixed", "| AO-S", "| AO-E", "| MaM", "Spearman", "parameters", "16 objects"):
        assert word in shown
    with pytest.raises(SystemExit, match="is for pictures, and text has none"):
        script.network_of(Few(6), Namespace(**OPTIONS | {"network": "convolution"}))
    made = script.network_of(Digits(), Namespace(**OPTIONS | {"network": "convolution"}))
    assert (made.places, made.symbols) == (64, 2)

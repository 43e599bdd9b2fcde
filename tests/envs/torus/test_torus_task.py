"""`gflow train torus`, on every target."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gflow.envs.torus.task as torus_task
from gflow.behaviours.base import OnPolicy, Sampling
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.local_search import LocalSearch
from gflow.cli.main import main
from gflow.envs.torus import alanine_target
from gflow.envs.torus.targets import TorusTarget
from gflow.envs.torus.task import TorusTask
from gflow.errors import ConfigError
from gflow.sampling.sampler import Sampler
from gflow.terms import Needs

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = [
    "--width=24",
    "--length=3",
    "--batch-size=32",
    "--eval-every=100",
    "--eval-samples=500",
    "--quiet=True",
]


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torus_task, "PICTURED", 500)


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "torus", f"--out={folder}", *SMALL, *flags]) == 0
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
@pytest.mark.parametrize("target", ["ramachandran", "sines"])
def test_learns(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    summary = train(tmp_path, f"--target={target}", "--steps=300", "--lr=5e-3", "--log-z-lr=0.1")
    assert summary["objective"] == "tb"
    metrics, untrained = summary["metrics"], summary["untrained"]
    for name in ("jsd", "smoothed_jsd"):
        assert metrics[name] < 0.7 * untrained[name]
    assert metrics["elbo"] > untrained["elbo"]
    assert 0 < metrics["jsd_floor"] < 0.1
    assert sum(v for k, v in metrics.items() if k.startswith("basin_") and k != "basin_error") == (
        pytest.approx(1, abs=1e-4)
    )
    assert (tmp_path / "density.png").stat().st_size > 10_000
    assert "exact samples" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["uniform", "pessimistic", "tlm"])
def test_other_backward_policies_train(backward: str, tmp_path: Path) -> None:
    summary = train(tmp_path, "--steps=2", f"--backward={backward}")
    assert np.isfinite(summary["metrics"]["loss"])
    assert main(["sample", str(tmp_path), "-n", "2"]) == 0


@pytest.mark.slow
def test_alanine_is_trained_on_a_kept_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan on disk is used as it is; here one with a single well at (-90, 90) degrees."""
    line = np.arange(12) * (2 * np.pi / 12)
    wells = 20 * (2 - np.cos(line[:, None] + np.pi / 2) - np.cos(line[None] - np.pi / 2))
    path = tmp_path / "scan.csv"
    alanine_target.save(path, wells)
    monkeypatch.setattr(alanine_target, "cache_path", lambda *settings: path)
    task = TorusTask(target="alanine", points=12, kelvin=300)
    target = task.density()
    assert target.axes == ("phi", "psi")
    place = torch.tensor([[-np.pi / 2, np.pi / 2], [np.pi / 2, np.pi / 2]])
    gap = target.log_density(place).diff()
    assert float(gap) == pytest.approx(-40 / (8.31446e-3 * 300), rel=1e-5)
    summary = train(tmp_path / "run", "--target=alanine", "--points=12", "--steps=2")
    assert summary["metrics"]["log_z_error"] > 0
    assert set(target.basin_names) == {"alpha_l", "alpha_r", "beta"}


def test_a_share_of_batches_covers_the_torus() -> None:
    task = TorusTask(length=3, coverage=0.5)
    env = task.environment()
    covering = task.behaviour(env, OnPolicy())
    assert isinstance(covering, BackwardReplay)
    sampling = Sampling(task.policy(env, Needs()), Sampler(env), generator=torch.Generator())
    ends = covering.collect(sampling, 400).final_states.angles[-200:]
    assert isinstance(env.target, TorusTarget)
    assert float(env.target.shares(ends).mean(0)[3]) == pytest.approx(0.08, abs=0.06)
    search = LocalSearch(3)
    assert task.behaviour(env, search) is search
    plain = OnPolicy()
    assert TorusTask(coverage=0.0).behaviour(env, plain) is plain
    with pytest.raises(ConfigError, match="coverage"):
        TorusTask(coverage=1.5)


def test_options_reach_the_task() -> None:
    task = TorusTask(length=7, components=3, min_concentration=1.0, target="sines")
    env = task.environment()
    assert (env.horizon, env.components, env.min_concentration) == (7, 3, 1.0)
    assert env.log_partition() == pytest.approx(6.314811, abs=1e-6)
    assert task.log_z(env) == pytest.approx(2 * np.log(2 * np.pi))

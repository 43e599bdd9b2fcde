"""`gflow train diffusion`."""

import json
from pathlib import Path
from typing import Any

import pytest

from gflow.cli.main import main

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = ["--steps=6", "--eval-every=3", "--eval-samples=100", "--batch-size=32", "--width=8"]
SMALL += ["--steps-per-trajectory=6", "--quiet=True"]


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "diffusion", f"--out={folder}", *SMALL, *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--behaviour=langevin", "--langevin-period=2", "--langevin-steps=10"],
        ["--random-times=4", "--learned-variance=4", "--objective=vargrad"],
        ["--process=ou", "--nu=3", "--langevin=True", "--objective=subtb"],
        ["--learned-backward=0.5", "--objective=flsubtb", "--process=euler"],
        ["--target=manywell", "--dim=4", "--replay=64", "--replay-rebuild=backward"],
        ["--process=annealed", "--nu=6", "--power=2", "--end-sigma2=2", "--random-times=4"]
        + ["--behaviour=langevin", "--langevin-period=2", "--langevin-steps=10"],
    ],
    ids=["search", "random grids", "ou", "euler", "wells", "annealed"],
)
def test_every_kind_of_diffusion_trains(tmp_path: Path, flags: list[str]) -> None:
    summary = train(tmp_path / "run", *flags)
    numbers = summary["metrics"]
    assert numbers["elbo"] < numbers["eubo"]
    assert numbers["elbo"] <= numbers["log_z_importance"]
    assert ("patterns" in numbers) == ("--target=manywell" in flags)
    assert ("modes" in numbers) == ("--target=manywell" not in flags)
    assert (tmp_path / "run" / "samples.png").stat().st_size > 5000


@pytest.mark.slow
def test_training_helps(tmp_path: Path) -> None:
    flags = ["--target=gaussian", "--steps=150", "--width=16", "--lr=0.005", "--noise=0"]
    summary = train(tmp_path / "run", *flags, "--learned-variance=2")
    before, after = summary["untrained"], summary["metrics"]
    known = 1.0
    assert known - after["elbo"] < 0.2 * (known - before["elbo"])
    assert after["eubo"] - known < 0.2 * (before["eubo"] - known)


@pytest.mark.slow
def test_conditional_posteriors_train(tmp_path: Path) -> None:
    flags = ["--target=vae", "--objective=vargrad", "--repeat=4"]
    numbers = train(tmp_path / "run", *flags)["metrics"]
    assert numbers["elbo"] < numbers["log_z_importance"] < numbers["log_marginal"]


def test_annealed_steps_have_nothing_else_to_learn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ["--process=annealed", "--learned-variance=2"]
    assert main(["train", "diffusion", f"--out={tmp_path / 'x'}", *flags]) == 2
    assert "its steps back mirror its steps ahead" in capsys.readouterr().err


def test_a_dimension_is_for_wells_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "diffusion", f"--out={tmp_path / 'x'}", "--dim=4"]) == 2
    assert "only manywell comes in every (even) dimension" in capsys.readouterr().err

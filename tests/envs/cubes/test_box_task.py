"""`gflow train box`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.cube import Cube
from gflow.envs.cubes.task import BoxTask

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = ["--steps=4", "--eval-every=2", "--eval-samples=300", "--batch-size=32", "--width=8"]
SMALL += ["--depth=1", "--quiet=True"]


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "box", f"--out={folder}", *SMALL, *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--objective=db", "--behaviour=incomplete"],
        ["--moves=axes", "--objective=subtb", "--backward=uniform"],
        ["--dim=3", "--objective=fldb", "--epsilon=0.1"],
        ["--dim=1", "--backward=tlm", "--behaviour=local_search"],
        ["--backward=pessimistic", "--replay=64", "--replay-rebuild=backward"],
        ["--dim=6", "--objective=led"],
        ["--reward=disk", "--delta=0.3"],
    ],
    ids=["arcs", "axes", "three", "one", "pessimistic", "six", "disk"],
)
def test_every_kind_of_box_trains(tmp_path: Path, flags: list[str]) -> None:
    numbers = train(tmp_path / "run", *flags)["metrics"]
    assert numbers["log_z_error"] >= 0
    plane = not any(flag.startswith("--dim") for flag in flags)
    corners = "--reward=disk" not in flags
    assert ("jsd_kde" in numbers) == (plane and corners)
    assert ("jsd_regions" in numbers) == corners
    assert ("jsd" in numbers) == (corners and "--dim=6" not in flags)
    drawn = (tmp_path / "run" / "samples.png").exists()
    assert drawn == (corners and "--dim=1" not in flags)


@pytest.mark.slow
def test_training_helps(tmp_path: Path) -> None:
    flags = ["--steps=120", "--width=32", "--depth=2", "--eval-every=120", "--lr=0.01"]
    summary = train(tmp_path / "run", *flags, "--eval-samples=3000", "--batch-size=64")
    before, after = summary["untrained"], summary["metrics"]
    assert after["jsd"] < 0.6 * before["jsd"]
    assert after["jsd_kde"] < 0.6 * before["jsd_kde"]
    assert after["log_z_error"] < before["log_z_error"] + 0.2


@pytest.mark.slow
def test_figures_vanish_for_exact_samples() -> None:
    """All three distances are those of sampling noise, and not for another law."""

    class Stub:
        def __init__(self, env: Box) -> None:
            self.env, self.trainer = env, self
            self.config, self.step = self, 0
            self.seed = 0

    task = BoxTask()
    env = task.environment()
    context: Any = Stub(env)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    exact = task.metrics(context, env.exact_objects(10_000, generator))
    even = task.metrics(context, torch.rand(10_000, 2, generator=generator))
    assert exact["jsd_regions"] < 1e-3 < 0.05 < even["jsd_regions"]
    assert exact["jsd"] < 0.01 < 0.1 < even["jsd"]
    assert exact["jsd_kde"] < 1e-3 < 0.03 < even["jsd_kde"]


def test_the_square_takes_arcs_and_others_axes() -> None:
    assert isinstance(BoxTask().environment(), Box)
    assert isinstance(BoxTask(moves="axes").environment(), Cube)
    assert isinstance(BoxTask(dim=5).environment(), Cube)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dim=3", "--moves=arcs"], "moves in the square, and dim is 3"),
        (["--dim=3", "--reward=disk"], "The disk is a reward of the square"),
        (
            ["--objective=fm"],
            "and here they form a continuum. With these settings one can train db, ",
        ),
    ],
)
def test_what_does_not_go_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str], said: str
) -> None:
    assert main(["train", "box", f"--out={tmp_path / 'x'}", *flags]) == 2
    assert said in capsys.readouterr().err

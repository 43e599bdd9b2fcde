"""`gflow sweep --stacked`: folders as runs by themselves leave them, killed and continued."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gflow.cli.main import main
from gflow.runs.run import Run
from gflow.stacked import commit
from gflow.stacked.runs import StackedRuns
from gflow.stacked.trainer import StackedTrainer
from gflow.training.json_lines import read_jsonl

pytestmark = pytest.mark.usefixtures("sketches")

FLAGS = ["--side=4", "--width=8", "--eval-every=8", "--eval-samples=20", "--checkpoint-every=5"]
STEPS = 18


def sweep(tmp_path: Path, name: str = "out", **parameters: Any) -> tuple[int, Path]:
    """Run a stacked grid; its exit code and folder."""
    given = {"steps": [STEPS], "epsilon": [0.1]} | parameters
    spec = {
        "metric": {"name": "tv"},
        "command": ["gflow", "train", "hypergrid", *FLAGS, "${args}"],
        "parameters": {key: {"values": values} for key, values in given.items()},
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(spec))
    out = tmp_path / name
    return main(["sweep", str(file), "--out", str(out), "--stacked"]), out


def results(folder: Path) -> Any:
    rows = [{**row, "timing": None} for row in read_jsonl(folder / "metrics.jsonl")]
    summary = json.loads((folder / "summary.json").read_text())
    return rows, {**summary, "timing": None}


def near(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(near, one, other))
    return bool(one == (pytest.approx(other, rel=1e-8) if isinstance(other, float) else other))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four runs that was not stopped."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "matplotlib.figure.Figure.savefig", lambda self, path, **how: Path(path).touch()
        )
        patch.setattr("gflow.runs.pictures.shown_pictures", lambda *args: {})
        code, out = sweep(tmp_path_factory.mktemp("whole"), seed=[0, 1], lr=[1e-3, 1e-2])
    torch.set_default_dtype(before)
    assert code == 0
    return out


def test_each_folder_is_that_of_a_run_by_itself(whole: Path, tmp_path: Path) -> None:
    """Metrics, summary, settings, checkpoint, table; and it is extended by `gflow resume`."""
    alone = tmp_path / "alone"
    train = ["train", "hypergrid", *FLAGS, "--epsilon=0.1", "--seed=1", "--lr=0.01", "--quiet"]
    assert main([*train, f"--steps={STEPS}", f"--out={alone}"]) == 0
    assert near(results(whole / "003"), results(alone))
    ours, theirs = (sorted(p.name for p in d.iterdir()) for d in (whole / "003", alone))
    assert ours == theirs
    sizes = [(d / "checkpoints" / "last.pt").stat().st_size for d in (whole / "003", alone)]
    assert sizes[0] < 1.1 * sizes[1]  # not the weights of all
    assert (whole / "results.csv").exists()
    for folder in (whole / "003", alone):
        assert main(["resume", str(folder), "--steps=24"]) == 0
    assert near(results(whole / "003"), results(alone))


def stopping(patch: pytest.MonkeyPatch, at: int, how: Callable[[StackedTrainer], Any]) -> None:
    """Let something happen before step `at` of a stack."""
    step = StackedTrainer.train_step

    def train_step(self: StackedTrainer) -> Any:
        if self.step == at:
            how(self)
        return step(self)

    patch.setattr(StackedTrainer, "train_step", train_step)


def interrupted(stack: StackedTrainer) -> None:
    raise KeyboardInterrupt


def test_a_killed_sweep_goes_on_to_the_same_numbers(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came after the checkpoint of step 10 is lost and done again, bit for bit."""
    with monkeypatch.context() as patch:
        stopping(patch, 13, interrupted)
        code, out = sweep(tmp_path, seed=[0, 1], lr=[1e-3, 1e-2])
    assert code == 130
    assert "--stacked" in capsys.readouterr().out
    assert not (out / "003" / "summary.json").exists()
    assert sweep(tmp_path, seed=[0, 1], lr=[1e-3, 1e-2])[0] == 0
    assert "4 runs in one process from step 10" in capsys.readouterr().out
    for name in ("000", "001", "002"):
        assert results(out / name) == results(whole / name)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0, 2])
def test_a_kill_while_saving_leaves_all_runs_at_one_step(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """Killed between the checkpoints of step 15: what was decided is done, else forgotten."""
    replace, calls = Path.replace, list[Path]()

    def killed(self: Path, target: Any) -> Any:
        if self.name == commit.NEXT and torch.load(self)["state"]["trainer"]["step"] == 15:
            if len(calls) == moved:
                raise KeyboardInterrupt
            calls.append(self)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        code, out = sweep(tmp_path, seed=[0, 1], lr=[1e-3, 1e-2])
    assert code == 130
    assert len(calls) == moved
    commit.finish_saving(out)
    steps = [Run.open(out / f"00{n}").context.trainer.step for n in range(4)]
    assert steps == [15] * 4
    assert sweep(tmp_path, seed=[0, 1], lr=[1e-3, 1e-2])[0] == 0
    assert results(out / "002") == results(whole / "002")


def test_checkpoints_that_were_not_decided_are_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "000" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "last.pt").write_text("old")
    (folder / commit.NEXT).write_text("new")
    commit.finish_saving(tmp_path)
    assert (folder / "last.pt").read_text() == "old"
    assert not (folder / commit.NEXT).exists()


@pytest.mark.slow
def test_other_shapes_and_single_runs_go_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two stacks by the batch size; a third size that one run has; nothing is done silently."""
    alone: list[Path] = []

    def run_gflow(words: list[str]) -> int:
        alone.append(Path(next(w for w in words if w.startswith("--out="))[6:]))
        return main(words)

    monkeypatch.setattr("gflow.cli.sweep.run.run_gflow", run_gflow)
    points = {"seed": [0, 1], "batch-size": [4, 6]}
    code, out = sweep(tmp_path, "two", steps=[3], **points)
    said = capsys.readouterr().out
    assert code == 0
    assert said.count("2 runs in one process") == 2
    assert not alone
    code, out = sweep(tmp_path, "one", steps=[3], seed=[0], **{"batch-size": [4, 6]})
    said = capsys.readouterr().out
    assert code == 0
    assert said.count("by itself, as no other run has the same shapes and settings") == 2
    assert alone == [out / "000", out / "001"]


def test_what_cannot_be_stacked_is_run_in_processes_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gflow.cli.sweep.run.run_gflow", main)
    code, out = sweep(tmp_path, steps=[2], seed=[0, 1], objective=["led"])
    said = capsys.readouterr().out
    assert code == 0
    assert said.count("by itself, as it learns more than a policy (PotentialFit)") == 2
    assert (out / "001" / "summary.json").exists()


@pytest.mark.slow
def test_a_step_that_fails_lets_all_go_on_by_themselves(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are saved at the step before it, and nothing of what they drew is lost."""

    def broken(stack: StackedTrainer) -> None:
        torch.rand(3, generator=stack.trainers[0].generator)
        raise ValueError("a bug of the user's")

    monkeypatch.setattr("gflow.cli.sweep.run.run_gflow", main)
    stopping(monkeypatch, 12, broken)
    code, out = sweep(tmp_path, seed=[0, 1], lr=[1e-3, 1e-2])
    said = capsys.readouterr()
    assert code == 0
    assert "go on by themselves from step 12" in said.err
    assert "ValueError: a bug of the user's" in said.err
    for name in ("000", "002"):
        assert near(results(out / name), results(whole / name))


def test_a_script_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"command": ["python", "mine.py", "${args}"], "parameters": {"seed": {"values": [0, 1]}}}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(spec))
    assert main(["sweep", str(file), "--out", str(tmp_path / "out"), "--stacked"]) == 2
    assert "runs a script" in capsys.readouterr().err


def test_stacks_are_no_larger_than_said(tmp_path: Path) -> None:
    from gflow.cli.sweep.file import SweepFile
    from gflow.cli.sweep.stacked import run_stacked

    sizes: list[int] = []
    real = StackedRuns.train

    def train(self: StackedRuns) -> bool:
        sizes.append(len(self.runs))
        return real(self)

    spec = {
        "command": ["gflow", "train", "hypergrid", *FLAGS, "--steps=1", "${args}"],
        "parameters": {"seed": {"values": [0, 1, 2, 3, 4]}},
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(spec))
    read = SweepFile.read(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackedRuns, "train", train)
        done, code = run_stacked(read.command, read.points, tmp_path / "out", 2, str)
    assert (sizes, code, done) == ([2, 2], 0, {0, 1, 2, 3})

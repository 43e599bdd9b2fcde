"""A run's folder: held by one process, resumable at any moment, written whole or not at all."""

import errno
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from gflow.cli.main import main
from gflow.errors import CheckpointError, ConfigError, FolderError
from gflow.runs import run as run_module
from gflow.runs.holder import LOCK
from gflow.runs.lock import FolderLock
from gflow.runs.run import Run
from gflow.tasks.measure import evaluate_run
from gflow.training.json_lines import read_jsonl

SMALL = ["--side=4", "--width=8", "--steps=20", "--eval-every=8", "--eval-samples=20"]
SMALL += ["--checkpoint-every=5", "--quiet=True"]


@pytest.fixture(autouse=True)
def _single_precision(undrawn: None) -> Any:
    """As users run it, but without the pictures, which take most of the time."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(*flags: str) -> int:
    return main(["train", "hypergrid", *SMALL, *flags])


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, "one line"
    return said


def rows(folder: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in row.items() if k != "timing"}
        for row in read_jsonl(folder / "metrics.jsonl")
    ]


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    del found["timing"]
    return found


def interrupted_at(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed before a step."""
    whole = Run._step

    def stop(self: Run, console: Any) -> None:
        if self.context.trainer.step == step:
            raise SystemExit(9)
        whole(self, console)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_step", stop)
        with pytest.raises(SystemExit):
            train(f"--out={folder}")


# ---------------------------------------------------------------------- one process at a time


def test_a_second_process_is_refused_and_told_who_holds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    train(f"--out={folder}")
    code = (
        "import sys; from pathlib import Path; from gflow.runs.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    root = str(Path(run_module.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = (folder / "checkpoints" / "last.pt").read_bytes()
        for words in (
            ["resume", str(folder)],
            ["resume", str(folder), "--steps", "40"],
            ["train", "hypergrid", *SMALL, f"--out={folder}", "--overwrite=True"],
        ):
            said = refused(capsys, words)
            assert f"{folder} is in use by process {other.pid} on " in said
            assert f"kill {other.pid}" in said
        assert (folder / "checkpoints" / "last.pt").read_bytes() == before
        assert main(["eval", str(folder)]) == 0
        assert main(["sample", str(folder), "-n", "2"]) == 0
        other.kill()
    assert (folder / LOCK).exists(), "its file is left behind"
    assert main(["resume", str(folder), "--steps", "24"]) == 0, "but not its lock"
    assert not (folder / LOCK).exists()


def test_the_lock_is_released_and_says_so_in_the_same_process(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    with pytest.raises(FolderError, match="by this very process: call close"):
        FolderLock(tmp_path)
    first.release()
    first.release()
    assert list(tmp_path.iterdir()) == []
    second = FolderLock(tmp_path)
    del second
    FolderLock(tmp_path).release()


def test_a_lock_that_was_replaced_meanwhile_is_not_taken_for_the_folders(tmp_path: Path) -> None:
    """Its file is removed on release, and another process may hold one of the same name by then."""
    import fcntl

    stale = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    (tmp_path / LOCK).unlink()
    held = FolderLock(tmp_path)
    fcntl.flock(stale, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of a file that is gone: holds nothing
    with pytest.raises(FolderError):
        FolderLock(tmp_path)
    os.close(stale)
    held.release()


# ---------------------------------------------------------------------- resumable at any moment


@pytest.mark.slow
def test_a_run_that_never_saved_starts_again_with_either_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"--out={tmp_path / 'whole'}") == 0
    for name in ("resumed", "again", "other"):
        with monkeypatch.context() as patch:
            patch.setattr(Run, "save", lambda self: (_ for _ in ()).throw(SystemExit(9)))
            with pytest.raises(SystemExit):
                train(f"--out={tmp_path / name}")
        assert [row["step"] for row in rows(tmp_path / name)] == [0]
        assert not (tmp_path / name / "checkpoints" / "last.pt").exists()
    said = refused(capsys, ["sample", str(tmp_path / "resumed")])
    assert f"start it with `gflow resume {tmp_path / 'resumed'}`" in said
    assert main(["resume", str(tmp_path / "resumed")]) == 0
    assert train(f"--out={tmp_path / 'again'}") == 0
    assert train(f"--out={tmp_path / 'other'}", "--lr=0.01") == 0
    for name in ("resumed", "again"):
        assert rows(tmp_path / name) == rows(tmp_path / "whole")
        assert summary(tmp_path / name) == summary(tmp_path / "whole")
    assert summary(tmp_path / "other") != summary(tmp_path / "whole")


def test_a_lost_checkpoint_is_not_taken_for_one_that_never_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    train(f"--out={folder}")
    (folder / "checkpoints" / "last.pt").unlink()
    assert "It was there once" in refused(capsys, ["resume", str(folder)])
    (folder / "summary.json").unlink()
    assert "It was there once" in refused(capsys, ["resume", str(folder)])
    assert "holds a run already" in refused(
        capsys, ["train", "hypergrid", *SMALL, f"--out={folder}"]
    )
    assert len(rows(folder)) == 4


@pytest.mark.parametrize("step", [6, 8, 19])
def test_a_damaged_line_costs_that_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    assert train(f"--out={tmp_path / 'whole'}") == 0
    folder = tmp_path / "run"
    interrupted_at(folder, step, monkeypatch)
    file = folder / "metrics.jsonl"
    bad = b'{"step": 3, "loss": \xff\x00}\n[1]\n{"loss": 2}\n'
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + bad + b"".join(lines[1:]) + b'{"step": 9, "lo')
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 0
    said = capsys.readouterr().err
    said_of = [
        f"line {n} is damaged and was set aside in metrics.damaged" in said for n in range(7)
    ]
    assert said_of == [False, False, True, True, True, False, False]
    assert (folder / "metrics.damaged").read_bytes() == bad
    assert rows(folder) == rows(tmp_path / "whole")
    assert summary(folder) == summary(tmp_path / "whole")


def test_the_untrained_policy_is_in_the_summary_though_its_line_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(f"--out={tmp_path / 'whole'}") == 0
    interrupted_at(tmp_path / "run", 12, monkeypatch)
    file = tmp_path / "run" / "metrics.jsonl"
    file.write_text("\n".join(["lost", *file.read_text().splitlines()[1:]]) + "\n")
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert summary(tmp_path / "run") == summary(tmp_path / "whole")
    assert [row["step"] for row in rows(tmp_path / "run")] == [8, 16, 20]


@pytest.mark.slow
@pytest.mark.parametrize("first", [7, 8, 12])
def test_an_extended_run_is_one_that_was_asked_for_more_from_the_start(
    tmp_path: Path, first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--lr-half-life=10", "--epsilon=0.3", "--epsilon-steps=15", "--replay=50"]
    assert train(*flags, f"--out={tmp_path / 'whole'}") == 0
    folder = tmp_path / "run"
    assert train(*flags, f"--steps={first}", f"--out={folder}") == 0
    assert rows(folder)[-1]["step"] == first
    assert main(["resume", str(folder), "--steps", "20"]) == 0
    assert rows(folder) == rows(tmp_path / "whole")
    assert summary(folder) == summary(tmp_path / "whole")
    saved = [
        torch.load(f / "checkpoints" / "last.pt", weights_only=True)["state"]["trainer"]["policy"]
        for f in (folder, tmp_path / "whole")
    ]
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])
    said = refused(capsys, ["resume", str(folder), "--steps", "19"])
    assert "is at step 20 already" in said
    assert yaml.safe_load((folder / "config.yaml").read_text())["train"]["steps"] == 20
    assert main(["resume", str(folder)]) == 0
    assert f"gflow resume {folder} --steps N" in capsys.readouterr().out
    assert rows(folder) == rows(tmp_path / "whole")


def test_a_run_that_stopped_may_be_asked_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_at(tmp_path / "run", 12, monkeypatch)  # saved at 10
    assert main(["resume", str(tmp_path / "run"), "--steps", "10"]) == 0
    assert [row["step"] for row in rows(tmp_path / "run")] == [0, 8, 10]
    assert summary(tmp_path / "run")["metrics"]["tv"] == rows(tmp_path / "run")[-1]["tv"]
    assert train("--steps=10", f"--out={tmp_path / 'short'}") == 0
    assert rows(tmp_path / "run") == rows(tmp_path / "short")


def test_another_precision_is_refused(tmp_path: Path) -> None:
    train(f"--out={tmp_path / 'run'}")
    torch.set_default_dtype(torch.float64)
    with pytest.raises(
        CheckpointError, match=r"dtype was 'torch\.float32' and is 'torch\.float64'"
    ):
        Run.resume(tmp_path / "run")
    with pytest.raises(CheckpointError, match="dtype"):
        Run.open(tmp_path / "run")
    torch.set_default_dtype(torch.float32)
    Run.resume(tmp_path / "run").close()


# ---------------------------------------------------------------------- which folder


@pytest.mark.slow
def test_other_settings_go_to_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    assert train() == 0
    assert capsys.readouterr().err == ""
    assert train("--lr=0.01") == 0
    assert capsys.readouterr().err == (
        "runs/hypergrid-tb-0 holds another run (train.lr is 0.001 there and 0.01 here): this one "
        "goes to runs/hypergrid-tb-0-2.\n"
    )
    assert train("--steps=21") == 0
    said = capsys.readouterr().err
    assert "goes to runs/hypergrid-tb-0-3" in said
    assert "To extend that one: gflow resume runs/hypergrid-tb-0 --steps N." in said
    assert sorted(p.name for p in runs.iterdir()) == [
        "hypergrid-tb-0",
        "hypergrid-tb-0-2",
        "hypergrid-tb-0-3",
    ]
    said = refused(capsys, ["train", "hypergrid", *SMALL, "--lr=0.01"])
    assert "runs/hypergrid-tb-0-2 holds a run already: this one, and it is finished" in said
    assert "--steps N` (N in all, more than 20)" in said
    assert train("--lr=0.01", "--overwrite=True") == 0
    assert (
        yaml.safe_load((runs / "hypergrid-tb-0" / "config.yaml").read_text())["train"]["lr"] == 0.01
    )


def test_a_run_of_the_same_settings_that_stopped_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_at(tmp_path / "run", 12, monkeypatch)
    said = refused(capsys, ["train", "hypergrid", *SMALL, f"--out={tmp_path / 'run'}"])
    assert f"stopped before its end. Continue it with `gflow resume {tmp_path / 'run'}`" in said
    said = refused(capsys, ["train", "hypergrid", *SMALL, "--lr=1", f"--out={tmp_path / 'run'}"])
    assert "with other settings: train.lr is 0.001 there and 1.0 here" in said
    assert f"`gflow resume {tmp_path / 'run'}`" in said
    said = refused(
        capsys, ["train", "hypergrid", *SMALL, "--steps=21", f"--out={tmp_path / 'run'}"]
    )
    assert f"Continue that one with `gflow resume {tmp_path / 'run'} --steps N`" in said


def test_the_seed_is_that_of_python_and_numpy_too(tmp_path: Path) -> None:
    drawn: list[tuple[float, float]] = []
    for seed in ("3", "3", "4"):
        folder = tmp_path / str(len(drawn))
        assert train(f"--seed={seed}", f"--out={folder}", "--steps=1") == 0
        drawn.append((random.random(), float(np.random.rand())))
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[2][0]
    assert drawn[0][1] != drawn[2][1]


def test_runs_that_start_together_do_not_collide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / "hypergrid-tb-0"
    folder.mkdir(parents=True)
    lock = FolderLock(folder)  # of one that has not yet written what it is
    assert train() == 0
    assert "it is just starting" in capsys.readouterr().err
    assert (Path("runs") / "hypergrid-tb-0-2" / "summary.json").exists()
    lock.release()


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_a_tracker_that_is_missing_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    module = {"wandb": "wandb", "tensorboard": "torch.utils.tensorboard"}[name]
    monkeypatch.setitem(sys.modules, module, None)
    words = ["train", "hypergrid", *SMALL, f"--out={tmp_path / 'a' / 'run'}", "--track", name]
    assert f"needs the package '{name}'" in refused(capsys, words)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what cannot be written


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("file", ["checkpoints/last.pt", "metrics.jsonl"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_cannot_be_written_is_one_message_and_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    number: int,
) -> None:
    """The third write of a file fails; the run goes on from its checkpoint to the same numbers."""
    assert train(f"--out={tmp_path / 'whole'}") == 0
    folder, writes, open_ = tmp_path / "run", [0], Path.open

    class Full:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *rest: object) -> None:
            self.inner.close()

        def write(self, data: Any) -> int:
            self.inner.write(data[: len(data) // 2])
            self.inner.flush()
            raise error(number)

    def opened(self: Path, *args: Any, **kwargs: Any) -> Any:
        inner = open_(self, *args, **kwargs)
        if self.name.startswith(Path(file).name) and args and args[0] in ("wb", "a"):
            writes[0] += 1
            if writes[0] == 3:
                return Full(inner)
        return inner

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        said = refused(capsys, ["train", "hypergrid", *SMALL, f"--out={folder}"])
    assert f"{folder / file} cannot be written: {os.strerror(number)}." in said
    assert "The checkpoint of step 5 is whole." in said
    assert f"continue with `gflow resume {folder}`" in said
    assert (said.count("Make room") == 1) == (number == errno.ENOSPC)
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["last.pt"]
    assert [row["step"] for row in rows(folder)] == ([0] if file == "metrics.jsonl" else [0, 8])
    assert main(["resume", str(folder)]) == 0
    assert rows(folder) == rows(tmp_path / "whole")
    assert summary(folder) == summary(tmp_path / "whole")


@pytest.mark.slow
def test_a_limit_of_the_system_on_files_ends_in_one_line(starter: Any, tmp_path: Path) -> None:
    """A real error of a real write, in a process of its own."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "from gflow.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    root = str(Path(run_module.__file__).parents[2])
    words = [
        "train",
        "hypergrid",
        *SMALL,
        "--replay=2000",
        "--steps=400",
        f"--out={tmp_path / 'run'}",
    ]
    done = starter.run(["-c", code, *words], env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert (
        "checkpoints/last.pt cannot be written: File too large. The checkpoint of step"
        in done.stderr
    )
    assert main(["resume", str(tmp_path / "run")]) == 0


def test_a_folder_that_cannot_be_written_at_all_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "hypergrid", *SMALL, f"--out={tmp_path / 'a' / 'run'}"]

    def full(*args: Any) -> None:
        raise error(errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = refused(capsys, words)
    assert "config.yaml cannot be written: No space left on device. Nothing was saved yet." in said
    assert "--out DIR" in said
    assert list(tmp_path.iterdir()) == []
    train(f"--out={tmp_path / 'run'}")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *args: full())
        said = refused(capsys, ["resume", str(tmp_path / "run")])
        assert "Make it writable, or resume a copy of it elsewhere" in said
        assert main(["sample", str(tmp_path / "run")]) == 0


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_files_are_json_whatever_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """As other programs read them, which know no NaN."""
    monkeypatch.setattr(
        run_module, "evaluate_run", lambda *a: {**evaluate_run(*a), "odd": value, "tv": value}
    )
    folder = tmp_path / "run"
    assert train(f"--out={folder}") == 0

    def never(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    text = (folder / "summary.json").read_text()
    found = json.loads(text, parse_constant=never)
    assert (
        found["metrics"]["odd"]
        == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    )
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert len([json.loads(line, parse_constant=never) for line in lines]) == 4
    for row in rows(folder):
        assert row["odd"] == pytest.approx(value, nan_ok=True)
    assert main(["resume", str(folder), "--steps", "22"]) == 0
    assert [row["step"] for row in rows(folder)] == [0, 8, 16, 22]


def test_a_configuration_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("", "[1]", "a: [", "\x00", "environment: hypergrid\ntrain: 3\n"):
        (tmp_path / "config.yaml").write_text(text)
        said = refused(capsys, ["resume", str(tmp_path)])
        assert "config.yaml" in said or "configuration" in said
    with pytest.raises(ConfigError):
        Run.open(tmp_path)

"""Sweeps, run as a user runs them: killed, interrupted, continued; their table and picture."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gflow.cli.main import main
from gflow.cli.sweep.picture import _panels, _rows
from gflow.cli.sweep.points import Point, sweep_points
from gflow.cli.sweep.run import PLAN, _label, _metric_of, _plan
from gflow.cli.sweep.table import Comparison
from gflow.cli.train_flags import parse
from gflow.errors import ConfigError
from gflow.tasks.pictures import pyplot
from gflow.tasks.registry import task_class
from gflow.training.json_lines import read_jsonl

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "sweeps").glob("*.yaml"))
FLAGS = ["--side=4", "--width=16", "--eval-every=50", "--eval-samples=50", "--checkpoint-every=7"]
COMMAND = ["-m", "gflow"]


def sweep_file(folder: Path, method: str, **parameters: Any) -> Path:
    spec = {
        "method": method,
        "metric": {"name": "tv", "goal": "minimize"},
        "command": ["gflow", "train", "hypergrid", *FLAGS, "${args}"],
        "parameters": parameters,
        "run_cap": 2,
    }
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(spec))
    return file


def wait_for(process: Any, path: Path, lines: int) -> None:
    """Until a run under `process` has reported so often."""
    limit = time.monotonic() + 120
    while not (path.exists() and path.read_text().count("\n") >= lines):
        assert time.monotonic() < limit, f"no {path}"
        assert process.poll() is None, "the sweep ended too early"
        time.sleep(0.005)


@contextmanager
def answering_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile answer to Ctrl-C: shells have their background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = read_jsonl(folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "timing"} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "random"])
def test_killed_sweep_goes_on(starter: Any, tmp_path: Path, method: str) -> None:
    """kill -9 in the second run: the first is not repeated, the second resumed to equal numbers."""
    lr = {"values": [1e-3, 3e-3]} if method == "grid" else {"min": 1e-3, "max": 1e-2}
    file = sweep_file(tmp_path, method, lr=lr, steps={"value": 400})
    out = tmp_path / "out"
    line = [*COMMAND, "sweep", str(file), "--out", str(out)]
    process = starter.start(line)
    wait_for(process, out / "001" / "metrics.jsonl", 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first, second = out / "000" / "summary.json", out / "001" / "metrics.jsonl"
    before = first.stat().st_mtime_ns
    assert not (out / "results.csv").exists()
    time.sleep(1.0)  # the run that was under way has noticed
    size = second.stat().st_size
    time.sleep(1.0)
    assert second.stat().st_size == size
    assert not (out / "001" / "summary.json").exists()

    done = starter.run(line)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert said.count("done before") == 1
    assert said.count("resumed") == 1
    assert first.stat().st_mtime_ns == before
    alone = tmp_path / "alone"
    point = sweep_points(yaml.safe_load(file.read_text()))[1]
    flags = [*FLAGS, *(f"--{k}={v}" for k, v in point.items()), "--quiet=True"]
    done = starter.run([*COMMAND, "train", "hypergrid", *flags, f"--out={alone}"])
    assert done.returncode == 0, done.stderr
    assert rows_of(out / "001") == rows_of(alone)
    assert [p.name for p in out.glob("*.csv")] == ["results.csv"]
    assert [p.name for p in out.glob("*.png")] == ["results.png"]
    assert "<h1>out</h1>" in (out / "report.html").read_text()
    table = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert list(table[0]) == ["run", "lr", "tv", "seconds"]
    values = [float(row["tv"]) for row in table]
    assert len(values) == 2
    assert values == sorted(values)
    last = {row["run"]: float(row["tv"]) for row in table}["001"]
    assert last == rows_of(alone)[-1]["tv"]


@pytest.mark.slow
def test_interrupted_sweep_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, "grid", steps={"values": [100_000]})
    out = tmp_path / "out"
    line = [sys.executable, *COMMAND, "sweep", str(file), "--out", str(out)]
    with answering_ctrl_c():
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        wait_for(process, out / "000" / "metrics.jsonl", 2)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()  # and with it, on its leash, the run
        process.wait()
    assert process.returncode == 130
    assert f"Go on with: gflow sweep {file} --out {out}" in said
    assert (out / "000" / "checkpoints" / "last.pt").exists()


@pytest.mark.slow
def test_a_failing_run_is_named_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = {"values": ["tbb", "tb"]}
    file = sweep_file(tmp_path, "grid", objective=names, steps={"value": 10})
    assert main(["sweep", str(file), "--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr()
    assert "There is no objective named 'tbb'" in said.err
    assert "failed: 000" in said.err
    table = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert [(row["run"], row["tv"] != "") for row in table] == [("001", True), ("000", False)]


@pytest.mark.slow
def test_a_run_ends_with_its_parent() -> None:
    """Else a killed sweep would leave a run behind that writes into its folder."""
    line = [sys.executable, "-m", "gflow.cli.leash", "train", "hypergrid", "--help"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.wait(60) == 0
    code = "from gflow.cli.leash import watch; import time; watch(); time.sleep(60)"
    line = [sys.executable, "-c", code]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 137


def test_a_program_on_a_leash_does_not_wait_for_torch() -> None:
    code = "import sys, gflow.cli.leash; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------- table and picture


def write_runs(out: Path, values: list[float | None]) -> None:
    for number, value in enumerate(values):
        folder = out / f"{number:03d}"
        folder.mkdir(parents=True)
        if value is not None:
            text = {"metrics": {"tv": value, "loss": 1.0}, "timing": {"seconds": 2.0}}
            (folder / "summary.json").write_text(json.dumps(text))


def grid(**axes: list[Any]) -> list[Point]:
    return sweep_points({"parameters": {name: {"values": v} for name, v in axes.items()}})


def test_seeds_are_put_together(tmp_path: Path) -> None:
    write_runs(tmp_path, [0.3, 0.5, 0.1, 0.1, None, None])
    points = grid(objective=["tb", "db", "fm"], seed=[0, 1])
    comparison = Comparison.read(tmp_path, points, "tv", maximize=False)
    rows = comparison.rows()
    assert [row["objective"] for row in rows] == ["db", "tb", "fm"]
    assert [row["runs"] for row in rows] == ["002 003", "000 001", "004 005"]
    assert [row["seeds"] for row in rows] == [2, 2, 0]
    assert rows[1]["tv"] == pytest.approx(0.4)
    assert rows[1]["tv_std"] == pytest.approx(0.02**0.5)
    assert rows[2]["tv"] is None
    assert comparison.show().splitlines()[3].split() == "004 005 fm - - 0 -".split()
    better = Comparison.read(tmp_path, points, "tv", maximize=True).rows()
    assert [row["objective"] for row in better] == ["tb", "db", "fm"]


def test_text_with_commas_stays_one_cell(tmp_path: Path) -> None:
    write_runs(tmp_path, [0.5])
    comparison = Comparison.read(tmp_path, [{"goal": "a,b"}, {"goal": "c"}], "tv", maximize=False)
    comparison.write(tmp_path / "results.csv")
    assert "a,b" in next(csv.reader((tmp_path / "results.csv").read_text().splitlines()[1:]))


def test_the_picture_groups_by_what_was_swept(tmp_path: Path) -> None:
    write_runs(tmp_path, [0.3, 0.5, 0.1, 0.2, 0.9, 0.8, 0.7, 0.6, None, None, None, None])
    points = grid(objective=["tb", "db", "fm"], backward=["uniform", "tlm"], seed=[0, 1])
    comparison = Comparison.read(tmp_path, points, "tv", maximize=False)
    axes = comparison.varied()
    assert axes == {"objective": ["tb", "db", "fm"], "backward": ["uniform", "tlm"]}
    done = [s for s in comparison.settings if s.values]
    plt = pyplot()
    figure = _rows(plt, comparison, done, axes)
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["tb", "db"]
    assert {t.get_text() for t in axis.get_legend().get_texts()} == {"uniform", "tlm"}
    dots = [line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]
    assert sorted(x for line in dots for x in line.get_xdata()) == sorted(comparison.values)
    for bar in axis.containers:  # one standard deviation to both sides of each mean
        (mean,), (((low, _), (high, _)),) = bar[0].get_xdata(), bar[2][0].get_segments()
        assert mean - low == pytest.approx(high - mean)
        assert any(high - mean == pytest.approx(s.spread) for s in done)
    plt.close(figure)
    comparison.plot(tmp_path / "results.png", scattered=False)
    assert (tmp_path / "results.png").stat().st_size > 5000


def test_random_draws_get_an_axis_per_number(tmp_path: Path) -> None:
    parameters = {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "backward": {"values": ["uniform", "tlm"]},
        "epsilon": {"min": 0.0, "max": 1.0},
    }
    points = sweep_points({"method": "random", "run_cap": 12, "parameters": parameters})
    write_runs(tmp_path, [0.01 * (n + 1) for n in range(12)])
    comparison = Comparison.read(tmp_path, points, "tv", maximize=False)
    plt = pyplot()
    figure = _panels(plt, comparison, comparison.settings, comparison.varied())
    assert [axis.get_xlabel() for axis in figure.axes] == ["lr", "epsilon", "backward"]
    assert figure.axes[0].get_xscale() == "log"
    shown = sum(len(line.get_xdata()) for line in figure.axes[0].lines)
    assert shown == 12
    plt.close(figure)


# ---------------------------------------------------------------------- refusals


def test_a_folder_is_for_one_sweep(tmp_path: Path) -> None:
    words, points = ["train", "hypergrid"], grid(objective=["tb", "db"])
    _plan(tmp_path / "out", words, points)
    assert (tmp_path / "out" / PLAN).exists()
    _plan(tmp_path / "out", words, points)
    _plan(tmp_path / "out", words, [*points, {"objective": "fm"}])  # may grow
    with pytest.raises(ConfigError, match="it has 3 runs and this one 2"):
        _plan(tmp_path / "out", words, points)
    with pytest.raises(ConfigError, match="run 001 differs"):
        _plan(tmp_path / "out", words, grid(objective=["tb", "mdb", "fm"]))
    with pytest.raises(ConfigError, match="the command differs"):
        _plan(tmp_path / "out", ["train", "sets"], [*points, {"objective": "fm"}])


def test_a_metric_that_runs_do_not_report(tmp_path: Path) -> None:
    write_runs(tmp_path, [0.5])
    with pytest.raises(ConfigError, match="Did you mean 'loss'.*one of tv, loss"):
        _metric_of(tmp_path / "000", "los")
    assert _metric_of(tmp_path / "000", "tv") == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_sweeps_of_known_options(file: Path) -> None:
    spec = yaml.safe_load(file.read_text())
    points = sweep_points(spec)
    assert len(points) >= 6
    cls = task_class(spec["command"][2])
    fixed = [word for word in spec["command"][3:] if not word.startswith("$")]
    for point in points:
        config = parse(cls, [*fixed, *(f"--{key}={value}" for key, value in point.items())])
        env = config.task.environment()
        assert config.build_objective(env).name in point["objective"]


def test_runs_are_told_apart_by_what_varies() -> None:
    points: list[Point] = [{"lr": 0.123456789, "steps": 3}, {"lr": 0.2, "steps": 3}]
    assert _label(points[0], points) == "lr=0.1235"


# ---------------------------------------------------------------------- scripts of one's own

SCRIPT = """
import argparse, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--how", default="print")
args = parser.parse_args()
value = (args.x - 2) ** 2
print("some words first")
if args.how == "print":
    print(json.dumps({"loss": value}))
elif args.how == "file":
    with open(os.path.join(os.environ["GFLOW_OUT"], "summary.json"), "w") as file:
        json.dump({"metrics": {"loss": value}}, file)
elif args.how == "fail":
    sys.exit("no luck")
"""


def script_sweep(folder: Path, **parameters: Any) -> list[str]:
    (folder / "mine.py").write_text(SCRIPT)
    spec = {
        "program": str(folder / "mine.py"),
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {name: {"values": values} for name, values in parameters.items()},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(spec))
    return ["sweep", str(folder / "sweep.yaml"), "--out", str(folder / "out")]


@pytest.mark.slow
def test_a_script_reports_by_its_last_line_or_by_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = script_sweep(tmp_path, x=[0.0, 2.5], how=["print", "file"])
    assert main(words) == 0
    table = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    found = {(row["x"], row["how"]): float(row["loss"]) for row in table}
    assert found == {
        ("2.5", "print"): 0.25, ("2.5", "file"): 0.25, ("0.0", "print"): 4, ("0.0", "file"): 4,
    }  # fmt: skip
    assert "some words first" in (tmp_path / "out" / "000" / "output.txt").read_text()
    capfd.readouterr()
    assert main(words) == 0
    assert capfd.readouterr().out.count("done before") == 4


@pytest.mark.slow
def test_scripts_that_fail_or_say_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(script_sweep(tmp_path, x=[1.0], how=["silent", "fail", "print"])) == 1
    said = capfd.readouterr().err
    assert "the last line that it printed is no JSON object of metrics" in said
    assert "no luck" in said
    assert "failed: 000, 001;" in said


@pytest.mark.slow
def test_a_script_ends_with_the_sweep(starter: Any, tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    (tmp_path / "mine.py").write_text(
        f"import time, pathlib\nfor n in range(10**6):\n"
        f"    pathlib.Path({str(beat)!r}).write_text(str(n) + chr(10)); time.sleep(0.02)\n"
    )
    spec = {"program": str(tmp_path / "mine.py"), "parameters": {"x": {"value": 1}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(spec))
    line = [*COMMAND, "sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out")]
    process = starter.start(line)
    wait_for(process, beat, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # the leash has noticed
    last = beat.read_text()
    time.sleep(0.5)
    assert beat.read_text() == last


@pytest.mark.slow
def test_files_of_the_working_folder_are_no_modules_of_python(starter: Any, tmp_path: Path) -> None:
    """A `queue.py` or `pickle.py` beside the sweep file must not run."""
    for name in ("queue", "pickle", "random", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    file = sweep_file(tmp_path, "grid", steps={"values": [3]})
    line = ["-P", *COMMAND, "sweep", str(file), "--out", str(tmp_path / "out")]
    done = starter.run(line, cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "ran").exists()

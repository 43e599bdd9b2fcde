"""Classes of a user's own on the command line: environments, tasks, objectives and others."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gflow.cli.main import main

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[3]
TRIPLES = ROOT / "examples" / "custom_environment.py"
QUICK = ["--width=32", "--eval-samples=50", "--quiet"]


class Gflow:
    """The command, run as a user runs it, where `path` is installed, so to speak."""

    def __init__(self, starter: Any) -> None:
        self.starter = starter

    def ends(
        self, *words: str, path: Path | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """What it prints, and how it ends."""
        paths = [str(p) for p in (path, ROOT) if p is not None]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done: subprocess.CompletedProcess[str] = self.starter.run(
            ["-m", "gflow", *words], cwd=cwd, env=env, timeout=300
        )
        return done

    def __call__(self, *words: str, path: Path | None = None, cwd: Path | None = None) -> str:
        """What it prints when all goes well."""
        done = self.ends(*words, path=path, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def gflow(starter: Any) -> Gflow:
    return Gflow(starter)


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def metrics(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


# ---------------------------------------------------------------------- a bare environment


def test_an_environment_of_ones_own(gflow: Gflow, tmp_path: Path) -> None:
    """The example's class as it is: trained, evaluated, sampled and resumed from elsewhere."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    shutil.copy(TRIPLES, work / "mine.py")
    flags = ["--n", "6", "--objective", "subtb", "--steps", "250", "--out", str(tmp_path / "run")]
    gflow("train", "mine.py:Triples", *flags, *QUICK, "--batch-size=32", cwd=work)
    found = metrics(tmp_path / "run")
    assert found["tv"] < 0.05
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["environment"] == f"{work / 'mine.py'}:Triples"
    assert config["task"] == {"n": 6, "width": 32, "depth": 2, "backward": "learned"}
    run = str(tmp_path / "run")
    numbers = json.loads(gflow("eval", run, "--samples", "50", cwd=elsewhere))
    assert numbers["metrics"]["tv"] == pytest.approx(found["tv"])
    rows = [
        json.loads(line) for line in gflow("sample", run, "-n", "5", cwd=elsewhere).splitlines()
    ]
    assert len(rows) == 5
    for row in rows:
        bits = json.loads(row["object"])
        assert (len(bits), sum(bits)) == (6, 3)
    assert "300 steps" in gflow("resume", run, "--steps", "300", cwd=elsewhere)
    (work / "mine.py").rename(work / "moved.py")
    done = gflow.ends("sample", run)
    assert done.returncode == 2
    assert f"There is no file {work / 'mine.py'}. If it has moved, put it back" in done.stderr
    assert "in its config.yaml" in done.stderr
    config["environment"] = f"{work / 'moved.py'}:Triples"
    (tmp_path / "run" / "config.yaml").write_text(
        (tmp_path / "run" / "config.yaml").read_text().replace("mine.py", "moved.py")
    )
    assert len(gflow("sample", run, "-n", "2").splitlines()) == 2


@pytest.mark.slow
def test_a_sweep_over_an_environment_of_ones_own(gflow: Gflow, tmp_path: Path) -> None:
    shutil.copy(TRIPLES, tmp_path / "mine.py")
    spec = {
        "command": ["gflow", "train", "mine.py:Triples", "${args}"],
        "method": "grid",
        "metric": {"name": "tv", "goal": "minimize"},
        "parameters": {
            "n": {"values": [5, 6]},
            "objective": {"value": "subtb"},
            "subtb_lam": {"values": [0.5, 0.9]},
            "steps": {"value": 30},
            "width": {"value": 16},
        },
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(spec))
    said = gflow("sweep", "sweep.yaml", "--out", "runs", cwd=tmp_path)
    assert "tv" in said
    decays = set()
    for number in range(4):
        config = yaml.safe_load((tmp_path / "runs" / f"{number:03d}" / "config.yaml").read_text())
        assert config["environment"].endswith("mine.py:Triples")
        assert metrics(tmp_path / "runs" / f"{number:03d}")["tv"] < 1
        decays.add(config["objective"]["lam"])
    assert decays == {0.5, 0.9}


SHAPES = '''
"""Environments with signatures of every kind."""
from typing import Literal
import torch
from gflow import ContinuousEnvironment, Environment, FunctionReward
from custom_environment import Triples

class Options(Triples):
    """Triples with options.

    Args:
        n: How many numbers.
        scale: Of the sums.
        sums: Whether sums count.
        kind: Which of them.
        weights: One a number.
        width: Taken by the environment.
        hook: Called by nobody.
    """

    def __init__(
        self,
        n: int = 5,
        scale: float = 4.0,
        sums: bool = True,
        kind: Literal["low", "high"] = "high",
        weights: tuple[float, ...] = (),
        width: int = 3,
        hook: object = None,
    ) -> None:
        super().__init__(n)
        self.given = (n, scale, sums, kind, weights, width, hook)
        if scale < 0:
            raise ValueError("scale is a length")

class Needs(Triples):
    def __init__(self, n: int, table: torch.Tensor) -> None:
        super().__init__(n)

class Featureless(Triples):
    def __init__(self, n: int = 5) -> None:
        super().__init__(n)
        self.feature_sizes = ()

class Told(Triples):
    condition_dim = 1

    def __init__(self, n: int = 5) -> None:
        super().__init__(n)

class Undone(Environment[torch.Tensor]):
    pass

class Reward: pass

number = 3
'''


@pytest.fixture
def shapes(tmp_path: Path) -> str:
    shutil.copy(TRIPLES, tmp_path / "custom_environment.py")
    file = tmp_path / f"shapes_{tmp_path.name}.py"
    file.write_text(SHAPES)
    return str(file)


def test_flags_come_from_the_signature(shapes: str, capsys: pytest.CaptureFixture[str]) -> None:
    from gflow.cli.train_flags import parse
    from gflow.tasks.registry import task_class

    cls = task_class(f"{shapes}:Options")
    words = [
        "--n=6",
        "--scale=2",
        "--sums=False",
        "--kind=low",
        "--weights",
        "1",
        "-2",
        "--width=7",
    ]
    config = parse(cls, [*words, "--policy-width=9", "--backward=uniform"])
    env: Any = config.task.environment()
    assert env.given == (6, 2.0, False, "low", (1.0, -2.0), 7, None)
    policy: Any = config.task.policy(env, config.build_objective(env).needs)
    assert (policy.bias.shape[0], policy.backward) == (9, "uniform")
    assert config.backward.name == "uniform"
    assert main(["train", f"{shapes}:Options", "--help"]) == 0
    said = capsys.readouterr().out
    assert "Triples with options." in said
    assert "How many numbers." in said
    assert "--hook" not in said


def test_what_cannot_be_a_task_is_refused_with_the_reason(
    shapes: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = f"--out={tmp_path / 'x'}"
    said = complaint(capsys, "train", f"{shapes}:Needs", "--n=5", out)
    assert "its argument 'table' is Tensor, which no flag can express, and has no default" in said
    assert "write a Task" in said
    said = complaint(capsys, "train", f"{shapes}:Featureless", out)
    assert "There is no policy for Featureless by default: it declares no `feature_sizes`" in said
    assert "or write a Task whose `policy(env, needs)`" in said
    said = complaint(capsys, "train", f"{TRIPLES}:Triples", out)
    assert "--n must be given" in said
    said = complaint(capsys, "train", f"{shapes}:Options", "--scale=-1", out)
    assert "Options(n=5, scale=-1.0" in said
    assert "cannot be built: ValueError: scale is a length" in said
    said = complaint(capsys, "train", f"{shapes}:Told", "--objective=db", out)
    assert "Told reads conditions, and nothing says which ones to train on" in said
    assert "is not complete: it does not define" in complaint(capsys, "train", f"{shapes}:Undone")
    assert "a class of another kind" in complaint(capsys, "train", f"{shapes}:Reward")
    assert "number in" in complaint(capsys, "train", f"{shapes}:number")
    said = complaint(capsys, "train", f"{shapes}:Optoins")
    assert "has no class 'Optoins'" in said
    assert "It holds Options, Needs, Featureless" in said
    assert "must be followed by a class" in complaint(capsys, "train", shapes)
    assert "There is no file" in complaint(capsys, "train", str(tmp_path / "none.py:A"))
    assert "There is no module 'no_such.module'" in complaint(capsys, "train", "no_such.module:A")
    (tmp_path / "broken.py").write_text("def f(:\n")
    said = complaint(capsys, "train", str(tmp_path / "broken.py:A"))
    assert "cannot be imported: SyntaxError" in said
    assert "(line 1)" in said
    (tmp_path / "fails.py").write_text("x = 1\n1 / 0\n")
    said = complaint(capsys, "train", str(tmp_path / "fails.py:A"))
    assert "ZeroDivisionError: division by zero (line 2)" in said
    assert not (tmp_path / "x").exists()


# ---------------------------------------------------------------------- a task of a package


PACKAGE = '''
"""A package of somebody else."""
from dataclasses import dataclass
from gflow.bounds import Count
from gflow.envs import HyperGrid
from gflow.tasks.task import Context, Task
from gflow.training.config import TrainConfig

@dataclass(frozen=True)
class LadderTask(Task[HyperGrid]):
    """A grid of one dimension.

    Attributes:
        rungs: How long it is.
    """

    train = TrainConfig(steps=60, batch_size=8)
    rungs: Count = 5

    def environment(self) -> HyperGrid:
        """The grid."""
        return HyperGrid(1, self.rungs)

    def metrics(self, context: Context, objects) -> dict[str, float]:
        """The highest rung."""
        return {"highest": float(objects.max())}

class Forgot(Task[HyperGrid]):
    rungs: int = 5

    def environment(self) -> HyperGrid:
        return HyperGrid(1, self.rungs)
'''


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder as pip leaves it: a package, and what it says about itself."""
    site = tmp_path / "site"
    (site / "ladders").mkdir(parents=True)
    (site / "ladders" / "__init__.py").write_text("")
    (site / "ladders" / "tasks.py").write_text(PACKAGE)
    about = site / "ladders-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ladders\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[gflow.tasks]\nladder = ladders.tasks:LadderTask\nforgot = ladders.tasks:Forgot\n"
        "gone = ladders.tasks:Gone\n"
    )
    return site


def test_a_task_of_an_installed_package(gflow: Gflow, installed: Path, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    assert "A grid of one dimension." in gflow("train", "ladder", "--help", path=installed)
    gflow("train", "ladder", "--rungs=6", *QUICK[1:], f"--out={run}", path=installed)
    found = metrics(tmp_path / "run")
    assert found["highest"] <= 5
    assert found["tv"] < 0.5
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["environment"], config["task"]) == ("ladder", {"rungs": 6})
    assert len(gflow("sample", run, "-n", "3", path=installed).splitlines()) == 3
    by_module = ["train", "ladders.tasks:LadderTask", "--steps=2", *QUICK[1:]]
    gflow(*by_module, f"--out={tmp_path / 'b'}", path=installed)
    assert metrics(tmp_path / "b")["highest"] <= 4


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("forgot", "has annotations that are no fields: rungs. Put @dataclass(frozen=True) above"),
        ("gone", "The environment 'gone' of ladders: ladders.tasks has no class 'Gone'"),
        ("ladders", "Did you mean 'ladder'?"),
    ],
)
def test_packages_that_are_not_right(gflow: Gflow, installed: Path, name: str, said: str) -> None:
    done = gflow.ends("train", name, path=installed)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_is_not_right_spoils_no_list(gflow: Gflow, installed: Path) -> None:
    said = gflow("train", "--help", path=installed)
    assert "  ladder           A grid of one dimension." in said
    assert "  gone             (The environment 'gone' of ladders: " in said
    assert "  hypergrid    " in said


# ---------------------------------------------------------------------- one file and no other edit


OBJECTIVE = '''
"""Trajectory balance with a factor."""
from torch import Tensor
from gflow.objectives.tb import TrajectoryBalance
from gflow.terms import FlowTerms

class ScaledBalance(TrajectoryBalance):
    """Trajectory balance whose residuals are scaled.

    Args:
        factor: What residuals are multiplied by.
        settings: Those of trajectory balance.
    """

    name = "scaled"

    def __init__(self, factor: float = 1.0, **settings: object) -> None:
        super().__init__(**settings)
        self.factor = factor

    def residual(self, terms: FlowTerms) -> Tensor:
        return self.factor * super().residual(terms)
'''
BEHAVIOUR = '''
"""Fresh trajectories of two policies' worth."""
from gflow.behaviours.base import OnPolicy

class Doubled(OnPolicy):
    """Each batch in two halves.

    Args:
        parts: How many.
    """

    name = "doubled"

    def __init__(self, parts: int = 2) -> None:
        self.parts = parts
'''
BACKWARD = '''
"""Uniform under another name."""
from gflow.backward.kinds import Fixed

class Even(Fixed):
    """Uniform over the parents, once more.

    Args:
        note: Kept.
    """

    name, head = "even", "uniform"

    def __init__(self, note: str = "") -> None:
        self.note = note
'''


@pytest.mark.slow
def test_a_new_part_is_one_file(gflow: Gflow, tmp_path: Path) -> None:
    """Dropped into its folder, a part is listed, has flags, trains, resumes and is swept."""
    for package in ("gflow", "envs", "objectives"):
        skip = shutil.ignore_patterns("__pycache__", "envs", "objectives")
        to = (
            tmp_path / "site" / "gflow"
            if package == "gflow"
            else tmp_path / "site" / "gflow" / package
        )
        shutil.copytree(ROOT / package, to, ignore=skip if package == "gflow" else None)
    site = tmp_path / "site"
    (site / "gflow" / "objectives" / "scaled.py").write_text(OBJECTIVE)
    (site / "gflow" / "behaviours" / "doubled.py").write_text(BEHAVIOUR)
    (site / "gflow" / "backward" / "even.py").write_text(BACKWARD)

    def run(*words: str) -> str:
        return gflow(*words, path=site, cwd=tmp_path)

    listed = run("list")
    lines = [" ".join(line.split()) for line in listed.splitlines()]
    assert "scaled Trajectory balance whose residuals are scaled." in lines
    assert "doubled Each batch in two halves." in lines
    head = listed.partition("which go together")[2].splitlines()[1]
    assert "scaled" in head.split()
    flags = ["--objective=scaled", "--behaviour=doubled", "--backward=even"]
    said = run("train", "hypergrid", *flags, "--help")
    for flag in ("--factor", "--log-z", "--parts", "--backward-note"):
        assert flag in said
    small = ["--side=4", "--width=16", "--steps=40", "--eval-samples=20", "--quiet"]
    more = ["--factor=0.5", "--parts=3", "--backward-note=x", "--log-z=1", "--out=run"]
    run("train", "hypergrid", *small, *flags, *more)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["objective"] == {"name": "scaled", "factor": 0.5, "log_z": 1.0}
    assert config["behaviour"] == {"name": "doubled", "parts": 3}
    assert config["backward"] == {"name": "even", "note": "x"}
    assert "45 steps" in run("resume", "run", "--steps=45")
    spec = {
        "command": ["gflow", "train", "hypergrid", "${args}"],
        "metric": {"name": "tv", "goal": "minimize"},
        "method": "grid",
        "parameters": {
            "objective": {"value": "scaled"},
            "factor": {"values": [0.5, 2.0]},
            "steps": {"value": 10},
            "side": {"value": 4},
        },
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(spec))
    run("sweep", "sweep.yaml", "--out", "swept")
    for number, factor in enumerate((0.5, 2.0)):
        config = yaml.safe_load((tmp_path / "swept" / f"{number:03d}" / "config.yaml").read_text())
        assert config["objective"]["factor"] == factor
        assert metrics(tmp_path / "swept" / f"{number:03d}")["tv"] < 1


def test_an_objective_from_a_file(gflow: Gflow, tmp_path: Path) -> None:
    (tmp_path / "own_objective.py").write_text(OBJECTIVE)
    flags = ["--objective=own_objective.py:ScaledBalance", "--factor=0.5", "--scaled-log-z=1"]
    small = ["--side=4", "--width=16", "--steps=4", "--eval-samples=20", "--quiet"]
    gflow("train", "hypergrid", *flags, *small, cwd=tmp_path)
    run = tmp_path / "runs" / "hypergrid-scaled-0"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["objective"]["name"] == f"{tmp_path / 'own_objective.py'}:ScaledBalance"
    assert config["objective"]["factor"] == 0.5
    assert "tv" in json.loads(gflow("eval", str(run), "--samples=5"))["metrics"]


def test_an_option_that_is_guessed_can_be_given() -> None:
    """log Z: the task's guess by default, else what is said."""
    from gflow.cli.train_flags import parse
    from gflow.tasks.registry import task_class

    cls = task_class("bags")
    guessed, given = parse(cls, ["--objective=tb"]), parse(cls, ["--objective=tb", "--log-z=-3"])
    env = guessed.task.environment()
    objectives: list[Any] = [config.build_objective(env) for config in (guessed, given)]
    assert [float(o.log_z.value.detach()) for o in objectives] == [
        pytest.approx(guessed.task.log_z(env)),
        -3,
    ]

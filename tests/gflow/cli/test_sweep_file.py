"""Sweep files: what W&B draws is drawn, and what is not done here is refused by name."""

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from gflow.cli.main import main
from gflow.cli.sweep.distributions import DISTRIBUTIONS, settings_of
from gflow.cli.sweep.document import read_document
from gflow.cli.sweep.file import SweepFile
from gflow.cli.sweep.points import sweep_points
from gflow.errors import ConfigError

pytestmark = pytest.mark.usefixtures("undrawn")

TRAIN = ["gflow", "train", "hypergrid", "${args}"]
GOOD: dict[str, Any] = {
    "method": "grid",
    "metric": {"name": "tv", "goal": "minimize"},
    "command": TRAIN,
    "parameters": {"side": {"values": [4, 8]}},
}


def read(folder: Path, text: str | dict[str, Any]) -> SweepFile:
    file = folder / "sweep.yaml"
    file.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
    return SweepFile.read(file)


# ---------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-2.5e-3", -2.5e-3), (".5", 0.5), ("1.", 1.0),
        ("+1e+2", 100.0), ("3", 3), ("-7", -7), ("1e", "1e"), ("e-4", "e-4"), ("1e-4x", "1e-4x"),
        ("v1e5", "v1e5"), ("true", True), (".inf", math.inf),
        ("'1e-4'", "1e-4"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "a.yaml").write_text(f"x: {text}\n")
    found = read_document(tmp_path / "a.yaml")["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: grid\nmethod: random\n", "line 2, column 1: the key 'method' comes twice"),
        ("parameters:\n  lr: {value: 1}\n  lr: {value: 2}\n", "line 3, column 3: the key 'lr'"),
        ("a: [1,\n", "line 2"),
        ("", "holds nothing"),
        ("- a\n", "holds a list"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1"),
    ],
)
def test_documents_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_document(tmp_path / "a.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*none\.yaml"):
        read_document(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        read_document(tmp_path / "binary.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(tmp_path)
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfmethod: grid\n")
    assert read_document(tmp_path / "bom.yaml") == {"method": "grid"}


# ---------------------------------------------------------------------- points


def test_a_grid_in_order() -> None:
    spec = {"parameters": {"a": {"values": [1, 2]}, "b": {"value": 3}, "c": {"values": ["x", "y"]}}}
    wanted = [{"a": a, "b": 3, "c": c} for a in (1, 2) for c in "xy"]
    assert sweep_points(spec) == wanted
    assert sweep_points({**spec, "run_cap": 3}) == wanted[:3]


def test_nested_parameters_have_names_with_points() -> None:
    nested = {"optimizer": {"parameters": {"lr": {"values": [1, 2]}, "name": {"value": "adam"}}}}
    assert sweep_points({"parameters": nested}) == [
        {"optimizer.lr": lr, "optimizer.name": "adam"} for lr in (1, 2)
    ]


def test_large_grids_are_refused_and_capped_ones_are_not_listed() -> None:
    axes = {name: {"values": list(range(1000))} for name in "abcd"}
    with pytest.raises(ConfigError, match=r"1,000,000,000,000 points.*`run_cap`"):
        sweep_points({"parameters": axes})
    assert len(sweep_points({"parameters": axes, "run_cap": 5})) == 5


def test_random_points_repeat_and_grow() -> None:
    spec: dict[str, Any] = {
        "method": "random",
        "run_cap": 50,
        "parameters": {
            "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
            "n": {"min": 2, "max": 5},
            "x": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25},
            "z": {"mu": 1.0, "sigma": 0.0},
        },
    }
    points = sweep_points(spec)
    assert points == sweep_points(spec)
    assert points == sweep_points({**spec, "run_cap": 60})[:50]
    assert points != sweep_points({**spec, "seed": 1})
    assert all(1e-4 <= p["lr"] <= 1e-1 and p["n"] in (2, 3, 4, 5) for p in points)
    assert {p["x"] for p in points} == {0, 0.25, 0.5, 0.75, 1}
    assert {p["z"] for p in points} == {1.0}
    assert 10 < sum(p["lr"] < 10**-2.5 for p in points) < 40  # the median of the logarithm
    weighted = {"a": {"values": [1, 2], "probabilities": [0, 1]}}
    assert {p["a"] for p in sweep_points({**spec, "parameters": weighted})} == {2}


MEDIANS: dict[str, tuple[dict[str, Any], float]] = {
    "uniform": ({"min": 2, "max": 6}, 4.0),
    "int_uniform": ({"min": 2, "max": 6}, 4.0),
    "q_uniform": ({"min": 0, "max": 80, "q": 20}, 40.0),
    "log_uniform": ({"min": -2, "max": 4}, math.e),
    "log_uniform_values": ({"min": 0.01, "max": 100}, 1.0),
    "q_log_uniform": ({"min": 0, "max": 2 * math.log(8), "q": 1}, 8.0),
    "q_log_uniform_values": ({"min": 1, "max": 64, "q": 1}, 8.0),
    "inv_log_uniform": ({"min": -2, "max": 4}, 1 / math.e),
    "inv_log_uniform_values": ({"min": 0.01, "max": 100}, 1.0),
    "normal": ({"mu": 3, "sigma": 2}, 3.0),
    "q_normal": ({"mu": 30, "sigma": 20, "q": 10}, 30.0),
    "log_normal": ({"mu": 1, "sigma": 0.5}, math.e),
    "q_log_normal": ({"mu": math.log(50), "sigma": 0.5, "q": 10}, 50.0),
    "beta": ({"a": 4, "b": 4}, 0.5),
    "q_beta": ({"a": 4, "b": 4, "q": 0.5}, 0.5),
}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_distributions_have_the_right_median_and_spread(kind: str) -> None:
    given, median = MEDIANS[kind]
    settings, dice = settings_of("x", kind, given), random.Random(0)
    found = sorted(DISTRIBUTIONS[kind].draw(dice, settings) for _ in range(4001))
    step = given.get("q", 0.0)
    assert abs(found[2000] - median) <= max(0.12 * median, step if kind != "q_normal" else 0)
    assert found[400] < median or found[400] == found[2000] < found[-1]
    assert found[3600] > median or found[3600] == found[2000] > found[0]
    if step:
        assert all(math.isclose(x / step, round(x / step), abs_tol=1e-9) for x in found)
    if {"min", "max"} <= given.keys() and not step:
        exponents = kind in ("log_uniform", "inv_log_uniform")
        ends = [given["min"], given["max"]]
        if exponents:
            sign = -1 if kind.startswith("inv") else 1
            ends = sorted(math.exp(sign * end) for end in ends)
        assert ends[0] <= found[0] <= found[-1] <= ends[1]
        assert found[0] < ends[0] + 0.05 * (ends[1] - ends[0])


def test_the_exponents_of_log_uniform_are_of_e() -> None:
    settings = settings_of("x", "log_uniform", {"min": 2, "max": 2})
    assert DISTRIBUTIONS["log_uniform"].draw(random.Random(0), settings) == pytest.approx(math.e**2)


PARAMETERS = [
    ({"steps": 3}, "`steps: {value: 3}`"),
    ({}, "at least one parameter"),
    ({"a": {"values": "tb"}}, r"`values` of 'a' must be a list.*\[tb\].*got 'tb'"),
    ({"a": {"values": []}}, "must be a list"),
    ({"a": {"values": [1, 2, 1]}}, "holds 1 twice"),
    ({"a": {"vaules": [1]}}, "unknown key 'vaules'. Did you mean 'values'"),
    ({"a": {"value": 1, "values": [1]}}, "says `value`, and `values` beside it"),
    ({"a": {"values": [1], "min": 0}}, "`min` beside it"),
    ({"a": {"min": 0, "max": 1}}, "`method: random`"),
    ({"a": {"values": [1], "probabilities": [1.0]}}, "`probabilities` of 'a' say nothing"),
    ({"a": {"parameters": {}}}, "`a.parameters` must name"),
    ({"a": {"parameters": {"b": {"value": 1}}, "value": 2}}, "`value` beside it"),
]


@pytest.mark.parametrize(("parameters", "message"), PARAMETERS)
def test_parameters_that_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep_points({"parameters": parameters})


RANDOM = [
    ({"distribution": "?"}, "unknown distribution '?'"),
    ({"distribution": "log_unifrom", "min": 1, "max": 2}, "Did you mean 'log_uniform'"),
    ({"distribution": "uniform"}, "needs `min` and `max`"),
    ({"distribution": "uniform", "min": 0}, "needs `max`"),
    ({"distribution": "uniform", "min": 0, "max": 1, "q": 2}, "takes min, max; it was given 'q'"),
    ({"distribution": "uniform", "min": 1, "max": 0}, "min must not exceed max, got 1 and 0"),
    ({"distribution": "uniform", "min": 0, "max": math.nan}, "finite number, got nan"),
    ({"distribution": "uniform", "min": 0, "max": math.inf}, "finite number, got inf"),
    ({"distribution": "uniform", "min": "a", "max": 1}, "finite number, got 'a'"),
    ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "0 < min must hold; got 0"),
    ({"distribution": "inv_log_uniform_values", "min": -1, "max": 1}, "0 < min must hold; got -1"),
    ({"distribution": "log_uniform", "min": 0, "max": 1e4}, "use log_uniform_values"),
    ({"distribution": "int_uniform", "min": 0.5, "max": 3}, "whole numbers, got 0.5 and 3"),
    ({"distribution": "q_normal", "q": 0}, "q must be positive, got 0"),
    ({"distribution": "beta", "a": -1}, "a must be positive, got -1"),
    ({"distribution": "normal", "sigma": -1}, "sigma must not be negative, got -1"),
    ({"distribution": "categorical"}, "needs `value` or `values`"),
    ({"values": [1, 2], "probabilities": [0.5]}, "must hold 2 numbers"),
    ({"values": [1, 2], "probabilities": [0.5, math.nan]}, "must hold 2 numbers"),
    ({"values": [1, 2], "probabilities": [2, -1]}, "none negative"),
    ({"min": 1}, "needs `value`, `values`, `min` and `max`, or a `distribution`; it says min"),
]


@pytest.mark.parametrize(("parameter", "message"), RANDOM)
def test_draws_that_are_refused(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?'", r"\?'")):
        sweep_points({"method": "random", "run_cap": 2, "parameters": {"a": parameter}})


# ---------------------------------------------------------------------- the file as a whole


FILES = [
    ({"metric": {"name": "tv", "goal": "max"}}, "must be minimize or maximize, got 'max'"),
    ({"metric": {"name": "tv", "goal": "Maximize"}}, "got 'Maximize'"),
    ({"metric": {"name": "tv", "target": 0.1}}, "'target' is not done on this machine"),
    ({"metric": "tv"}, "`metric` must say a name"),
    ({"early_terminate": {"type": "hyperband"}}, "`early_terminate` is not done"),
    ({"controller": {"type": "local"}}, "`controller` is not done"),
    ({"paramters": {}}, "no section 'paramters'.* Did you mean 'parameters'"),
    ({"method": "bayes"}, "'bayes' needs W&B's server"),
    ({"method": "random"}, "needs `run_cap`"),
    ({"run_cap": 0}, "at least 1, got 0"),
    ({"run_cap": -3}, "at least 1, got -3"),
    ({"run_cap": True}, "at least 1, got True"),
    ({"run_cap": "ten"}, "at least 1, got 'ten'"),
    ({"method": "random", "run_cap": 10**9}, "at most 10000"),
    ({"method": "random", "run_cap": 1, "seed": "x"}, "`seed` must be a whole number"),
    ({"command": ["gflow", "train", "hypergrid"]}, r"has no \$\{args\}"),
    ({"command": ["gflow", "eval", "${args}"]}, "must run `gflow train ENV`, got `gflow eval`"),
    ({"command": ["gflow", "train", "hypergrid", "${arg}"]}, r"unknown macro \$\{arg\}"),
    ({"command": "gflow train hypergrid"}, "must be a list of words"),
    ({"command": ["python", "${program}", "${args}"]}, "set `program` too"),
    ({"command": ["x", "${envvar:GFLOW_NOT_SET}", "${args}"]}, r"\$GFLOW_NOT_SET, which is not"),
    ({"command": None}, "must say what it runs"),
    ({"parameters": {"out": {"values": ["a", "b"]}}}, "leave out the parameter `out`"),
    ({"parameters": {"a": {"parameters": {"lr": {"value": 1}}}, "lr": {"value": 2}}}, "both the"),
    ({"parameters": {"a": {"value": {"b": 1}}}}, "'a' is a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FILES)
def test_files_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert len(read(tmp_path, GOOD).points) == 2
    with pytest.raises(ConfigError, match=message) as refusal:
        read(tmp_path, {**GOOD, **change})
    assert "sweep.yaml" in str(refusal.value)


@pytest.mark.parametrize("text", ["", "- a", "method: grid", "command: [python, train.py]"])
def test_a_refused_file_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "sweep.yaml").write_text(text)
    assert main(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert "sweep.yaml" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        TRAIN,
        ["/opt/bin/gflow", *TRAIN[1:]],
        ["${env}", "${interpreter}", "-m", *TRAIN],
        ["python", "-m", *TRAIN],
        ["python3.11", "-P", "-m", *TRAIN],
    ],
)
def test_all_spellings_of_gflow_train(tmp_path: Path, command: list[str]) -> None:
    command_found = read(tmp_path, {**GOOD, "command": command}).command
    assert not command_found.script
    assert command_found.words == TRAIN[1:]
    line = command_found.line({"lr": 1e-4, "weights": [1, 2], "beta": None, "g.seed": 3}, Path("f"))
    assert line[:-3] == [*TRAIN[1:-1], "--lr=0.0001", "--weights", "1", "2", "--seed=3"]
    assert line[-3] == "--out=f"


def test_the_words_of_a_script_are_those_of_wandb(tmp_path: Path) -> None:
    point = {"lr": 0.1, "fast": True, "slow": False, "net.width": 3, "net.depth": 2}
    names = ("args", "args_no_hyphens", "args_no_boolean_flags", "args_no_equals", "args_json")
    script = {**GOOD, "program": "mine.py"}
    found = {}
    for name in (*names, "args_append_hydra", "args_override_hydra"):
        words = ["python", "${program}", "--to", "${out}/x", f"${{{name}}}"]
        command = read(tmp_path, {**script, "command": words}).command
        line = command.line(point, Path("f"))
        assert line[:4] == ["python", "mine.py", "--to", "f/x"]
        found[name] = line[4:]
    net = "net={'width': 3, 'depth': 2}"
    assert found["args"] == ["--lr=0.1", "--fast=True", "--slow=False", f"--{net}"]
    assert found["args_no_hyphens"] == ["lr=0.1", "fast=True", "slow=False", net]
    assert found["args_no_boolean_flags"] == ["--lr=0.1", "--fast", f"--{net}"]
    assert found["args_no_equals"][:4] == ["--lr", "0.1", "--fast", "True"]
    assert found["args_json"] == [
        '{"lr": 0.1, "fast": true, "slow": false, "net": {"width": 3, "depth": 2}}'
    ]
    assert found["args_append_hydra"][0] == "+lr=0.1"
    assert found["args_override_hydra"][0] == "++lr=0.1"
    default = read(tmp_path, {k: v for k, v in script.items() if k != "command"}).command
    assert default.script
    assert default.line(point, Path("f"))[1:3] == ["mine.py", "--lr=0.1"]


def test_points_are_those_of_the_product(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"side": [4, 8], "objective": ["tb", "db"]}
    spec = {**GOOD, "parameters": {name: {"values": v} for name, v in axes.items()}}
    wanted = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    assert read(tmp_path, spec).points == wanted

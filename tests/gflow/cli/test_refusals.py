"""What the command line refuses, and in which words; nothing of it is a traceback."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gflow.cli.main import COMMANDS, OWN_FLAGS, main
from gflow.cli.train_flags import parse
from gflow.errors import ConfigError
from gflow.tasks.flags import Flag, backward_field, chosen_parts, flags_of
from gflow.tasks.parts import REGISTRIES
from gflow.tasks.registry import TASKS
from gflow.tasks.signature import dashed, members_of_tuple, shown_type

pytestmark = pytest.mark.usefixtures("undrawn")

WRONG = ("nan", "inf", "-inf", "1e30")
SELECTED = [
    (kind, name)
    for kind in ("objective", "regression", "behaviour", "backward", "condition")
    for name in REGISTRIES[kind][0]
]


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1, "one line"
    return said.err


def numeric(flags: list[Flag]) -> list[Flag]:
    """Flags that take numbers, alone or in lists."""
    return [f for f in flags if {"INT", "FLOAT"} & set(shown_type(f.option.hint).split("|"))] + [
        f for f in flags if (members_of_tuple(f.option.hint) or [str])[0] in (int, float)
    ]


def refuse_all(cls: Any, flags: list[Flag], chosen: list[str]) -> int:
    """Every numeric flag with every wrong value; the message names the flag and the value."""
    for flag in numeric(flags):
        for name in flag.names:
            for value in WRONG:
                with pytest.raises(ConfigError) as refused:
                    parse(cls, [*chosen, f"{dashed(name)}={value}"])
                assert str(refused.value).startswith(f"{dashed(name)} must "), name
                with pytest.raises(ConfigError, match=f"^{dashed(name)} must "):
                    parse(cls, [*chosen, dashed(name), value])
    return len(numeric(flags))


@pytest.mark.parametrize("name", list(TASKS))
def test_no_number_of_a_task_may_be_absurd(name: str) -> None:
    cls = TASKS[name]
    flags = [f for f in flags_of(cls, chosen_parts(cls, {})) if f.section == "task"]
    assert refuse_all(cls, flags, []) >= 3


def test_no_number_of_training_and_run_may_be_absurd() -> None:
    cls = TASKS["hypergrid"]
    flags = [f for f in flags_of(cls, chosen_parts(cls, {})) if f.section in ("train", "run")]
    assert refuse_all(cls, flags, []) >= 20


@pytest.mark.parametrize(("kind", "name"), SELECTED, ids=[f"{k}-{n}" for k, n in SELECTED])
def test_no_number_of_a_part_may_be_absurd(kind: str, name: str) -> None:
    cls = TASKS["hypergrid"]
    field = backward_field(cls) if kind == "backward" else kind
    assert field is not None
    parts = chosen_parts(cls, {field: name})
    flags = [f for f in flags_of(cls, parts) if f.section == kind]
    found = refuse_all(cls, flags, [f"--{kind}={name}"])
    some = {"subtb", "led", "fm", "tb", "huber", "linex", "local_search", "langevin", "tlm"}
    assert found >= 1 or name not in some


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_refuses_them_in_python_too(name: str) -> None:
    cls = TASKS[name]
    for flag in numeric([f for f in flags_of(cls, chosen_parts(cls, {})) if f.section == "task"]):
        field, many = flag.option.name, members_of_tuple(flag.option.hint)
        for value in (float("nan"), float("inf"), 1e30):
            with pytest.raises(ConfigError, match=f"{cls.__name__}: {field} must "):
                cls(**{field: (value,) if many else value})


# ---------------------------------------------------------------------- what was not chosen


def test_a_flag_of_another_objective(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "train", "hypergrid", "--objective", "tb", "--led-lr", "3")
    assert "--led-lr belongs to the objective led (Learning rate of the potentials)" in said
    assert "this run has the objective tb" in said
    assert "Add --objective led, or leave --led-lr out" in said
    said = complaint(capsys, "train", "hypergrid", "--lam", "0.5")
    assert (
        "belongs to the objectives asubtb, flsubtb, led, msubtb, opflsubtb, opsubtb and subtb"
        in said
    )


def test_a_flag_of_another_behaviour_or_backward_policy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = complaint(capsys, "train", "hypergrid", "--local-search-steps=2")
    assert "belongs to the behaviour local_search" in said
    assert "Add --behaviour local_search" in said
    said = complaint(capsys, "train", "hypergrid", "--backward-tau=0.5")
    assert "belongs to the backward policy tlm" in said
    said = complaint(capsys, "train", "hypergrid", "--backward=tlm", "--backward-batches=5")
    assert "belongs to the backward policy pessimistic" in said
    said = complaint(capsys, "train", "hypergrid", "--huber-delta=2")
    assert "Add --regression huber" in said
    assert "Did you mean --steps?" in complaint(capsys, "train", "hypergrid", "--stpes=3")


def test_names_that_two_parts_share_are_said_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "hypergrid", "--behaviour=incomplete", "--objective=led"]
    assert "--led-width" not in complaint(capsys, *words, "--share=2")
    parsed = parse(TASKS["hypergrid"], ["--objective=led", "--led-width=32", "--width=16"])
    assert parsed.objective.settings["width"] == 32
    assert parsed.task.width == 16  # type: ignore[attr-defined]
    words = ["train", "hypergrid", "--objective=optb", "--regression=squared_up_to"]
    said = complaint(capsys, *words, "--limit=3")
    assert "--limit is not clear here: say --optb-limit or --squared-up-to-limit" in said
    both = ["--objective=led", "--behaviour=local_search", "--led-steps=3", "--steps=7"]
    parsed = parse(TASKS["hypergrid"], [*both, "--local-search-steps=0.5"])
    assert parsed.objective.settings["steps"] == 3
    assert parsed.behaviour.settings["steps"] == 0.5
    assert parsed.train.steps == 7


@pytest.mark.slow
def test_what_cannot_go_together_is_answered_with_flags(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = f"--out={tmp_path / 'x'}"
    told = ["train", "hypergrid", "--condition=temperature", "--condition-reads=logits"]
    said = complaint(capsys, *told, "--objective=db", out)
    assert "scaled logits say nothing of how flows depend on the temperature" in said
    assert "With these settings one can train " in said
    assert "vargrad" in said.partition("With these settings")[2]
    assert "choose with --objective" in said
    quick = ["--steps=1", "--batch-size=4", "--eval-samples=4", "--quiet", "--width=8", "--side=3"]
    assert "tb" in said.partition("one can train ")[2].partition(":")[0].split(", ")
    assert main([*told, *quick, "--objective=tb", out]) == 0


@pytest.mark.slow
def test_one_log_z_for_all_conditions_is_no_objective_of_theirs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where sources differ by condition log Z is no function of its number; elsewhere it is one."""
    quick = ["--steps=1", "--batch-size=4", "--eval-samples=4", "--quiet", "--width=8"]
    vae = ["train", "diffusion", "--target=vae", "--steps-per-trajectory=3", *quick]
    assert main([*vae, "--objective=tb", f"--out={tmp_path / 'vae'}"]) == 0
    (file,) = (tmp_path / "vae").rglob("*.pt")
    saved = torch.load(file, weights_only=True)
    network = saved["state"]["trainer"]["objective"]["log_z.network.0.weight"]
    assert network.shape == (64, 64)  # of the pixels
    said = complaint(capsys, "train", "mis", "--objective=tb", f"--out={tmp_path / 'mis'}")
    assert "one log Z for all conditions" in said
    assert "With these settings one can train " in said
    assert "condition_dim" not in said, "no argument of Python"


# ---------------------------------------------------------------------- help


def test_help_of_hypergrid_is_short_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "hypergrid", "--help"]) == 0
    said = capsys.readouterr().out
    flags = [line.split()[0] for line in said.splitlines() if line.startswith("  --")]
    assert len(flags) == len(set(flags)) < 60
    for name in ("--dim", "--objective", "--log-z", "--lr", "--out", "--overwrite", "--backward"):
        assert name in flags
    assert "--lam" not in flags
    assert "replay-keep" in said, "what comes with --replay is named"
    assert main(["train", "hypergrid", "--objective=subtb", "--replay=5", "--help"]) == 0
    flags = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert {"--lam", "--weighting", "--replay-keep"} <= set(flags)
    assert "--log-z" not in flags


@pytest.mark.parametrize("command", [*COMMANDS, *OWN_FLAGS])
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: gflow {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--overwrite", "--quiet"], ["--quiet=True", "--overwrite=true"]]
)
def test_booleans_stand_alone(flags: list[str]) -> None:
    found = parse(TASKS["hypergrid"], ["--dim=2", *flags, "--lr=0.1"])
    assert (found.run.overwrite, found.run.quiet, found.train.lr) == (True, True, 0.1)
    assert not parse(TASKS["spins"], ["--periodic=False"]).task.periodic  # type: ignore[attr-defined]


def test_negative_and_scientific_numbers() -> None:
    found = parse(TASKS["hypergrid"], ["--log-z", "-1e-3", "--stop-bias", "-2", "--lr", "1e-4"])
    assert found.objective.settings["log_z"] == -1e-3
    assert (found.train.stop_bias, found.train.lr) == (-2, 1e-4)
    assert parse(TASKS["hypergrid"], ["--log_z=none"]).objective.settings["log_z"] is None
    scores = parse(
        TASKS["landscapes"], ["--functions", "branin", "beale", "--weights", "1", "-2e0"]
    )
    assert scores.task.functions == ("branin", "beale")  # type: ignore[attr-defined]
    assert scores.task.weights == (1.0, -2.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "hypergrid", "--lr"], "--lr takes one value, got nothing"),
        (["train", "hypergrid", "--lr", "1", "2"], "--lr takes one value, got 2 words"),
        (["train", "hypergrid", "--steps=many"], "--steps must be a whole number, got 'many'"),
        (["train", "hypergrid", "--steps=1.5"], "--steps must be a whole number, got '1.5'"),
        (["train", "hypergrid", "--seed=99999999999999999999"], "--seed must be at most"),
        (["train", "hypergrid", "--reward=corner"], "--reward must be one of corners,"),
        (["train", "hypergrid", "--quiet=maybe"], "--quiet must be True or False"),
        (["train", "hypergrid", "word"], "There is no use for 'word'"),
        (["train", "hypergrid", "--device=tpu"], "device must be cpu"),
        (["sample", "DIR", "-n", "abc"], "-n must be a whole number, got 'abc'"),
        (["sample", "DIR", "-n", "0"], "-n must be at least 1, got 0"),
        (["sample", "DIR", "--seed", "x"], "--seed must be a whole number, got 'x'"),
        (["sample", "DIR", "--seed", "1e30"], "--seed must be a whole number"),
        (["sample", "DIR", "--seed", str(10**30)], "--seed must be at most 1e+12"),
        (["sample", "DIR", "--samples", "3"], "gflow sample has no flag --samples"),
        (["sample"], "gflow sample needs FOLDER"),
        (["eval", "DIR", "--samples=0"], "--samples must be at least 1"),
        (["eval", "DIR", "--samples=many"], "--samples must be a whole number"),
        (["eval", "a", "b"], "gflow eval has no use for 'b'"),
        (["resume", "nowhere"], "holds no run"),
        (["sample", "--seed", "3", "nowhere"], "nowhere holds no run"),
        (["sample", "-n", "3", "a", "b"], "gflow sample has no use for 'b'"),
        (["sample", "nowhere", "--seed"], "--seed takes one value, got nothing"),
        (["resume", "DIR", "--steps=x"], "--steps must be a whole number"),
        (["list", "all"], "gflow list has no use for 'all'"),
        (["sweep"], "gflow sweep needs FILE"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_values(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in complaint(capsys, *words)


# ---------------------------------------------------------------------- a run's file


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {"lr": "fast"}}, "train.lr must be a number, got 'fast'"),
        ({"train": {"lr": float("nan")}}, "train.lr must lie in (0, 1000], got nan"),
        ({"train": 3}, "section 'train' must hold keys and values, got 3"),
        ({"train": {"rate": 1}}, "unknown key train.rate"),
        ({"task": {"side": 2.5}}, "task.side must be a whole number, got 2.5"),
        ({"task": {"reward": "none"}}, "task.reward must be one of"),
        ({"objective": {"name": "subbt"}}, "no objective named 'subbt'"),
        ({"objective": {"name": ["tb"]}}, "objective.name must be text"),
        ({"objective": {"name": "tb", "lam": 1}}, "objective tb has no option 'lam'"),
        (
            {"behaviour": {"name": "incomplete", "share": "half"}},
            "behaviour.share must be a number",
        ),
        ({"run": {"track": "wandb"}}, "run.track must be a list"),
        ({"runs": {}}, "unknown section 'runs'"),
        ({"environment": 7}, "does not name its environment"),
        ({"environment": "hypergird"}, "Did you mean 'hypergrid'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_damaged_configuration(
    change: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"environment": "hypergrid", "task": {}, "train": {}, "run": {}} | change
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for command in ("resume", "eval", "sample"):
        assert said in complaint(capsys, command, str(tmp_path))


@pytest.mark.parametrize("text", ["a: [1", "just words", "", "\t- x", "a: b: c"])
def test_no_configuration_at_all(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    for command in ("resume", "eval", "sample"):
        assert str(tmp_path) in complaint(capsys, command, str(tmp_path)) or not text


@pytest.mark.slow
def test_a_closed_pipe_is_no_error() -> None:
    line = [sys.executable, "-m", "gflow", "train", "hypergrid", "--help"]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()

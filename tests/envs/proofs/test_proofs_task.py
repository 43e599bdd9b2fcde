"""`gflow train proofs` on the example without Coq, and with Coq a run that proves a statement."""

from pathlib import Path

import pytest
import torch

from gflow.cli.main import main
from gflow.envs.proofs import CoqChecker, ProofEnv
from gflow.envs.proofs.reward import PaperReward, PosteriorReward
from gflow.envs.proofs.task import ProofsTask
from gflow.errors import ConfigError
from gflow.runs.trained import load
from gflow.terms import Needs


def train(folder: Path, *words: str) -> int:
    return main(["train", "proofs", "--out", str(folder), "--quiet", *words])


@pytest.mark.slow
def test_a_run_on_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    torch.set_default_dtype(torch.float32)
    assert train(folder, "--theorems=example", "--steps=6", "--eval-samples=32") == 0
    said = capsys.readouterr().out
    assert "1 of 1 theorems of the example proved" in said
    trained = load(folder)
    try:
        assert isinstance(trained.env, ProofEnv)
        rows = trained.table(3)
        assert all("Theorem goal :" in str(row) for row in rows)
        metrics = trained.context.numbers or {}
        assert "solved" not in metrics or metrics["solved"] == 1.0
    finally:
        trained.close()
    assert main(["sample", str(folder), "-n", "2"]) == 0
    assert main(["prove", str(tmp_path / "none"), "True"]) == 2


@pytest.mark.slow
def test_resumed_runs_go_on_as_if_they_had_not_stopped(tmp_path: Path) -> None:
    """Places mean the same in a tree that was asked in another order."""
    torch.set_default_dtype(torch.float32)
    words = ("--theorems=example", "--eval-samples=8", "--eval-every=4", "--checkpoint-every=4",
             "--replay=64")  # fmt: skip
    assert train(tmp_path / "whole", *words, "--steps=8") == 0
    assert train(tmp_path / "part", *words, "--steps=4") == 0
    assert main(["resume", str(tmp_path / "part"), "--steps", "8"]) == 0
    whole, part = load(tmp_path / "whole"), load(tmp_path / "part")
    try:
        for a, b in zip(whole.policy.parameters(), part.policy.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    finally:
        whole.close()
        part.close()


def test_options_say_what_they_do(tmp_path: Path) -> None:
    task = ProofsTask(theorems="example", reward="paper")
    env = task.environment()
    assert isinstance(env.reward, PaperReward)
    task = ProofsTask(theorems="example", beta=0.5, incomplete=1.0, error=2.0)
    reward = task.environment().reward
    assert isinstance(reward, PosteriorReward)
    assert (reward.beta, reward.incomplete, reward.error) == (0.5, 1.0, 2.0)
    assert task.condition(env) is None
    mine, judges = ProofsTask(train_theorems=12, test_theorems=5).split()
    assert (len(mine), len(judges)) == (12, 5)
    assert not set(mine) & set(judges)
    file = tmp_path / "mine"
    file.write_text("\n".join(f"forall n : nat, n + {i} = n + {i}" for i in range(10)))
    mine, judges = ProofsTask(statements=str(file), test_theorems=50).split()
    assert (len(mine), len(judges)) == (8, 2)
    assert ProofsTask(statements=str(file)).equations
    assert ProofsTask.cheap().held_out is None


def test_shortest_proofs_are_taught() -> None:
    task = ProofsTask(theorems="example", taught=0.5)
    env = task.environment()
    from gflow.behaviours.base import OnPolicy
    from gflow.behaviours.data import BackwardReplay

    taught = task.behaviour(env, OnPolicy())
    assert isinstance(taught, BackwardReplay)
    assert len(taught.data) == 1
    with pytest.raises(ConfigError, match="proves none of the theorems"):
        ProofsTask(theorems="example", taught=0.5, teacher_calls=3).behaviour(env, OnPolicy())


@pytest.mark.slow
def test_a_run_with_coq_proves_a_statement(
    coq: CoqChecker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several theorems, log Z read from their texts, judged on others; then a script for coqc."""
    torch.set_default_dtype(torch.float32)
    folder = tmp_path / "run"
    words = ("--train-theorems=4", "--test-theorems=3", "--formula-depth=2", "--batch-size=8",
             "--repeat=2", "--steps=2", "--eval-samples=8", "--max-tactics=6", "--taught=0.25",
             "--candidates=12")  # fmt: skip
    assert train(folder, *words) == 0
    assert "of 3 theorems never trained on proved" in capsys.readouterr().out
    statement = r"forall P Q : Prop, P /\ Q -> Q /\ P"
    assert main(["prove", str(folder), statement]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Theorem goal : {statement}.\nProof.\n")
    assert "Qed.\n(* found with" in said
    assert main(["prove", str(folder), "forall P : Prop, P", "--budget", "40"]) == 1
    assert "of 'Theorem goal : forall P : Prop, P.'" in capsys.readouterr().err
    assert main(["prove", str(folder), "True. Axiom x : False"]) == 2
    assert "only one sentence" in capsys.readouterr().err


@pytest.mark.slow
def test_runs_of_other_tasks_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "grid")
    words = ["--steps=1", "--quiet", "--eval-samples=4", "--side=3", "--dim=1"]
    assert main(["train", "hypergrid", "--out", folder, *words]) == 0
    assert main(["prove", folder, "True"]) == 2
    assert "is a run of hypergrid" in capsys.readouterr().err


def test_the_policy_has_the_heads_that_objectives_need() -> None:
    task = ProofsTask(theorems="example")
    env = task.environment()
    assert not task.policy(env, Needs()).has_log_flow
    assert task.policy(env, Needs(log_flow=True)).has_log_flow

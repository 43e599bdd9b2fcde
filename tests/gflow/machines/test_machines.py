"""Two processes under torchrun train as one with the joined batch."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import TrainConfig, Trainer, load
from gflow.cli.main import main
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import CheckpointError, ConfigError
from gflow.machines import ALONE, join
from gflow.machines.joined import Layout, Outline
from gflow.memory.best import BestObjects
from gflow.objectives import TrajectoryBalance
from gflow.policies.mlp import MLPPolicy
from gflow.terms import FlowTerms
from gflow.training.checkpoint import load_checkpoint

SCRIPT = Path(__file__).parent / "two_processes.py"
ROOT = Path(sys.modules["gflow.machines.joined"].__file__ or "").parents[2]


def flat(state: Any) -> Any:
    """The same with lists in place of tensors, so that it can be compared."""
    if isinstance(state, dict):
        return {key: flat(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [flat(value) for value in state]
    return state.tolist() if isinstance(state, torch.Tensor) else state


@dataclass(frozen=True)
class Pair:
    """Two processes, when they have ended."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def said(self) -> list[dict[str, Any]]:
        """What each of them found."""
        assert self.done.returncode == 0, self.done.stdout + self.done.stderr
        return [json.loads((self.folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
         str(SCRIPT), str(folder)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return Pair(folder, done)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["tb", "db", "subtb", "subtb-pooled", "vargrad", "fm", "mdb", "optb-pairwise", "db-of-parts"],
)
def test_two_processes_step_as_one_with_the_joined_batch(both: Pair, name: str) -> None:
    for said in both.said:
        assert said[name]["loss"] < 1e-12
        assert said[name]["gradients"] < 1e-12
        assert said[name]["weights"] < 1e-12
        assert said[name]["moved"] > 0.01


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_all_and_its_owner_names_the_trajectory(
    both: Pair,
) -> None:
    first, second = (said["not_finite"] for said in both.said)
    assert first["still"]
    assert second["still"]
    assert "Another process drew the trajectory responsible" in first["said"]
    assert "Trajectory 7 of 12" in second["said"]
    assert "log_reward nan" in second["said"]


@pytest.mark.slow
def test_a_failure_of_one_is_heard_by_all(both: Pair) -> None:
    first, second = (said["one_fails"] for said in both.said)
    assert first["kind"] == "RankError"
    assert "Process 1 of 2 failed" in first["said"]
    assert "the dock is closed" in first["said"]
    assert second["kind"] == "ValueError"
    assert first["again"]
    assert second["again"]


@pytest.mark.slow
def test_learners_and_further_batches_need_not_step_in_every_process(
    both: Pair,
) -> None:
    first, second = (said["beside"] for said in both.said)
    # From 0: by 0.25 of the gradient 2 (0 - 1) of one process; then by that of the mean of
    # 2 (0.5 - 1) and 2 (0.5 - 3).
    assert first["biases"] == second["biases"] == pytest.approx([0.5, 1.25])
    assert first["steps"] == second["steps"] == 4  # two, and a further one after each
    assert first["record"] == second["record"]
    # The first process alone noted the bias after the first step, both after the second.
    assert first["record"]["sometimes"] == pytest.approx(((0.5 + 1.25) / 2 + 1.25) / 2)
    for said in (first, second):
        assert "The weights of process 1 of 2 are no longer those of process 0" in said["said"]


@pytest.mark.slow
def test_a_run_is_written_once_and_resumes_to_the_same_numbers(
    both: Pair,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, said = both.folder, both.said
    for one in said:
        assert one["runs"]["codes"] == [0, 130, 0, 2, 2]
        assert "batch_size=13" in one["share"]
    assert said[0]["seeds"] == [3, 3]
    assert said[1]["seeds"][0] == 3
    assert said[1]["seeds"][1] != 3
    whole, cut = (
        load_checkpoint(folder / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    assert len(whole["trainer"]["others"]) == 1
    assert flat(cut["trainer"]) == flat(whole["trainer"])
    assert set(cut["best"]["keys"].tolist()) == set(whole["best"]["keys"].tolist())
    generators = [whole["trainer"], *whole["trainer"]["others"]]
    assert not torch.equal(*(own["generator"] for own in generators))
    lines = [json.loads(line) for line in (folder / "whole/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 3, 6]
    assert not (folder / "odd").exists()
    # One process may look at it, and may not go on with it.
    assert load(folder / "whole").step == 6
    assert main(["resume", str(folder / "whole"), "--steps", "8"]) == 2
    assert "torchrun --nproc-per-node 2" in capsys.readouterr().err


def test_states_of_several_processes_are_told_apart() -> None:
    env = HyperGrid(2, 3)
    held = Trainer(env, MLPPolicy(env, 4), TrajectoryBalance(), TrainConfig(batch_size=4))
    state = held.state_dict()
    assert state["others"] == []
    state["others"] = [state]
    with pytest.raises(CheckpointError, match="of 2 processes .* and there are 1 now"):
        held.load_state_dict(state)
    held.load_state_dict(state, to_look_at=True)


def test_one_of_several_processes_must_know_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert join() is ALONE
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=3 .* RANK does not say"):
        join()


def test_terms_of_other_widths_and_types_lie_where_they_are_looked_for() -> None:
    """What two processes send is read back in order, padded at the end."""
    short = FlowTerms(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([5.0]),
        torch.tensor([2]), torch.tensor([True]), log_flow=torch.tensor([[6.0, 7.0, 8.0]]),
    )  # fmt: skip
    long = FlowTerms(
        torch.tensor([[9.0, 8.0, 7.0]] * 3), torch.zeros(3, 3), torch.tensor([1.0, 2.0, 3.0]),
        torch.tensor([3, 2, 1]), torch.tensor([False, True, False]), log_flow=torch.ones(3, 4),
        complete=torch.tensor([False, True, False]), mover=torch.full((3, 3), 2),
    )  # fmt: skip
    layout = Layout([Outline.of(short), None, Outline.of(long)])
    assert layout.counts == [1, 0, 3]
    on = torch.device("cpu")
    parts = [
        layout.packed({
            name: layout.padded(name, None if terms is None else getattr(terms, name), rank, on)
            for name in layout.fields
        })
        for rank, terms in enumerate((short, None, long))
    ]  # fmt: skip
    found = layout.unpacked(parts)
    assert found["log_pf"].tolist() == [[1, 2, 0], [9, 8, 7], [9, 8, 7], [9, 8, 7]]
    assert found["log_flow"].tolist() == [[6, 7, 8, 0], [1] * 4, [1] * 4, [1] * 4]
    assert found["length"].tolist() == [2, 3, 2, 1]
    assert found["length"].dtype == torch.int64
    assert found["stopped"].tolist() == [True, False, True, False]
    assert found["complete"].tolist() == [True, False, True, False]  # None means all
    assert found["mover"].tolist() == [[0] * 3, [2] * 3, [2] * 3, [2] * 3]
    assert layout.plain == {"has_log_pb": True}


def test_the_best_objects_of_another_process_are_taken_in() -> None:
    env = HyperGrid(2, 5)
    mine, theirs = BestObjects(env, 3), BestObjects(env, 3)
    mine.add(torch.tensor([[0, 0], [1, 0]]), torch.tensor([1.0, 2.0]))
    mine.absorb(theirs.state_dict())
    assert len(mine) == 2
    theirs.add(torch.tensor([[1, 0], [2, 0], [3, 0]]), torch.tensor([2.0, 3.0, 0.5]))
    mine.absorb(theirs.state_dict())
    assert mine.log_reward.tolist() == [3.0, 2.0, 1.0]
    assert mine.states.tolist() == [[2, 0], [1, 0], [0, 0]]

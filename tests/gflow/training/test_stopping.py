"""Early stopping, time limits, best and periodic checkpoints, progress and trackers in Python."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
from gflow.envs import HyperGrid
from gflow.errors import ConfigError
from gflow.objectives import TrajectoryBalance
from gflow.training import Checkpoints, EarlyStopping, TimeLimit, TrainConfig, Trainer
from gflow.training.callbacks import TrainingCallback
from gflow.training.checkpoint import load_checkpoint
from gflow.training.improvement import Improvement, Patience, goal_of


def trainer(*callbacks: Any, steps: int = 40, **more: Any) -> Trainer:
    torch.manual_seed(0)
    env = HyperGrid(2, 3)
    policy = gflow.MLPPolicy(env, 8)
    config = TrainConfig(steps=steps, batch_size=4)
    return Trainer(env, policy, TrajectoryBalance(), config, callbacks=callbacks, **more)


def weights(one: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in one.policy.parameters()])


def test_patience_counts_reports_without_an_improvement() -> None:
    watch = Patience("loss", patience=2, min_delta=0.1)
    found = [bool(watch.spent(i, {"loss": v})) for i, v in enumerate([3.0, 2.0, 1.95, 1.5, 1.6])]
    assert found == [False] * 5
    assert (watch.best, watch.step, watch.waited) == (1.5, 3, 1)
    assert "loss has not improved for 2 reports (best 1.5 at step 3)" in watch.spent(
        5, {"loss": math.nan}
    )
    up = Improvement("mean_reward")
    assert [up.better(i, {"mean_reward": v}) for i, v in enumerate([math.nan, 1.0, 0.5, 2.0])] == [
        False, True, False, True,
    ]  # fmt: skip


def test_goals_by_name() -> None:
    assert [goal_of(n) for n in ("tv", "tv_at_2", "log_z_error", "augmented_loss")] == ["min"] * 4
    assert [goal_of(n) for n in ("top_reward", "ess", "mean_log_reward", "success_even")] == [
        "max"
    ] * 4
    with pytest.raises(ConfigError, match="'log_z' should be small or large is not known"):
        EarlyStopping("log_z")
    with pytest.raises(ConfigError, match="no metric 'lozz' to watch; reports have loss"):
        Improvement("lozz", "min").better(0, {"loss": 1.0})


class Falling(TrainingCallback):
    """Stops at a step, by its own count, which is part of the state."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self, trainer: Trainer, trajectories: Any, record: Any) -> None:
        self.seen += 1
        if self.seen == self.at:
            trainer.stop("enough")

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def test_a_stopped_trainer_resumes_to_where_the_unbroken_one_stopped() -> None:
    whole = trainer(Falling(9), EarlyStopping("loss", 1000))
    whole.train()
    assert (whole.step, whole.stopped) == (9, "enough")
    whole.train()
    assert whole.step == 9, "it stays stopped"
    first = trainer(Falling(9), EarlyStopping("loss", 1000))
    for _ in range(4):
        first.train_step()
    second = trainer(Falling(9), EarlyStopping("loss", 1000))
    second.load_state_dict(first.state_dict())
    second.train()
    assert second.step == 9
    assert torch.equal(weights(whole), weights(second))
    early = [one.callbacks[1].patience.state_dict() for one in (whole, second)]  # type: ignore[attr-defined]
    assert early[0] == early[1]
    third = trainer(Falling(9), EarlyStopping("loss", 1000))
    third.load_state_dict(second.state_dict())
    third.train()
    assert third.step == 9
    assert third.train(2)["loss"] > 0
    assert third.step == 11, "a number of steps that is asked for is done"


def test_early_stopping_reads_records() -> None:
    one = trainer(EarlyStopping("mean_length", 2, goal="max", min_delta=100.0), record_every=5)
    one.train()
    assert one.step == 15, "best at the first record, then two without more"
    assert one.stopped.startswith("mean_length has not improved for 2 reports")


def test_the_clock_stops_it() -> None:
    times = iter(range(0, 600, 30))
    one = trainer(TimeLimit(1.0, clock=lambda: float(next(times))))
    one.train()
    assert (one.step, one.stopped) == (2, "1 minutes are over")


def test_checkpoints_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, every=4, best="loss")
    seen: list[tuple[float, torch.Tensor]] = []

    def look(one: Trainer, trajectories: Any, record: Any) -> None:
        seen.append((record["loss"], weights(one)))

    trainer(kept, look, steps=10).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step-4.pt", "step-8.pt"]
    best = min(range(10), key=lambda i: seen[i][0])
    for name, step in (("step-4", 4), ("step-8", 8), ("best", best + 1)):
        again = trainer(kept, steps=10)
        again.load_state_dict(load_checkpoint(tmp_path / f"{name}.pt"))
        assert again.step == step
        assert torch.equal(weights(again), seen[step - 1][1])
    with pytest.raises(ConfigError, match="nothing is kept"):
        Checkpoints(tmp_path)


class Mine:
    """A tracker of one's own."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float]] = []
        self.last: dict[str, float] = {}

    def log(self, step: int, numbers: dict[str, float]) -> None:
        self.rows.append((step, numbers["loss"]))

    def finish(self, summary: dict[str, float]) -> None:
        self.last = summary


def test_trackers_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    mine = Mine()
    one = trainer(steps=6, record_every=2, tracker=mine, progress=True)
    record = one.train()
    assert [step for step, _ in mine.rows] == [2, 4, 6]
    assert mine.rows[-1][1] == record["loss"] == mine.last["loss"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["2", "4", "6"]
    assert "loss" in lines[0]
    plain = trainer(steps=6, record_every=2)
    plain.train()
    assert torch.equal(weights(one), weights(plain)), "nothing about training changes"
    for wrong in (3, "nowhere"):
        with pytest.raises(ConfigError, match="tracker"):
            trainer(tracker=wrong)


def test_fit_takes_the_same() -> None:
    mine = Mine()
    trained = gflow.fit(
        "hypergrid", side=3, width=8, steps=20, batch_size=4, eval_every=2, tracker=mine,
        callbacks=[EarlyStopping("mean_length", 1, goal="max", min_delta=100.0)],
    )  # fmt: skip
    assert trained.step == 4
    assert [step for step, _ in mine.rows] == [2, 4]
    assert mine.last

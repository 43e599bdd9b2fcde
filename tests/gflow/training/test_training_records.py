"""Records are means of many steps; what fails between them is told at the next."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward, MLPPolicy
from gflow.behaviours.local_search import LocalSearch
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import CheckpointError, ConfigError, NonFiniteLossError, RewardError
from gflow.objectives import TrajectoryBalance
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.ledger import Ledger
from gflow.training.trainer import TrainConfig, Trainer

ENV = HyperGrid(2, 4, Corners(4, 0.05))
CONFIG = TrainConfig(steps=12, batch_size=8, lr=1e-2)


def build(
    env: DiscreteEnvironment[Any] = ENV, config: TrainConfig = CONFIG, **options: Any
) -> Trainer:
    policy = MLPPolicy(env, 16, generator=torch.Generator().manual_seed(0))
    return Trainer(env, policy, TrajectoryBalance(), config, **options)


def weights_of(trainer: Trainer) -> list[Tensor]:
    return [p.detach().clone() for p in trainer.policy.parameters()]


# ---------------------------------------------------------------------- means


def test_a_record_is_the_mean_since_the_last_one() -> None:
    every, rare = build(), build(record_every=5)
    single = [every.train_step() for _ in range(12)]
    seen = [rare.train_step() for _ in range(12)]
    assert [bool(record) for record in seen] == [k in (4, 9) for k in range(12)]
    for first, found in ((0, seen[4]), (5, seen[9])):
        for name, value in found.items():
            wanted = sum(record[name] for record in single[first : first + 5]) / 5
            assert abs(value - wanted) < 1e-12 * max(1.0, abs(wanted)), name


def test_training_ends_with_a_record_and_callbacks_see_every_batch() -> None:
    seen: list[tuple[int, int, bool]] = []
    trainer = build(
        record_every=5, callbacks=[lambda t, b, r: seen.append((t.step, len(b), bool(r)))]
    )
    assert trainer.train(7)["loss"] > 0
    assert seen == [(k, 8, k in (5, 7)) for k in range(1, 8)]
    assert trainer.train()["loss"] > 0
    assert [step for step, _, record in seen if record] == [5, 7, 10, 12]
    with pytest.raises(ConfigError, match="record_every must be at least 1, got 0"):
        build(record_every=0)


def test_numbers_that_come_now_and_then_are_means_of_those_times() -> None:
    ledger = Ledger()
    ledger.add({"a": torch.tensor(1.0), "b": 2.0})
    ledger.add({"a": torch.tensor(4.0)})
    assert ledger.record() == {"a": 2.5, "b": 2.0}
    assert ledger.record() == {}


@pytest.mark.parametrize("at", [2, 5])
def test_a_run_resumed_between_records_gives_the_same_records(at: int, tmp_path: Any) -> None:
    search: dict[str, Any] = {
        "behaviour": LocalSearch(1, "random", "metropolis"),
        "record_every": 5,
    }
    whole = build(**search)
    wanted = [whole.train_step() for _ in range(12)]
    first = build(**search)
    for _ in range(at):
        first.train_step()
    save_checkpoint(tmp_path / "c.pt", first.state_dict(), {})
    other = build(**search)
    other.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    assert [other.train_step() for _ in range(12 - at)] == wanted[at:]


def test_another_dtype_is_refused() -> None:
    trainer = build()
    trainer.train(2)
    state = trainer.state_dict()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        other = build()
        with pytest.raises(
            CheckpointError,
            match=r"default dtype torch\.float64, and that is torch\.float32 now.*"
            r"torch\.set_default_dtype\(torch\.float64\)",
        ):
            other.load_state_dict(state)
        assert other.step == 0
    finally:
        torch.set_default_dtype(before)


# ---------------------------------------------------------------------- failures


class Turning(HyperGrid):
    """A grid whose reward is `value` in one corner once it has been asked `calm` times."""

    def __init__(self, value: float, calm: int, once: bool = False) -> None:
        self.value, self.calm, self.once, self.calls = value, calm, once, 0
        super().__init__(2, 3, FunctionReward(self.score))

    def score(self, cells: Tensor) -> Tensor:
        self.calls += 1
        plain = cells.sum(-1) / 4.0
        bad = self.calls == self.calm + 1 if self.once else self.calls > self.calm
        return plain.masked_fill((cells == 2).all(-1), self.value) if bad else plain


def plan(name: Literal["ragged", "static"]) -> TrainConfig:
    return replace(CONFIG, batch_size=64, plan=name, epsilon=0.5)


def test_the_ragged_plan_complains_at_once() -> None:
    trainer = build(Turning(torch.nan, 2), plan("ragged"), record_every=6)
    trainer.train_step()
    trainer.train_step()
    with pytest.raises(RewardError, match=r"returned log R = nan for the object \(2, 2\)"):
        trainer.train_step()
    assert trainer.step == 2


def test_a_reward_that_stays_bad_is_told_at_the_record_with_its_object() -> None:
    trainer = build(Turning(torch.nan, 2), plan("static"), record_every=6)
    trainer.train_step()
    trainer.train_step()
    before = weights_of(trainer)
    for _ in range(3):
        assert trainer.train_step() == {}
    for old, new in zip(before, weights_of(trainer), strict=True):
        assert torch.equal(old, new), "no weight is changed from the failure on"
    with pytest.raises(RewardError, match=r"HyperGrid|Turning.* log R = nan .*object \(2, 2\)"):
        trainer.train_step()
    for old, new in zip(before, weights_of(trainer), strict=True):
        assert torch.equal(old, new)


def test_a_reward_that_was_bad_once_is_told_at_the_record_with_its_step() -> None:
    trainer = build(Turning(torch.inf, 2, once=True), plan("static"), record_every=6)
    trainer.train(2)
    before = weights_of(trainer)
    with pytest.raises(
        NonFiniteLossError,
        match=r"TrajectoryBalance on Turning: the reward was not finite or not allowed at step 2, "
        r"which was noticed at the record of step 5.*record_every=1",
    ):
        trainer.train()
    for old, new in zip(before, weights_of(trainer), strict=True):
        assert torch.equal(old, new)


class Spoilt(TrajectoryBalance):
    """Loss NaN where a trajectory visits the corner, from a step on."""

    steps = 0

    def residual(self, terms: Any) -> Tensor:
        self.steps += 1
        found = super().residual(terms)
        return found.masked_fill(terms.length == 4, torch.nan) if self.steps > 3 else found


def test_a_loss_that_is_no_number_changes_no_weight_and_is_named_at_the_record() -> None:
    def spoilt(**options: Any) -> Trainer:
        policy = MLPPolicy(ENV, 16, generator=torch.Generator().manual_seed(0))
        return Trainer(ENV, policy, Spoilt(), plan("static"), **options)

    exact, late = spoilt(), spoilt(record_every=9)
    messages = []
    for trainer in (exact, late):
        with pytest.raises(NonFiniteLossError, match="The loss of Spoilt on HyperGrid is") as said:
            trainer.train()
        messages.append(str(said.value))
        assert "log_reward" in messages[-1]
    assert exact.step == 3
    assert "at step 3. Trajectory" in messages[0]
    assert "at step 8. Trajectory" in messages[1]
    for one, other in zip(weights_of(exact), weights_of(late), strict=True):
        assert torch.equal(one, other), "both keep the weights of the last good step"


def test_a_state_is_not_saved_over_a_failure() -> None:
    trainer = build(Turning(torch.nan, 2), plan("static"), record_every=9)
    trainer.train_step()
    trainer.state_dict()
    trainer.train_step()
    trainer.train_step()
    with pytest.raises(RewardError, match="log R = nan"):
        trainer.state_dict()

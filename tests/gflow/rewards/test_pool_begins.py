"""Workers that compute while this process does something else, and rewards that come late."""

import copy
import pickle
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gflow import HostReward, MLPPolicy, Sampler, TrainConfig, Trainer, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError
from gflow.listed.env import Listed
from gflow.objectives import TrajectoryBalance
from gflow.rewards.base import FunctionReward
from gflow.rewards.pool import WorkerError, WorkerPool
from gflow.rewards.wrappers import Tempered


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An importable module of functions to call; `gated` waits until a file is there."""
    (tmp_path / "begun_functions.py").write_text(
        textwrap.dedent(
            f"""
            import os
            import time

            def gated(items):
                while not os.path.exists({str(tmp_path / "gate")!r}):
                    time.sleep(0.002)
                return [-0.1 * sum(x) for x in items]

            def marked(items):
                open({str(tmp_path / "mark")!r}, "w").close()
                return items

            def score(items):
                return [-0.1 * sum(x) for x in items]

            def picky(items):
                if any(x[0] == 1 for x in items):
                    raise ValueError("unlucky")
                return score(items)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    import begun_functions

    yield begun_functions
    del sys.modules["begun_functions"]


def words(states: torch.Tensor) -> list[Any]:
    return [tuple(row) for row in states.tolist()]


class Opening(MLPPolicy):
    """Lets the workers go on when a batch is evaluated."""

    gate: Path | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.gate is not None and torch.is_grad_enabled():  # not while sampling
            self.gate.touch()
        return super().forward(*args, **kwargs)


def trained(reward: Any, gate: Path | None = None) -> list[float]:
    """Losses of some steps on a small grid."""
    torch.manual_seed(0)
    env = HyperGrid(6, 8, reward=reward)
    policy = Opening(env, width=8)
    policy.gate = gate
    trainer = Trainer(env, policy, TrajectoryBalance(), TrainConfig(batch_size=8, lr=0.01))
    return [trainer.train_step()["loss"] for _ in range(4)]


def test_a_step_is_the_same_and_the_policy_is_evaluated_meanwhile(
    functions: ModuleType, tmp_path: Path
) -> None:
    """The workers wait for the network pass of the loss, so that would wait for ever for them."""
    with WorkerPool(1) as pool:
        beside = HostReward(words, functions.gated, pool)
        losses = trained(Tempered(beside, 2.0), tmp_path / "gate")
        assert beside.calls == len(beside.memory) > 4
    assert losses == trained(Tempered(HostReward(words, functions.score), 2.0))
    assert len(set(losses)) == 4


def test_workers_have_begun(functions: ModuleType, tmp_path: Path) -> None:
    """Nobody waits, and yet the worker leaves its mark."""
    with WorkerPool(1) as pool:
        pool.begin(functions.marked, [1])
        for _ in range(1000):
            if (tmp_path / "mark").exists():
                return
            time.sleep(0.01)
    raise AssertionError("the worker has not begun within ten seconds")


def test_begun_and_mapped_are_the_same(functions: ModuleType, tmp_path: Path) -> None:
    pairs = [(i, i) for i in range(10)]
    with WorkerPool(1, chunk=3) as pool:
        wait = pool.begin(functions.gated, pairs)
        (tmp_path / "gate").touch()
        other = pool.map(functions.score, pairs[:3])  # waits for the first
        assert wait() == functions.score(pairs)
        assert wait() == functions.score(pairs)
        assert other == functions.score(pairs[:3])
        assert pool.begin(functions.score, [])() == []
        left = pool.begin(functions.score, pairs)
    with pytest.raises(WorkerError, match="closed before the results"):
        left()
    with WorkerPool(0) as none, pytest.raises(ConfigError, match="nothing can be begun"):
        none.begin(functions.score, pairs)


def test_failures_come_when_they_are_waited_for(functions: ModuleType) -> None:
    with WorkerPool(1) as pool:
        wait = pool.begin(functions.picky, [(0, 0), (1, 0)])
        with pytest.raises(WorkerError, match=r"failed for \(1, .*\): ValueError: unlucky"):
            wait()
        assert pool.map(functions.score, [(1, 1)]) == functions.score([(1, 1)])
        with pytest.raises(WorkerError, match=r"failed for \(1, .*\): ValueError: unlucky"):
            trained(HostReward(words, functions.picky, pool))


def test_late_rewards_are_rewards(functions: ModuleType) -> None:
    """Copies, selections and pickles have them; what nobody read is remembered all the same."""
    with WorkerPool(1) as pool:
        env = HyperGrid(6, 8, reward=HostReward(words, functions.score, pool))
        policy = MLPPolicy(env, width=8)

        def sample() -> Any:
            return Sampler(env).forward(policy, 6, generator=torch.Generator().manual_seed(1))

        batch = sample()
        assert "log_reward" not in vars(batch)
        with pytest.raises(AttributeError, match="no attribute 'log_rewards'"):
            batch.log_rewards  # noqa: B018
        value = batch.log_reward
        assert batch.log_reward is value
        torch.testing.assert_close(value, env.target_log_reward(batch.final_states))
        assert not value.requires_grad
        env.reward = HostReward(words, functions.score, pool)
        for changed in (
            lambda late: late.select(torch.tensor([2, 0])).log_reward[[1, 0]],
            lambda late: copy.deepcopy(late).log_reward[[0, 2]],
            lambda late: pickle.loads(pickle.dumps(late)).log_reward[[0, 2]],
            lambda late: replace(late, condition=None).log_reward[[0, 2]],
            lambda late: late.to("cpu").log_reward[[0, 2]],
        ):
            env.reward.memory.clear()
            torch.testing.assert_close(changed(sample()), value[[0, 2]])
        env.reward.memory.clear()
        calls = env.reward.calls
        sample()
        env.target_log_reward(batch.final_states)
        assert env.reward.calls - calls == len(env.reward.memory)


def test_what_cannot_be_begun_is_asked_at_once(functions: ModuleType) -> None:
    with WorkerPool(1) as pool:  # states of tables are not those of the reward
        grid = HyperGrid(2, 3, reward=HostReward(words, functions.score, pool))
        listed = Listed(enumerate_states(grid))
        assert not listed.foresee(listed.initial(2))
        assert pool._begun is None
    reward: FunctionReward[torch.Tensor] = FunctionReward(lambda states: -0.1 * states.sum(1))
    env = HyperGrid(6, 8, reward=reward)
    assert not env.foresee(env.initial(2))
    batch = Sampler(env).forward(MLPPolicy(env, width=8), 3)
    assert "log_reward" in vars(batch)

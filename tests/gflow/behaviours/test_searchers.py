"""Searchers beside a trainer: what is learned, what is logged, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import MLPPolicy, Sampler, TabularPolicy, TrainConfig, Trainer, enumerate_states
from gflow.behaviours.base import Sampling
from gflow.behaviours.searchers import Searchers
from gflow.conditions.draws import ConditionSampler
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.process import Brownian
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets.mixture import GaussianMixture
from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives import LogPartitionVariance, ModifiedSubTrajectoryBalance, PathwiseDivergence
from gflow.rewards.base import LogReward
from gflow.rewards.pool import WorkerError
from gflow.sampling.exploration import Exploration
from gflow.searchers import Crew
from gflow.tasks.parts import BEHAVIOURS, Part

ENV = HyperGrid(2, 4)
GRAPH = enumerate_states(ENV)


def trainer(searchers: Searchers, objective: Any = None, **settings: Any) -> Trainer:
    policy = TabularPolicy(GRAPH, "uniform")
    config = TrainConfig(**{"batch_size": 24, "lr": 0.05, "epsilon": 0.05, **settings})
    objective = LogPartitionVariance() if objective is None else objective
    return Trainer(ENV, policy, objective, config, behaviour=searchers)


def distance(policy: Any) -> float:
    found = GRAPH.terminal_distribution(policy)
    return float((found.exp() - GRAPH.log_target().exp()).abs().sum() / 2)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [LogPartitionVariance, ModifiedSubTrajectoryBalance])
def test_without_workers_the_same_rule_learns_the_target(objective: Any) -> None:
    made = trainer(Searchers(0, recent=0.5), objective(), lr=0.1, lr_half_life=40)
    assert distance(made.policy) > 0.3
    record = made.train(100)
    assert distance(made.policy) < 0.03
    assert 0 < record["staleness"] < 50
    assert record["searched"] == record["remembered"] == 100 * 24


class Betas(ConditionSampler):
    """Three numbers in a row that are equal, and no word of it."""

    def __call__(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.rand(count // 3, 1, generator=generator).repeat_interleave(3, 0)


def test_conditions_stay_together_whoever_draws_them() -> None:
    env = ENV.with_temperature()
    searchers = Searchers(0, recent=0.5, low=0.5, high=3.0)
    config = TrainConfig(batch_size=12)
    made = Trainer(
        env, MLPPolicy(env, 8), LogPartitionVariance(), config,
        condition=Betas(), behaviour=searchers,
    )  # fmt: skip
    made.train(5)
    batch = made.sample()
    assert batch.condition is not None
    turns = batch.condition.view(4, 3)
    assert bool((turns == turns[:, :1]).all())
    assert len(turns[:, 0].unique()) > 2
    torch.testing.assert_close(
        batch.log_reward, env.target_log_reward(batch.final_states, batch.condition)
    )


def test_the_share_that_is_new_is_not_stale() -> None:
    for recent, low, high in ((1.0, 0, 0), (0.75, 1, 4), (0.0, 5, 15)):
        made = trainer(Searchers(0, recent=recent, draw="uniform"))
        made.train(19)
        staleness = made.train(1)["staleness"]
        assert low <= staleness <= high


def test_runs_without_workers_resume_to_the_same_numbers() -> None:
    whole = trainer(Searchers(0, low=0.5, high=2.0))
    whole.train(6)
    half = trainer(Searchers(0, low=0.5, high=2.0))
    half.train(3)
    again = trainer(Searchers(0, low=0.5, high=2.0))
    again.load_state_dict(half.state_dict())
    record = again.train(3)
    assert record["searched"] == 6 * 24
    for mine, theirs in zip(whole.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_flags_and_refusals() -> None:
    assert "searchers" in BEHAVIOURS
    built = Part.of("behaviour", "searchers", {"workers": 2, "draw": "uniform"}).build()
    assert (built.workers, built.draw) == (2, "uniform")
    with pytest.raises(IncompatibleError, match="its own policy's trajectories only"):
        Searchers().check(ENV, PathwiseDivergence())
    target = Diffusion(GaussianMixture(torch.tensor([[1.0]]), 0.4), Brownian(1.0), 4)
    with pytest.raises(IncompatibleError, match="moves here have densities"):
        Searchers().check(target, LogPartitionVariance())
    with pytest.raises(ConfigError, match="Searchers draws all batches from a memory of its own"):
        trainer(Searchers(), replay=100)
    with pytest.raises(ConfigError, match="do not fit into a memory of 8"):
        trainer(Searchers(capacity=8))
    with pytest.raises(ConfigError, match="low must not be above high"):
        Searchers(low=2.0)
    averaged = Exploration(other=MLPPolicy(ENV, 4), other_weight=0.5)
    with pytest.raises(IncompatibleError, match="no average of the weights"):
        Searchers().collect(Sampling(MLPPolicy(ENV, 4), Sampler(ENV), averaged), 4)


def test_what_cannot_be_sent_is_said() -> None:
    class Local(LogReward[Any]):
        def __call__(self, states: Any, condition: Any = None) -> Any:
            return states.sum(1).double()

    env = HyperGrid(2, 4)
    env.reward = Local()
    searchers = Searchers(1)
    with pytest.raises(ConfigError, match=r"by pickle, and something in them cannot.*workers=0"):
        searchers.collect(Sampling(MLPPolicy(env, 4), Sampler(env)), 4)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_searchers_see_new_weights_and_end_with_the_trainer() -> None:
    searchers = Searchers(2, publish=5, recent=0.5)
    made = trainer(searchers, lr_half_life=100)
    record = made.train(250)
    assert searchers.memory is not None
    # How often they came meanwhile depends on the machine.
    while distance(made.policy) >= 0.05 or len(searchers.memory.column("made").unique()) <= 3:
        assert made.step < 5000, "it does not learn from what searchers find"
        record = made.train(50)
    assert 0 < record["staleness"] < made.step
    assert record["searched"] > 48
    assert not searchers.memory.column("made").remainder(5).any()
    assert isinstance(searchers.crew, Crew)
    pids = [worker.process.pid for worker in searchers.crew.workers if worker.process is not None]
    folder = searchers.crew.weights.parent
    assert len(pids) == 2
    assert folder.exists()
    state = made.state_dict()
    searchers.close()
    assert not any(alive(pid) for pid in pids)
    assert not folder.exists()
    other = Searchers(1)
    later = trainer(other)
    later.load_state_dict(state)
    record = later.train(1)
    assert record["searched"] >= state["behaviour"]["searched"]
    other.close()


@pytest.mark.slow
def test_what_fails_in_a_searcher_is_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_reward.py").write_text(
        "import os\n"
        "from gflow.rewards.base import LogReward\n\n\n"
        "class Broken(LogReward):\n"
        "    home = os.getpid()\n\n"
        "    def __call__(self, states, condition=None):\n"
        "        if os.getpid() != HOME:\n"
        "            raise KeyError('the cupboard is bare')\n"
        "        return states.sum(1).double()\n\n\n"
        f"HOME = {os.getpid()}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import broken_reward

    env = HyperGrid(2, 4)
    env.reward = broken_reward.Broken()
    searchers = Searchers(1)
    sampling = Sampling(MLPPolicy(env, 4), Sampler(env))
    with pytest.raises(WorkerError, match="a searcher failed") as told:
        searchers.collect(sampling, 4)
    assert "the cupboard is bare" in str(told.value)
    assert "broken_reward.py" in str(told.value)


SCRIPT = """
import torch
from gflow import MLPPolicy, TrainConfig, Trainer
from gflow.behaviours.searchers import Searchers
from gflow.conditions.draws import ConditionSampler
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.objectives import LogPartitionVariance

env, searchers = HyperGrid(2, 4), Searchers(2)
objective = LogPartitionVariance()
trainer = Trainer(env, MLPPolicy(env, 8), objective, TrainConfig(), behaviour=searchers)
trainer.train(1)
print(*(worker.process.pid for worker in searchers.crew.workers), flush=True)
trainer.train(1_000_000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_the_trainer(how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    process.send_signal(how)
    process.communicate(timeout=60)
    until = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)

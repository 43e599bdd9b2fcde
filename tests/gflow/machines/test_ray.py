"""Ray's workers: what they compute, and what is lost when they die: nothing."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import TabularPolicy, TrainConfig, Trainer, enumerate_states
from gflow.behaviours.searchers import Searchers
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, MissingExtraError
from gflow.machines.cluster import connect, disconnect
from gflow.objectives import LogPartitionVariance
from gflow.rewards import HostReward, Pool, RayPool, WorkerPool, open_pool
from gflow.rewards.pool import WorkerError, WorkerTimeoutError
from gflow.searchers import RayCrew

ENV = HyperGrid(2, 4)
GRAPH = enumerate_states(ENV)
BEFORE = signal.getsignal(signal.SIGTERM)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray on this machine, for all tests here."""
    pytest.importorskip("ray")
    ray = connect("ray", 2)
    yield ray
    disconnect()
    assert not ray.is_initialized()


def whoami(items: list[Any]) -> list[int]:
    return [os.getpid() for _ in items]


@pytest.mark.slow
def test_what_a_worker_held_when_it_died_is_computed_again(cluster: Any, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    assert signal.getsignal(signal.SIGTERM) is BEFORE  # Ray has left it alone

    def square(items: list[int]) -> list[int]:
        """Dies once, at 77; always, at -1; fails at 200; is slow at 300."""
        for item in items:
            if item == -1 or (item == 77 and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if item == 200:
                raise ValueError("two hundred")
            if item == 300:
                time.sleep(3600)
        return [item * item for item in items]

    with RayPool(2, chunk=5) as pool:
        before = set(pool.map(whoami, range(20)))
        assert os.getpid() not in before
        assert pool.map(square, list(range(100))) == [x * x for x in range(100)]
        assert mark.exists()
        after = set(pool.map(whoami, range(20)))
        assert len(after | before) > len(before)
        with pytest.raises(WorkerError, match=r"failed for 200: ValueError: two hundred"):
            pool.map(square, [1, 2, 200, 3])
        with pytest.raises(
            WorkerTimeoutError, match=r"more than timeout=0.5 s for 300; its worker was ended"
        ):
            pool.map(square, [4, 300, 5], timeout=0.5)
        assert pool.map(square, [6]) == [36]
        pool.retries = 1
        with pytest.raises(WorkerError, match=r"while it held -1, the last of 2 that did"):
            pool.map(square, [-1])
        reward: HostReward[Any] = HostReward(lambda states: states.tolist(), square, pool)
        assert reward(torch.tensor([2, 3, 2])).tolist() == [4, 9, 4]
    assert cluster.is_initialized()  # others use it


def distance(policy: TabularPolicy) -> float:
    """Total variation from the target."""
    found = GRAPH.terminal_distribution(policy)
    return float((found.exp() - GRAPH.log_target().exp()).abs().sum() / 2)


@pytest.mark.slow
def test_searchers_on_ray_fill_the_memory_and_are_replaced(cluster: Any) -> None:
    searchers = Searchers(1, pool="ray", publish=3, recent=0.5)
    policy = TabularPolicy(GRAPH, "uniform")
    config = TrainConfig(batch_size=24, lr=0.02, epsilon=0.1)
    trainer = Trainer(ENV, policy, LogPartitionVariance(), config, behaviour=searchers)
    trainer.train(30)
    assert isinstance(searchers.crew, RayCrew)
    assert searchers.memory is not None
    (post,) = searchers.crew.posts
    found = searchers.searched
    assert found >= 24
    cluster.kill(post.actor)  # as if its node were gone
    limit = time.monotonic() + 120
    while searchers.searched < found + 400 or trainer.step < 150:
        assert time.monotonic() < limit, "no searcher took its place"
        trainer.train(1)
        time.sleep(0.01)  # the trainer does not wait, and this test has no need to hurry
    # How much of each batch the searchers found depends on the machine: so does the step it is
    # learned at. Their objects pull nowhere else, or this would not be reached.
    even = distance(TabularPolicy(GRAPH, "uniform"))
    while distance(policy) >= 0.5 * even:
        assert trainer.step < 2000, "it does not learn from what searchers find"
        trainer.train(20)
    assert post.losses == 0
    made = searchers.memory.column("made")
    assert len(made.unique()) > 2
    assert not made.remainder(3).any()  # those of batches that were published
    assert made.max() > 30
    trainer.behaviour.close()  # type: ignore[attr-defined]
    assert searchers.crew is None


def test_pools_have_names() -> None:
    with pytest.raises(ConfigError, match="pool must be local, ray .* got 'mars'"):
        open_pool("mars", 2)
    with pytest.raises(ConfigError, match="pool must be local"):
        Searchers(pool="rays://there:1")
    with pytest.raises(ConfigError, match="Without workers, use pool='local'"):
        open_pool("ray", 0)
    with pytest.raises(ConfigError, match=r"retries >= 0"):
        WorkerPool(1, retries=-1)
    near, far = open_pool("local", 2, 3.0), open_pool("ray://there:10001", 2, 3.0)
    assert isinstance(near, WorkerPool)
    assert isinstance(far, RayPool)
    assert isinstance(near, Pool)
    assert (far.workers, far.pool, far.timeout) == (2, "ray://there:10001", 3.0)
    assert open_pool(far) is far
    with pytest.raises(ConfigError, match="RayPool was given as a pool and has its own workers"):
        open_pool(far, 2)


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="extra 'ray' with: pip install 'ray"):
        RayPool(1).map(whoami, [1])


def test_environments_with_workers_take_a_pool() -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("RNA")
    from gflow.envs.atoms.task import AtomsTask
    from gflow.envs.molecules.task import MoleculesTask
    from gflow.envs.sequences.rna_task import RNATask

    there = {"pool": "ray://there:10001", "workers": 3, "timeout": 7.0}
    molecules: Any = MoleculesTask(**there).environment()  # type: ignore[arg-type]
    atoms: Any = AtomsTask(**there).environment()  # type: ignore[arg-type]
    rna: Any = RNATask(**there).environment()  # type: ignore[arg-type]
    for pool in (molecules.host.pool, atoms.pool, rna.reward.pool):
        assert isinstance(pool, RayPool)
        assert (pool.workers, pool.pool, pool.timeout) == (3, "ray://there:10001", 7.0)

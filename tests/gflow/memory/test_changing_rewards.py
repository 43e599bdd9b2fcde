"""Rewards that change while one trains: memories, caches and checkpoints follow their version."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    FunctionReward,
    HostReward,
    LogReward,
    MLPPolicy,
    Sampler,
    enumerate_states,
)
from gflow.behaviours.base import Incomplete, Sampling
from gflow.behaviours.front import FrontReplay
from gflow.envs import HyperGrid
from gflow.envs.pairs.composition import Product
from gflow.learner import Learner
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive, non_dominated
from gflow.memory.replay import ReplayBuffer
from gflow.memory.rescore import rescored
from gflow.metrics import total_variation
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.rewards.remembering import CachedReward
from gflow.rewards.vector import VectorReward
from gflow.rewards.wrappers import Clipped, Tempered
from gflow.state import to_device
from gflow.training.trainer import TrainConfig, Trainer


class Peak(LogReward[Tensor]):
    """Falls with the distance from a cell, which may move; counts how often it is asked."""

    def __init__(self, cell: tuple[int, int], slope: float = 1.0) -> None:
        self.cell, self.slope = torch.tensor(cell), slope
        self.sizes: list[int] = []

    def move(self, cell: tuple[int, int]) -> None:
        self.cell = torch.tensor(cell)
        self.version += 1

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        self.sizes.append(len(states))
        distance = (states - self.cell).abs().sum(-1)
        return -self.slope * distance.to(torch.get_default_dtype())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"draw": "reward"},
    {"draw": "rank"},
    {"draw": "prt"},
    {"keep": "best"},
    {"keep": "best", "distinct": True, "draw": "top", "top": 3},
    {"keep": "diverse", "cutoff": 1.0},
    {"rebuild": "backward"},
    {"rebuild": "backward", "keep": "best", "draw": "tenth"},
]


def filled(settings: dict[str, Any]) -> tuple[HyperGrid, Peak, ReplayBuffer, MLPPolicy]:
    reward = Peak((0, 0))
    env = HyperGrid(2, 6, reward)
    policy = MLPPolicy(env, 8, generator=seeded())
    buffer = ReplayBuffer(env, 64, **settings)
    for seed in range(3):
        buffer.add(Sampler(env).forward(policy, 40, generator=seeded(seed)))
    reward.sizes.clear()
    return env, reward, buffer, policy


def ends(env: HyperGrid, buffer: ReplayBuffer) -> Tensor:
    if buffer.has_objects:
        objects: Tensor = buffer.objects
    else:
        objects = Sampler(env).along(buffer.actions, buffer.length).final_states
    return objects


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_memory_holds_the_rewards_of_the_moment(settings: dict[str, Any]) -> None:
    env, reward, buffer, _ = filled(settings)
    old = buffer.log_reward.clone()
    assert reward.sizes == []
    reward.move((5, 5))
    new = buffer.log_reward.clone()
    assert reward.sizes == [len(buffer)], "all in one batch"
    assert not torch.equal(old, new)
    assert torch.equal(buffer.log_reward, new)
    assert reward.sizes == [len(buffer)], "and once"
    torch.testing.assert_close(new, env.target_log_reward(ends(env, buffer)))
    if buffer.order is not None:
        assert torch.equal(buffer.order.values, new.sort().values)
        assert torch.equal(new[buffer.order.slots], buffer.order.values)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_is_drawn_has_the_new_reward(settings: dict[str, Any]) -> None:
    env, reward, buffer, policy = filled(settings)
    reward.move((5, 5))
    batch = buffer.sample(Sampler(env), 16, seeded(), policy=policy)
    torch.testing.assert_close(batch.log_reward, env.target_log_reward(batch.final_states))
    if buffer.draw == "uniform":  # nothing but what was drawn has to be scored
        assert reward.sizes[0] <= 16
        assert len(reward.sizes) == 2  # the other is the test's own
        mixed = buffer.log_reward
        assert reward.sizes[2] == len(buffer) - reward.sizes[0]
        torch.testing.assert_close(mixed, env.target_log_reward(ends(env, buffer)))


def test_the_best_are_the_best_by_the_new_reward() -> None:
    env, reward, buffer, _ = filled({"keep": "best", "distinct": True, "draw": "top", "top": 1})
    reward.move((3, 1))
    rows = buffer.rows(5, seeded())
    best = int(env.target_log_reward(buffer.objects).argmax())
    assert (buffer.objects[rows] == buffer.objects[best]).all()
    # A full memory that keeps the best gives way to what is better now, and was worse.
    small = ReplayBuffer(env, 2, "best", distinct=True, rebuild="backward")
    small.add_objects(torch.tensor([[3, 1], [0, 0]]))
    reward.move((5, 5))
    small.add_objects(torch.tensor([[4, 5], [5, 4]]))
    assert sorted(small.objects.tolist()) == [[4, 5], [5, 4]]


def test_a_checkpoint_says_which_version_scored_what() -> None:
    env, reward, buffer, _ = filled({"draw": "rank"})
    reward.move((5, 5))
    batch = Sampler(env).forward(MLPPolicy(env, 8), 10, generator=seeded(7))
    buffer.add(batch)  # these are scored by the new version already
    reward.sizes.clear()
    again = ReplayBuffer(env, 64, draw="rank")
    again.load_state_dict(buffer.state_dict())
    assert reward.sizes == []
    torch.testing.assert_close(again.log_reward, env.target_log_reward(ends(env, again)))
    assert reward.sizes[0] == 54
    assert torch.equal(again.rows(20, seeded()), buffer.rows(20, seeded()))


def test_the_best_objects_are_ranked_anew() -> None:
    reward = Peak((0, 0))
    env = HyperGrid(2, 6, reward)
    best = BestObjects(env, 4)
    cells = env.cells(torch.arange(36))
    best.add(cells, env.log_reward(cells))
    assert best.states[0].tolist() == [0, 0]
    saved = best.state_dict()
    reward.sizes.clear()
    reward.move((1, 0))
    assert best.states[0].tolist() == [1, 0]
    assert best.log_reward.tolist() == [0.0, -1.0, -1.0, -2.0]
    assert reward.sizes == [4]
    again = BestObjects(env, 4)
    again.load_state_dict(saved)
    assert again.states[0].tolist() == [1, 0]
    best.add(cells, env.log_reward(cells))
    assert best.log_reward.tolist() == [0.0, -1.0, -1.0, -1.0]


class Two(VectorReward[Tensor]):
    """The coordinates as scores, or their negatives."""

    num_scores = 2
    sign = 1.0

    def scores(self, states: Tensor) -> Tensor:
        return self.sign * states.to(torch.get_default_dtype()) + 6


def test_an_archive_is_ordered_anew() -> None:
    reward = Two()
    env = HyperGrid(2, 5, reward)
    archive = ParetoArchive(env)
    cells = torch.tensor([[0, 4], [3, 3], [4, 0], [1, 2]])
    archive.add(cells, env.scores(cells))
    assert archive.states.tolist() == [[0, 4], [3, 3], [4, 0]]
    reward.sign = -1.0
    reward.version += 1
    assert len(archive) == 3
    torch.testing.assert_close(archive.scores, env.scores(archive.states))
    # Now (1, 2) dominates (3, 3).
    assert archive.add(cells[3:], env.scores(cells[3:])) == 1
    assert archive.states.tolist() == [[0, 4], [4, 0], [1, 2]]
    assert bool(non_dominated(archive.scores).all())


def test_caches_forget_what_an_older_version_scored() -> None:
    peak = Peak((0, 0))
    env = HyperGrid(2, 4)
    cached = CachedReward(peak, env.key)
    cells = env.cells(torch.arange(16))
    first = cached(cells)
    assert torch.equal(cached(cells), first)
    assert peak.sizes == [16]
    peak.move((3, 3))
    assert torch.equal(cached(cells[:4]), peak(cells[:4]))
    assert peak.sizes == [16, 4, 4]

    shift = [0.0]
    host: HostReward[Tensor] = HostReward(
        lambda s: [tuple(c) for c in s.tolist()], lambda xs: [x[0] + shift[0] for x in xs]
    )
    assert host(cells[:1]).item() == 0.0
    shift[0] = 2.0
    assert host(cells[:1]).item() == 0.0, "nobody said that it changed"
    host.version += 1
    assert host(cells[:1]).item() == 2.0


def test_a_change_inside_is_a_change_outside() -> None:
    peak = Peak((0, 0))
    outer = Tempered(Clipped(peak, low=-3), beta=2.0)
    pair = Product(HyperGrid(2, 3, outer), HyperGrid(1, 3)).reward
    assert (outer.version, pair.version) == (0, 0)
    peak.version += 1
    outer.beta = 3.0
    outer.version += 1
    assert (peak.version, outer.version, pair.version) == (1, 2, 2)
    outer.version = 7  # as a checkpoint sets it
    peak.version += 1
    assert (peak.version, outer.version) == (2, 8)


class Mover(Learner):
    """Moves the peak at one step, as a learned energy would at every one."""

    def __init__(self, reward: Peak, when: int, tell: bool) -> None:
        self.reward, self.when, self.tell, self.steps = reward, when, tell, 0
        self.module = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.0)

    def learn(self, env: Any, policy: Any, batch: Any, generator: Any) -> dict[str, Tensor]:
        self.steps += 1
        if self.steps == self.when:
            version = self.reward.version
            self.reward.move((0, 3))
            self.reward.version = version + self.tell
        return {}


@pytest.mark.parametrize("inner", [None, Incomplete(0.5)])
def test_a_batch_is_scored_anew_if_the_reward_changes_before_the_step(inner: Any) -> None:
    reward = Peak((3, 0), slope=0.7)
    env = HyperGrid(2, 4, reward)
    policy = MLPPolicy(env, 8, log_flow=True, generator=seeded())
    mover, best, seen = Mover(reward, 2, tell=True), BestObjects(env, 100), []

    class Watched(DetailedBalance):
        def evaluate(self, env: Any, policy: Any, trajectories: Any) -> Any:
            whole = trajectories.whole
            wanted = env.target_log_reward(whole.final_states)
            seen.append(torch.equal(whole.log_reward, wanted))
            return super().evaluate(env, policy, trajectories)

    config = TrainConfig(batch_size=40)
    trainer = Trainer(
        env, policy, Watched(), config, behaviour=inner, learners=[mover], callbacks=[best]
    )
    trainer.train(3)
    assert seen == [True, True, True]
    assert reward.version == 1
    torch.testing.assert_close(best.log_reward, env.log_reward(best.states))


def trained(tell: bool) -> float:
    """Exact distance to the new target after 700 steps, nearly all of them from memory."""
    reward = Peak((3, 0), slope=0.7)
    env = HyperGrid(2, 4, reward)
    torch.manual_seed(0)
    policy = MLPPolicy(env, 32)
    config = TrainConfig(
        batch_size=32, lr=5e-3, log_z_lr=0.05, replay=4000, replay_fraction=0.9, epsilon=0.2
    )
    mover = Mover(reward, 300, tell)
    Trainer(env, policy, TrajectoryBalance(), config, learners=[mover]).train(700)
    graph = enumerate_states(env)
    return float(total_variation(graph.terminal_distribution(policy), graph.log_target()))


@pytest.mark.slow
def test_training_from_memory_finds_the_new_target() -> None:
    assert trained(tell=True) < 0.05
    assert trained(tell=False) > 0.15, "remembered rewards of the old one hold it back"


HERE = torch.device("cpu", 0)
"""Another name of the CPU, to see who asks for which device."""


def resumed(memory: Any, again: Any, reward: Any) -> None:
    """`again` as after a restart, when nothing was added yet, and under a newer reward."""
    again.load_state_dict(copy.deepcopy(memory.state_dict()))
    reward.version += 1


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_resumed_memory_scores_where_it_is_asked_to(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env, reward, buffer, policy = filled(settings)
    again = ReplayBuffer(env, 64, **settings)
    resumed(buffer, again, reward)
    asked = []

    def noted(env: Any, objects: Any, condition: Any, device: Any) -> Any:
        asked.append(device)
        return rescored(env, objects, condition, device)

    monkeypatch.setattr("gflow.memory.replay.rescored", noted)
    again.sample(Sampler(env), 4, seeded(), HERE, policy)
    assert asked == [HERE]


def test_a_resumed_front_scores_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    env = HyperGrid(2, 4, Two())
    policy = MLPPolicy(env, 8, generator=seeded())
    archive, again = ParetoArchive(env), ParetoArchive(env)
    batch = Sampler(env).forward(policy, 20, generator=seeded())
    archive(None, batch, {})
    resumed(archive, again, env.reward)
    asked = []

    def noted(value: Any, device: Any) -> Any:
        asked.append(device)
        return to_device(value, device)

    monkeypatch.setattr("gflow.memory.pareto.to_device", noted)
    sampling = Sampling(policy, Sampler(env), generator=seeded(), device=HERE)
    FrontReplay(again, 0.5).collect(sampling, 8)
    assert asked[0] == HERE


def test_a_resumed_run_knows_the_version() -> None:
    def build() -> tuple[Peak, Trainer]:
        reward = Peak((3, 0))
        env = HyperGrid(2, 4, reward)
        policy = MLPPolicy(env, 8, generator=seeded())
        config = TrainConfig(batch_size=8, replay=50, replay_draw="reward")
        return reward, Trainer(env, policy, TrajectoryBalance(), config)

    reward, trainer = build()
    trainer.train(4)
    reward.move((0, 3))
    state = copy.deepcopy(trainer.state_dict())
    records = [trainer.train_step() for _ in range(3)]
    other, resumed = build()
    other.cell = torch.tensor((0, 3))
    resumed.load_state_dict(state)
    assert other.version == 1
    assert [resumed.train_step() for _ in range(3)] == records


def test_functions_that_change_are_told_apart_by_their_version() -> None:
    """The plainest reward: a closure over a number."""
    weight = [1.0]
    reward: FunctionReward[Tensor] = FunctionReward(
        lambda cells: weight[0] * cells.sum(-1).to(torch.get_default_dtype())
    )
    env = HyperGrid(2, 4, reward)
    buffer = ReplayBuffer(env, 10, rebuild="backward")
    buffer.add_objects(torch.tensor([[1, 1], [2, 0]]))
    weight[0] = -1.0
    assert buffer.log_reward.tolist() == [2.0, 2.0]
    reward.version += 1
    assert buffer.log_reward.tolist() == [-2.0, -2.0]

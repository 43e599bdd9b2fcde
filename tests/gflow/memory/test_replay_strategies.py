"""Strategies of replay: how they draw, diversity, backward trajectories, augmentation."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    MLPPolicy,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.data import BackwardReplay
from gflow.conditions.draws import UniformCondition
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, IncompatibleError
from gflow.memory.keep import names
from gflow.memory.replay import ReplayBuffer
from gflow.memory.sorted_index import SortedIndex
from gflow.objective import Objective
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.rewards.wrappers import TemperatureConditional
from gflow.testing import TableEnvironment
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

ENV = HyperGrid(2, 5)
GRAPH = enumerate_states(ENV)
FLAT = TabularPolicy(GRAPH, "uniform")


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def valued(values: list[float], draw: Any, **options: Any) -> ReplayBuffer:
    """A memory of the first cells of the grid with the given log-rewards."""
    buffer = ReplayBuffer(ENV, 100, draw=draw, rebuild="backward", **options)
    buffer.add_objects(GRAPH.states[: len(values)], torch.tensor(values))
    return buffer


def shares(buffer: ReplayBuffer, count: int = 20_000) -> Tensor:
    """How often each value was drawn, from the lowest."""
    drawn = buffer.log_reward[buffer.rows(count, g())]
    return torch.stack([(drawn == v).double().mean() for v in buffer.log_reward.sort().values])


# ---------------------------------------------------------------------- order


@given(
    start=st.lists(st.integers(0, 5), max_size=8),
    changes=st.lists(
        st.tuples(st.sets(st.integers(0, 20)), st.lists(st.integers(0, 5), max_size=5)), max_size=5
    ),
)
def test_the_index_is_a_sorted_list(start: list[int], changes: list[Any]) -> None:
    """Ties in order of arrival, whatever comes and goes."""
    index, fresh = SortedIndex(), 0
    model: list[tuple[float, int]] = []
    for gone, values in [(set(), start), *changes]:
        index.remove(torch.tensor(sorted(gone), dtype=torch.int64))
        model = [(v, s) for v, s in model if s not in gone]
        slots = list(range(fresh + 100, fresh + 100 + len(values)))
        free = [s for s in range(21) if s not in [s for _, s in model]][: len(values)]
        slots = free + slots[len(free) :]
        fresh += len(values)
        index.add(torch.tensor(values, dtype=torch.float64), torch.tensor(slots, dtype=torch.int64))
        model = sorted([*model, *zip(values, slots, strict=True)], key=lambda entry: entry[0])
        assert list(zip(index.values.tolist(), index.slots.tolist(), strict=True)) == model


def test_old_entries_are_never_drawn_under_the_rank_of_the_new() -> None:
    """OP-9: capacity 5, 20 pushes; the best of the moment, not the best of a slot's past."""
    buffer = ReplayBuffer(ENV, 5, draw="top", rebuild="backward", top=1)
    values = torch.randperm(20, generator=g()).double()
    for k in range(20):
        buffer.add_objects(GRAPH.states[k][None], values[k][None])
        now = values[max(0, k - 4) : k + 1]
        row = buffer.rows(3, g())
        assert buffer.log_reward[row].tolist() == [float(now.max())] * 3
        best = GRAPH.states[max(0, k - 4) + int(now.argmax())]
        assert torch.equal(buffer.objects[row[0]], best)


# ---------------------------------------------------------------------- laws


def test_half_of_prt_comes_from_each_side_of_the_percentile() -> None:
    """B-14. Of 0..20 the 90th percentile is 18, which is in both halves."""
    values = [float(v) for v in range(21)]
    buffer = valued(values, "prt")
    rows = buffer.rows(20, g())
    assert (buffer.log_reward[rows] >= 18).sum() >= 10
    assert (buffer.log_reward[rows] <= 18).sum() >= 10
    found = shares(buffer)
    wanted = torch.full((21,), 0.5 / 19)
    wanted[18:] = 0.5 / 3
    wanted[18] += 0.5 / 19
    torch.testing.assert_close(found, wanted, atol=0.012, rtol=0)


def test_a_percentile_between_two_entries_belongs_to_neither() -> None:
    """Of 0..11 it is 9.9."""
    found = shares(valued([float(v) for v in range(12)], "prt"))
    wanted = torch.cat([torch.full((10,), 0.05), torch.full((2,), 0.25)]).double()
    torch.testing.assert_close(found, wanted, atol=0.012, rtol=0)


def test_entries_equal_to_the_percentile_are_in_both_halves() -> None:
    """Of 0, 1, 2 and nine times 3 the percentile is 3, and every 3 is above and below."""
    buffer = valued([0.0, 1.0, 2.0] + [3.0] * 9, "prt")
    high = (buffer.log_reward[buffer.rows(20_000, g())] == 3).double().mean()
    assert abs(float(high) - (0.5 + 0.5 * 9 / 12)) < 0.012


def test_prt_needs_ten_objects_and_knows_each_once() -> None:
    """B-14: fewer give nothing, so the batch is fresh."""
    buffer = valued([float(v) for v in range(9)], "prt")
    assert not buffer.ready(4)
    with pytest.raises(ConfigError, match="at least 10 objects, and 9 are remembered"):
        buffer.rows(4)
    buffer.add_objects(GRAPH.states[:9], torch.zeros(9))
    assert len(buffer) == 9, "they were there already"
    buffer.add_objects(GRAPH.states[[9, 9, 3]], torch.zeros(3))
    assert len(buffer) == 10
    assert buffer.ready(64)


def test_ranks_have_their_distribution() -> None:
    n = 12
    found = shares(valued([float(v) for v in range(n)], "rank"))
    weight = 1 / (0.01 * n + torch.arange(n).double())
    torch.testing.assert_close(found.flip(0), weight / weight.sum(), atol=0.012, rtol=0)


def test_the_top_and_the_best_tenth() -> None:
    top = shares(valued([float(v) for v in range(12)], "top", top=3))
    wanted = torch.tensor([0.0] * 9 + [1 / 3] * 3)
    torch.testing.assert_close(top, wanted.double(), atol=0.012, rtol=0)
    half = shares(valued([float(v) for v in range(20)], "tenth"))
    wanted = torch.tensor([0.5 / 18] * 18 + [0.25] * 2)
    torch.testing.assert_close(half, wanted.double(), atol=0.012, rtol=0)
    assert valued([1.0], "tenth").rows(5, g()).tolist() == [0] * 5
    assert set(valued([1.0, 2.0], "tenth").rows(50, g()).tolist()) == {0, 1}


# ---------------------------------------------------------------------- diversity


@given(seed=st.integers(0, 200), cutoff=st.sampled_from([1.0, 2.0]))
def test_diverse_objects_are_apart_and_the_better_of_two_stays(seed: int, cutoff: float) -> None:
    """Against the definition, one object at a time, best first within a batch."""
    env = HyperGrid(3, 3)
    cells = enumerate_states(env).states
    buffer = ReplayBuffer(env, 4, "diverse", rebuild="backward", cutoff=cutoff)
    model: list[tuple[float, tuple[int, ...]]] = []
    generator = g(seed)
    for _ in range(4):
        rows = torch.randint(len(cells), (5,), generator=generator)
        values = torch.rand(5, generator=generator)
        buffer.add_objects(cells[rows], values)
        fits: list[tuple[float, tuple[int, ...]]] = []
        low = min(v for v, _ in model) if len(model) == 4 else -1.0
        for value, row in sorted(zip(values.tolist(), rows.tolist(), strict=True), reverse=True):
            cell = tuple(cells[row].tolist())
            taken = [c for _, c in model + fits]
            apart = all(sum(a != b for a, b in zip(cell, c, strict=True)) >= cutoff for c in taken)
            if value > low and apart:
                fits.append((value, cell))
        model = sorted(model + fits)[-4:]
        found = zip(buffer.log_reward.tolist(), map(tuple, buffer.objects.tolist()), strict=True)
        assert sorted(found) == model


def test_a_distance_of_ones_own() -> None:
    def steps(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b[None]).abs().sum(-1).double()

    buffer = ReplayBuffer(ENV, 9, "diverse", rebuild="backward", cutoff=3, distance=steps)
    cells = torch.tensor([[0, 0], [1, 1], [4, 4], [2, 1], [3, 3]])
    buffer.add_objects(cells, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert buffer.objects.tolist() == [[3, 3], [2, 1], [0, 0]]


def test_without_a_table_of_features_a_distance_must_be_given() -> None:
    class Odd(HyperGrid):
        def encode(self, states: Any) -> Any:
            return (states,)

    env = Odd(2, 3)
    buffer = ReplayBuffer(env, 9, "diverse", rebuild="backward")
    with pytest.raises(IncompatibleError, match="Give ReplayBuffer a `distance` of your own"):
        buffer.add_objects(torch.tensor([[0, 0], [1, 1]]))


# ---------------------------------------------------------------------- backward


def test_trajectories_are_drawn_anew_with_the_present_backward_policy() -> None:
    """Objects stay, trajectories change; log P_B is that of the policy at hand."""
    policy = TabularPolicy(GRAPH)
    with torch.no_grad():
        policy.backward_table.normal_(0, 2, generator=g(3))
    seen = Sampler(ENV).forward(FLAT, 30, generator=g())
    buffer = ReplayBuffer(ENV, 30, rebuild="backward")
    buffer.add(seen)
    assert buffer.actions is None
    drawn = buffer.sample(Sampler(ENV), 4000, g(1), policy=policy)
    known = {tuple(c) for c in seen.final_states.tolist()}
    assert {tuple(c) for c in drawn.final_states.tolist()} == known
    torch.testing.assert_close(drawn.log_reward, ENV.log_reward(drawn.final_states))
    longest = drawn.length == drawn.length.max()
    cells = drawn.final_states[longest]
    same = longest.nonzero().squeeze(1)[cells.eq(cells[0]).all(1)]
    paths, counts = torch.unique(drawn.actions[same], dim=0, return_counts=True)
    assert len(paths) > 3
    some = Sampler(ENV).along(paths, drawn.length[same][: len(paths)])
    wanted = evaluate(ENV, policy, some).log_pb.sum(-1).exp().detach()
    torch.testing.assert_close(counts / len(same), wanted, atol=0.12, rtol=0)
    with pytest.raises(ConfigError, match="pass `policy`"):
        buffer.sample(Sampler(ENV), 3)


def test_actions_cannot_be_repeated_from_objects_alone() -> None:
    with pytest.raises(ConfigError, match="no actions to repeat"):
        ReplayBuffer(ENV, 5).add_objects(GRAPH.states[:2])


@pytest.mark.parametrize("rebuild", ["actions", "backward"])
def test_conditions_and_scores_stay_with_their_objects(rebuild: Any) -> None:
    env = HyperGrid(2, 4)
    vector = HyperGrid(2, 4, TemperatureConditional(Corners(4)))
    vector.condition_dim = 1
    flat = TabularPolicy(enumerate_states(HyperGrid(2, 4)), "uniform")
    batch = Sampler(HyperGrid(2, 4)).forward(flat, 12, generator=g())
    condition = torch.arange(12.0)[:, None] + 1
    given = Sampler(vector).along(batch.actions, batch.length, condition=condition)
    buffer = ReplayBuffer(vector, 12, rebuild=rebuild)
    buffer.add(given)
    drawn = buffer.sample(Sampler(vector), 40, g(), policy=flat)
    assert drawn.condition is not None
    torch.testing.assert_close(
        drawn.log_reward, vector.log_reward(drawn.final_states, drawn.condition)
    )
    scored = ReplayBuffer(env, 12, rebuild=rebuild)
    scores = torch.rand(12, 3, generator=g())
    known = {"log_reward": batch.log_reward, "scores": scores}
    scored.add(Sampler(env).along(batch.actions, batch.length, **known))
    drawn = scored.sample(Sampler(env), 40, g(), policy=flat)
    assert drawn.scores is not None
    for cell, score in zip(drawn.final_states, drawn.scores, strict=True):
        here = (batch.final_states == cell).all(1)
        assert (scores[here] == score).all(1).any()
    with pytest.raises(ConfigError, match="either all have conditions, or none"):
        buffer.add(batch)


def test_objects_without_keys_are_told_apart_by_content_and_condition() -> None:
    cells = torch.tensor([[1, 2], [1, 2], [2, 1]])

    for keys in (ENV.object_key(cells), None):
        one, two, three = names(keys, cells, None)
        assert one == two != three
        one, two, three = names(keys, cells, torch.tensor([[0.0], [1.0], [0.0]]))
        assert len({one, two, three}) == 3


@pytest.mark.slow
def test_a_data_set_is_followed_backward() -> None:
    """Trained on objects of the target alone, the policy finds the target."""
    env = HyperGrid(2, 4, Corners(4, 0.05))
    graph = enumerate_states(env)
    target = graph.log_target()
    rows = torch.multinomial(target.exp(), 4000, replacement=True, generator=g())
    data = graph.states[graph.objects][rows]
    behaviour = BackwardReplay(env, data, share=1.0)
    policy = TabularPolicy(graph, "uniform")
    config = TrainConfig(batch_size=32, lr=0.05, log_z_lr=0.1)
    trainer = Trainer(env, policy, TrajectoryBalance(), config, behaviour=behaviour)
    trainer.train(300)
    error = (graph.terminal_distribution(policy).exp() - target.exp()).abs().sum() / 2
    assert error < 0.05
    half = BackwardReplay(env, data[:3], share=0.5)
    mixed = Trainer(env, policy, TrajectoryBalance(), config, behaviour=half).sample()
    allowed = {tuple(c) for c in data[:3].tolist()}
    ends = [tuple(c) in allowed for c in mixed.final_states.tolist()]
    assert len(ends) == 32
    assert all(ends[16:])
    assert not all(ends[:16])


def test_a_data_set_must_hold_finished_objects() -> None:
    env = TableEnvironment([[1], [2], []], [0.0] * 3)
    with pytest.raises(ConfigError, match="row 1 of the data set, .* is no finished object"):
        BackwardReplay(env, torch.tensor([2, 1]))
    with pytest.raises(ConfigError, match="has no objects"):
        BackwardReplay(ENV, GRAPH.states[:0])
    with pytest.raises(ConfigError, match=r"share must lie in \(0, 1\], got 0"):
        BackwardReplay(ENV, GRAPH.states[:2], share=0)


# ---------------------------------------------------------------------- in training


STRATEGIES: dict[str, dict[str, Any]] = {
    "recent": {},
    "best": {"replay_keep": "best"},
    "diverse": {"replay_keep": "diverse", "replay_cutoff": 1.0},
    "prt": {"replay_draw": "prt", "replay_rebuild": "backward", "replay": 12},
    "rank": {"replay_draw": "rank", "replay_distinct": True},
    "top": {"replay_draw": "top", "replay_top": 3, "replay_keep": "best"},
    "backward": {"replay_rebuild": "backward"},
    "augment": {"replay_rebuild": "backward", "augment": 2, "augment_objects": 3},
    "ema": {"ema": 0.9, "ema_sampling": 0.5, "trajectory_epsilon": 0.2},
}


def trainer_for(strategy: str, seed: int = 0) -> Trainer:
    policy = MLPPolicy(ENV, 8, log_flow=True, generator=g(seed))
    config = TrainConfig(**{"batch_size": 4, "replay": 9, "seed": seed, **STRATEGIES[strategy]})
    return Trainer(ENV, policy, DetailedBalance(), config)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_killed_run_resumes_to_the_same_bits(strategy: str, tmp_path: Any) -> None:
    whole = trainer_for(strategy)
    losses = [whole.train_step()["loss"] for _ in range(14)]
    first = trainer_for(strategy)
    first.train(8)
    assert first.replay is None or first.replay.ready(4)
    save_checkpoint(tmp_path / "c.pt", first.state_dict(), {})
    other = trainer_for(strategy, seed=5)
    other.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    assert [other.train_step()["loss"] for _ in range(6)] == losses[8:]
    for a, b in zip(whole.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_memory_that_could_never_be_drawn_from_is_refused() -> None:
    policy = MLPPolicy(ENV, 8, log_flow=True)
    for capacity, settings, least in (
        (3, {}, 4), (9, {"replay_draw": "prt"}, 10), (3, {"replay_distinct": True}, 4),
        (5, {"replay_rebuild": "backward", "augment": 1, "augment_objects": 6}, 6),
    ):  # fmt: skip
        config = TrainConfig(**{"batch_size": 4, "replay": capacity, **settings})  # type: ignore[arg-type]
        with pytest.raises(
            ConfigError, match=f"replay={capacity} remembers too little .* takes {least} "
        ):
            Trainer(ENV, policy, DetailedBalance(), config)
        Trainer(ENV, policy, DetailedBalance(), replace(config, replay=least))


def test_states_that_were_saved_do_not_change_afterwards() -> None:
    trainer = trainer_for("rank")
    trainer.train(6)
    assert trainer.replay is not None
    saved = trainer.replay.state_dict()
    before = saved["columns"]["log_reward"][0].clone()
    for k in range(9):
        trainer.replay.add(Sampler(ENV).forward(FLAT, 3, generator=g(k)))
    assert torch.equal(saved["columns"]["log_reward"][0], before)


def test_augmentation_takes_its_steps_back_from_good_and_other_objects() -> None:
    env: DiscreteEnvironment[Any] = HyperGrid(2, 5, Corners(5, 0.01))
    policy = MLPPolicy(env, 8, generator=g())
    config = TrainConfig(
        batch_size=4, replay=200, replay_rebuild="backward", augment=7, augment_objects=6
    )
    trainer = Trainer(env, policy, TrajectoryBalance(), config)
    seen: list[Trajectories[Any]] = []
    descend = trainer.descend

    def spy(batch: Trajectories[Any], objective: Objective | None = None) -> Any:
        seen.append(batch)
        return descend(batch, objective)

    trainer.descend = spy  # type: ignore[method-assign, assignment]
    record = trainer.train_step()
    assert "augmented_loss" not in record
    assert len(seen) == 1, "four objects are too few for six"
    for _ in range(9):
        record = trainer.train_step()
    assert record["augmented_loss"] >= 0
    last = seen[-7:]
    ends = torch.stack([batch.final_states for batch in last])
    assert ends.shape == (7, 6, 2)
    assert (ends == ends[0]).all(), "the same objects"
    assert any(not torch.equal(last[0].actions, batch.actions) for batch in last), (
        "other trajectories"
    )
    assert trainer.replay is not None
    value = trainer.replay.log_reward
    limit = value.sort().values[-(len(value) // 10)]
    assert (last[0].log_reward[:3] >= limit).all()


def test_the_average_is_followed_in_sampling() -> None:
    trainer = trainer_for("ema")
    how = trainer.exploration
    assert how.other is trainer.average
    assert (how.other_weight, how.trajectory_epsilon) == (0.5, 0.2)
    assert trainer_for("recent").exploration.other is None


def test_conditional_training_replays_backward() -> None:
    env = HyperGrid(2, 4, TemperatureConditional(Corners(4)))
    env.condition_dim = 1
    policy = MLPPolicy(env, 8, log_flow=True, generator=g())
    config = TrainConfig(batch_size=4, replay=30, replay_rebuild="backward", replay_distinct=True)
    trainer = Trainer(env, policy, DetailedBalance(), config, condition=UniformCondition(0.5, 2.0))
    trainer.train(5)
    batch = trainer.sample()
    assert batch.condition is not None
    torch.testing.assert_close(
        batch.log_reward, env.log_reward(batch.final_states, batch.condition)
    )


def test_settings_that_need_others_are_refused() -> None:
    with pytest.raises(ConfigError, match="set ema too"):
        TrainConfig(ema_sampling=0.5)
    with pytest.raises(ConfigError, match="set replay and replay_rebuild='backward' too"):
        TrainConfig(augment=3, replay=10)
    with pytest.raises(ConfigError, match="replay_top must be at least 1"):
        TrainConfig(replay_top=0)
    with pytest.raises(ConfigError, match="trajectory_epsilon must lie"):
        TrainConfig(trajectory_epsilon=2.0)
    with pytest.raises(
        ConfigError, match="BackwardAugmentation: objects must be at least 1, got 0"
    ):
        BackwardAugmentation(None, ReplayBuffer(ENV, 9, rebuild="backward"), 0, 5)
    with pytest.raises(ConfigError, match="draws objects from memory"):
        BackwardAugmentation(None, ReplayBuffer(ENV, 9))


@pytest.mark.parametrize(
    "settings", [{"replay_keep": "best"}, {"replay_draw": "prt"}, {"replay_rebuild": "backward"}]
)
def test_settings_of_no_memory_are_refused(settings: dict[str, Any]) -> None:
    (name, value), *_ = settings.items()
    with pytest.raises(ConfigError, match=f"{name}='{value}' is about a memory, and replay=0"):
        TrainConfig(**settings)
    TrainConfig(replay=20, **settings)

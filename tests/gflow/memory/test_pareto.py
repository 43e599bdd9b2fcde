"""The Pareto order by its laws, and an archive that cannot go stale (OP-6, OP-9)."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gflow.memory.pareto
from gflow import MLPPolicy, Sampler, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.memory.pareto import (
    ParetoArchive,
    _most_crowded,
    dominates,
    exact_front,
    non_dominated,
)
from gflow.memory.replay import ReplayBuffer

points = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64)
)


def beats(a: list[float], b: list[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


@given(points)
def test_the_order_is_irreflexive_asymmetric_and_transitive(scores: Tensor) -> None:
    above = dominates(scores[:, None], scores[None])
    rows = scores.tolist()
    assert above.tolist() == [[beats(a, b) for b in rows] for a in rows]
    assert not bool(above.diagonal().any())
    assert not bool((above & above.T).any())
    through = (above.double() @ above.double()) > 0
    assert bool((above | ~through).all())


@given(points, st.permutations(range(3)), st.integers(0, 999))
def test_maxima(scores: Tensor, columns: list[int], seed: int) -> None:
    rows = scores.tolist()
    front = non_dominated(scores)
    assert front.tolist() == [not any(beats(b, a) for b in rows) for a in rows]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(non_dominated(scores[order]), front[order])
    monotone = torch.stack([scores[:, 0].exp(), scores[:, 1] ** 3, 5 - 1 / (scores[:, 2] + 1)], 1)
    assert torch.equal(non_dominated(monotone[:, columns]), front)
    single = non_dominated(scores, deduplicate=True)
    kept = [rows[i] for i in single.nonzero().squeeze(1).tolist()]
    assert len(kept) == len({tuple(r) for r in kept})
    assert {tuple(r) for r in kept} == {tuple(rows[i]) for i in front.nonzero().squeeze(1).tolist()}
    first = {tuple(r): i for i, r in reversed(list(enumerate(rows)))}
    assert all(single[first[tuple(r)]] for r in kept), "the oldest of equal ones stays"


def test_many_points_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.rand(300, 2, generator=torch.Generator().manual_seed(0))
    whole = non_dominated(scores)
    monkeypatch.setattr(gflow.memory.pareto, "BLOCK", 7)
    assert torch.equal(non_dominated(scores), whole)
    assert non_dominated(scores[:0]).tolist() == []
    with pytest.raises(ShapeError, match="B, K"):
        non_dominated(scores[0])


def test_the_exact_front_of_a_grid() -> None:
    env = landscape_grid(("branin", "currin"), 8)
    objects, scores = exact_front(enumerate_states(env))
    every = env.scores(enumerate_states(env).states)
    rows = every.tolist()
    wanted = {tuple(r) for r in rows if not any(beats(b, r) for b in rows)}
    assert {tuple(r) for r in scores.tolist()} == wanted
    torch.testing.assert_close(env.scores(objects), scores)


# ---------------------------------------------------------------------- the archive

ENV = landscape_grid(("branin", "shubert"), 6, ending="free")
TABLE = torch.randint(0, 5, (36, 2), generator=torch.Generator().manual_seed(0)).double()


@settings(max_examples=40)
@given(
    batches=st.lists(st.lists(st.integers(0, 35), min_size=1, max_size=6), max_size=8),
    deduplicate=st.booleans(),
)
def test_it_holds_the_maxima_of_all_it_saw(batches: list[list[int]], deduplicate: bool) -> None:
    archive = ParetoArchive(ENV, deduplicate=deduplicate)
    seen: dict[int, tuple[float, ...]] = {}
    for batch in batches:
        keys = torch.tensor(batch)
        before = set(ENV.key(archive.states).tolist())
        fresh = archive.add(ENV.cells(keys), TABLE[keys])
        seen.update({k: tuple(TABLE[k].tolist()) for k in batch})
        best = {
            k for k, a in seen.items() if not any(beats(list(b), list(a)) for b in seen.values())
        }
        got = ENV.key(archive.states).tolist()
        assert len(got) == len(set(got)) == len(archive)
        assert archive.scores.tolist() == TABLE[torch.tensor(got)].tolist()
        assert fresh == len(set(got) - before)
        if deduplicate:
            assert {seen[k] for k in got} == {seen[k] for k in best}
            assert len(got) == len({seen[k] for k in got})
        else:
            assert set(got) == best
    other = ParetoArchive(ENV)
    other.load_state_dict(archive.state_dict())
    assert torch.equal(other.states, archive.states)
    assert torch.equal(other.scores, archive.scores)


def test_the_front_survives_the_overwriting_of_a_ring() -> None:
    """OP-9: twenty pushes through a memory of five."""
    env = landscape_grid(("branin", "currin"), 8)
    policy = MLPPolicy(env, 8, 1, backward="uniform")
    memory, archive = ReplayBuffer(env, 5), ParetoArchive(env)
    generator = torch.Generator().manual_seed(0)
    cells, scores = [], []
    for _ in range(20):
        batch = Sampler(env).forward(policy, 3, generator=generator)
        memory.add(batch)
        archive(None, batch, {})
        cells.append(batch.final_states)
        assert batch.scores is not None
        scores.append(batch.scores)
    seen, known = torch.cat(cells), torch.cat(scores)
    best = seen[non_dominated(known)].unique(dim=0)
    assert torch.equal(archive.states.unique(dim=0), best)
    torch.testing.assert_close(env.scores(archive.states), archive.scores)
    assert memory.scores is not None
    assert len(memory) == len(memory.scores) == 5
    held = {tuple(row) for row in memory.scores.tolist()}
    assert not {tuple(row) for row in archive.scores.tolist()} <= held, "the memory forgot some"


def test_without_room_the_front_stays_covered() -> None:
    angle = torch.linspace(0, torch.pi / 2, 36)
    front = torch.stack([angle.cos(), angle.sin()], 1)
    archive = ParetoArchive(ENV, capacity=6)
    archive.add(ENV.cells(torch.arange(36)), front)
    assert len(archive) == 6
    reach = torch.cdist(front, archive.scores).min(1).values
    assert float(reach.max()) < 0.35
    twins = ParetoArchive(ENV, capacity=2)
    twins.add(ENV.cells(torch.arange(3)), torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]]))
    assert sorted(twins.scores.tolist()) == [[0.0, 2.0], [1.0, 1.0]]


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_of_the_two_nearest_the_one_with_more_neighbours_goes(order: list[int]) -> None:
    """(0, 0) and (1, 0) are nearest to each other, and (1, 2) is nearer to the second of them."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    assert order[_most_crowded(points[order])] == 1


def test_draws() -> None:
    archive = ParetoArchive(ENV)
    with pytest.raises(ConfigError, match="nothing was added"):
        archive.draw(1)
    archive.add(ENV.cells(torch.tensor([3, 5])), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    states, scores = archive.draw(400, torch.Generator().manual_seed(0))
    counts = torch.bincount(ENV.key(states), minlength=6)
    assert counts[[3, 5]].sum() == 400
    assert abs(int(counts[3]) - 200) < 60
    assert torch.equal(scores[:, 0] == 1, ENV.key(states) == 5)


def test_what_has_no_scores_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="a single reward.*VectorReward"):
        ParetoArchive(HyperGrid(2, 4))
    with pytest.raises(ConfigError, match="capacity must be at least 1"):
        ParetoArchive(ENV, capacity=0)
    archive: Any = ParetoArchive(ENV)
    with pytest.raises(IncompatibleError, match="carry no scores"):
        archive(None, SimpleNamespace(scores=None), {})
    with pytest.raises(ShapeError, match="scores"):
        archive.add(ENV.initial(2), torch.zeros(2, 3))

"""Indicators of Pareto fronts: golden values, definitions in plain Python, and moocore."""

import builtins
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import gflow.metrics.multiobjective
from gflow import enumerate_states
from gflow.envs.grids.landscapes import landscape_grid
from gflow.errors import ConfigError, MissingExtraError, ShapeError
from gflow.memory.pareto import exact_front
from gflow.metrics import (
    averaged_hausdorff,
    focus_accuracy,
    gd_plus,
    hausdorff,
    hypervolume,
    igd_plus,
    pc_entropy,
    r2_indicator,
    top_k,
    unit_faces,
)


def sets(num: int, top: int = 9) -> st.SearchStrategy[Tensor]:
    row = st.lists(st.floats(0.0, 1.0), min_size=num, max_size=num)
    return st.lists(row, min_size=1, max_size=top).map(torch.tensor)


TWO = {
    ("branin", "currin"): (36, 0.982144),
    ("branin", "shubert"): (14, 0.883845),
    ("branin", "beale"): (44, 0.806667),
    ("currin", "shubert"): (32, 0.734926),
    ("currin", "beale"): (8, 0.897938),
    ("shubert", "beale"): (22, 0.685916),
}


@pytest.mark.parametrize("names", TWO)
def test_golden_fronts_of_two_landscapes(names: tuple[str, str]) -> None:
    _, front = exact_front(enumerate_states(landscape_grid(names)))
    size, volume = TWO[names]
    assert len(front) == len(front.unique(dim=0)) == size
    assert float(hypervolume(front)) == pytest.approx(volume, abs=5e-7)
    moocore = pytest.importorskip("moocore")
    theirs = moocore.hypervolume(front.numpy(), ref=[0.0, 0.0], maximise=True)
    assert float(hypervolume(front)) == pytest.approx(float(theirs), abs=1e-12)


@given(sets(2), st.floats(-0.5, 0.5))
def test_area_by_inclusion_and_exclusion(points: Tensor, low: float) -> None:
    total = 0.0
    rows = [[x - low for x in row] for row in points.tolist()]
    rows = [row for row in rows if min(row) > 0]
    for size in range(1, len(rows) + 1):
        for some in itertools.combinations(rows, size):
            total -= (-1) ** size * math.prod(min(c) for c in zip(*some, strict=True))
    assert float(hypervolume(points, low)) == pytest.approx(total, abs=1e-9)


@given(sets(3, 6), sets(3, 3))
def test_volume_in_three_dimensions_is_monotone(points: Tensor, more: Tensor) -> None:
    pytest.importorskip("moocore")
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points.tolist(), size):
            total -= (-1) ** size * math.prod(min(c) for c in zip(*some, strict=True))
    assert float(hypervolume(points)) == pytest.approx(total, abs=1e-9)
    assert hypervolume(torch.cat([points, more])) >= hypervolume(points) - 1e-12


def test_volume_of_one_score_and_of_nothing() -> None:
    assert float(hypervolume(torch.tensor([[2.0], [3.0]]), 1.0)) == 2
    assert float(hypervolume(torch.zeros(0, 2))) == 0
    assert float(hypervolume(torch.tensor([[1.0, -1.0]]))) == 0
    low = torch.tensor([1.0, 0.5])
    assert float(hypervolume(torch.tensor([[2.0, 2.0]]), low)) == pytest.approx(1.5)


def test_three_scores_without_moocore_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    right = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "moocore":
            raise ImportError(name)
        return right(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert float(hypervolume(torch.ones(1, 2))) == 1
    with pytest.raises(MissingExtraError, match="moocore.*pip install 'moocore"):
        hypervolume(torch.ones(1, 3))


# ---------------------------------------------------------------------- distances


def plus(p: list[float], u: list[float]) -> float:
    return math.sqrt(sum(max(a - b, 0) ** 2 for a, b in zip(p, u, strict=True)))


@given(sets(3), sets(3))
def test_distances_are_those_of_the_definition(sample: Tensor, front: Tensor) -> None:
    us, ps = sample.tolist(), front.tolist()
    igd = sum(min(plus(p, u) for u in us) for p in ps) / len(ps)
    gd = sum(min(plus(p, u) for p in ps) for u in us) / len(us)
    assert float(igd_plus(sample, front)) == pytest.approx(igd, abs=1e-9)
    assert float(gd_plus(sample, front)) == pytest.approx(gd, abs=1e-9)
    assert float(averaged_hausdorff(sample, front)) == pytest.approx(max(igd, gd), abs=1e-9)
    there = max(min(math.dist(u, p) for p in ps) for u in us)
    back = max(min(math.dist(u, p) for u in us) for p in ps)
    assert float(hausdorff(sample, front)) == pytest.approx(max(there, back), abs=1e-9)
    for measure in (igd_plus, gd_plus, averaged_hausdorff, hausdorff):
        assert float(measure(front, front)) == 0
    covered = all(any(all(b >= a for a, b in zip(p, u, strict=True)) for u in us) for p in ps)
    assert (float(igd_plus(sample, front)) == 0) == covered


@given(sets(2), sets(2))
def test_distances_agree_with_moocore(sample: Tensor, front: Tensor) -> None:
    moocore = pytest.importorskip("moocore")
    a, b = sample.numpy(), front.numpy()
    theirs = moocore.igd_plus(a, b, maximise=True)
    assert float(igd_plus(sample, front)) == pytest.approx(theirs, abs=1e-9)


def test_the_two_hausdorffs_differ() -> None:
    sample = torch.tensor([[1.0, 0.0], [0.9, 0.1]])
    front = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(averaged_hausdorff(sample, front)) == pytest.approx(0.45)
    assert float(hausdorff(sample, front)) == pytest.approx(math.hypot(0.9, 0.9))


def test_large_sets_are_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    sample = torch.rand(50, 3, generator=generator)
    front = torch.rand(20, 3, generator=generator)
    whole = igd_plus(sample, front), gd_plus(sample, front), hausdorff(sample, front)
    monkeypatch.setattr(gflow.metrics.multiobjective, "CHUNK", 200)
    assert whole == (igd_plus(sample, front), gd_plus(sample, front), hausdorff(sample, front))


# ---------------------------------------------------------------------- the others


@given(sets(3, 5))
def test_r2_is_that_of_the_definition(sample: Tensor) -> None:
    weights = [w for w in itertools.product(range(5), repeat=3) if sum(w) == 4]
    assert len(weights) == 15
    ideal = [1.0, 0.9, 1.1]
    total = 0.0
    for w in weights:
        losses = [
            max(v / 4 * abs(z - u) for v, z, u in zip(w, ideal, row, strict=True))
            for row in sample.tolist()
        ]
        total += min(losses)
    z = torch.tensor(ideal)
    length = math.sqrt(sum(v**2 for w in weights for v in w)) / 4
    assert float(r2_indicator(sample, z)) == pytest.approx(total / 15)
    assert float(r2_indicator(sample, z, norm="frobenius")) == pytest.approx(total / length)


def test_r2_with_own_weights() -> None:
    sample = torch.tensor([[0.5, 1.0], [1.0, 0.0]])
    assert float(r2_indicator(sample, weights=torch.eye(2))) == 0
    got = r2_indicator(sample, 2.0, torch.tensor([[1.0, 1.0]]))
    assert float(got) == 1.5
    with pytest.raises(ConfigError, match="norm must be"):
        r2_indicator(sample, norm="mean")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="weights"):
        r2_indicator(sample, weights=torch.eye(3))


def test_entropy_counts_the_nearest_of_the_front() -> None:
    front = torch.tensor([[1.0, 0.0], [0.7, 0.7], [0.0, 1.0]])
    assert float(pc_entropy(front, front)) == pytest.approx(math.log(3))
    assert float(pc_entropy(front[:1], front)) == 0
    sample = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.9], [0.5, -1.0]])
    wanted = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))  # the last two are dominated
    assert float(pc_entropy(sample, front)) == pytest.approx(wanted)


def test_focus() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    assert float(focus_accuracy(scores, torch.tensor([5.0, 0.0]))) == 0.25
    wanted = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert float(focus_accuracy(scores, wanted)) == 0.5
    assert float(focus_accuracy(scores, wanted, cosine=0.7)) == 0.75


def test_top_k_takes_the_highest() -> None:
    values = torch.tensor([3.0, 1.0, 5.0, 5.0])
    assert float(top_k(values, 2)) == 5
    assert float(top_k(values, 3)) == pytest.approx(13 / 3)
    for k in (0, 5):
        with pytest.raises(ConfigError, match="k must "):
            top_k(values, k)


@pytest.mark.parametrize(("num", "per"), [(1, 4), (2, 10), (3, 4)])
def test_faces_of_the_unit_cube(num: int, per: int) -> None:
    faces = unit_faces(num, per)
    assert len(faces.unique(dim=0)) == len(faces) == per**num - (per - 1) ** num
    assert bool((faces.max(1).values == 1).all())
    assert float(faces.min()) >= 0
    steps = faces * (per - 1)
    torch.testing.assert_close(steps, steps.round())
    with pytest.raises(ConfigError, match="per_dim"):
        unit_faces(num, 1)


@pytest.mark.parametrize("measure", [igd_plus, gd_plus, hausdorff, pc_entropy])
def test_nothing_and_nonsense_are_refused(measure: Any) -> None:
    with pytest.raises(ConfigError, match="an empty set"):
        measure(torch.zeros(0, 2), torch.ones(1, 2))
    with pytest.raises(ConfigError, match="holds nan in row 0"):
        measure(torch.tensor([[torch.nan, 1.0]]), torch.ones(1, 2))
    with pytest.raises(ShapeError, match="front"):
        measure(torch.ones(1, 2), torch.ones(1, 3))

"""What marginals are learned of: symbols go out and come back, parts share nothing."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.envs.marginals import (
    Densities,
    Digits,
    Ising,
    Parts,
    Problem,
    Text,
    named_problem,
)
from gflow.envs.marginals.pictures import LINE, UNKNOWN, tiled
from gflow.envs.marginals.problem import HOME, problem_class
from gflow.envs.marginals.text import plain_text
from gflow.errors import ConfigError, UnknownNameError
from gflow.marginals import Sites


def rows(objects: Tensor) -> set[tuple[int, ...]]:
    return {tuple(row) for row in objects.tolist()}


def fits(made: Problem) -> None:
    """An environment of its sizes, whose places are filled in any order."""
    sites = Sites(made.environment())
    assert (sites.places, sites.symbols) == (made.places, len(made.alphabet))


def test_parts_are_all_objects_once_each() -> None:
    """An order of their own, the same each time."""
    objects = torch.arange(100)[:, None]
    parts = Parts.of(objects, 0.1)
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [80, 10, 10]
    whole = torch.cat([parts.train, parts.validation, parts.test])
    assert torch.equal(whole.sort(0).values, objects)
    assert not torch.equal(whole, objects)
    assert torch.equal(Parts.of(objects, 0.1).test, parts.test)
    assert not torch.equal(Parts.of(objects, 0.1, seed=1).test, parts.test)


def test_digits_are_those_of_scikit_learn() -> None:
    load = pytest.importorskip("sklearn.datasets").load_digits
    ink = torch.as_tensor(load().data >= 8).long()
    made = Digits()
    parts = made.data
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [1300, 200, 297]
    assert torch.equal(parts.test, ink[1500:])
    first = torch.cat([parts.train, parts.validation])
    assert first.dtype == torch.int64
    assert sorted(first.tolist()) == sorted(ink[:1500].tolist())
    assert torch.equal(Digits().data.train, parts.train)
    assert torch.equal(made.encode(made.show(parts.test)), parts.test)
    assert made.show(torch.tensor([[0, 1, 2] + [0] * 61])) == [".#?" + "." * 61]
    fits(made)


def test_text_is_words_of_help() -> None:
    made = Text()
    parts = made.data
    text = plain_text()
    assert set(text) == set("abcdefghijklmnopqrstuvwxyz ")
    assert "  " not in text
    assert "an assignment statement evaluates the expression list" in text
    sizes = [len(p) for p in (parts.train, parts.validation, parts.test)]
    assert sum(sizes) == len(text) // 100
    assert sizes[1] == sizes[2] == sum(sizes) // 20
    whole = torch.cat([parts.train, parts.validation, parts.test])
    shown = made.show(whole)
    assert {len(chunk) for chunk in shown} == {100}
    assert sorted(shown) == sorted(text[i : i + 100] for i in range(0, len(text) - 99, 100))
    assert torch.equal(made.encode(shown), whole)
    assert not rows(parts.train) & rows(parts.test)
    assert torch.equal(made.encode(["az "]).flatten()[:3], torch.tensor([0, 25, 26]))
    assert Text(length=20).data.test.shape[1] == Text(length=20).places == 20
    fits(made)


def test_no_paragraph_comes_twice() -> None:
    from pydoc_data import topics

    blocks = [b for t in topics.topics.values() for b in re.split(r"\n\s*\n", t)]
    plain = [re.sub("[^a-z]+", " ", block.lower()).strip() for block in blocks]
    twice = {b for b in plain if plain.count(b) > 1 and len(b) > 300}
    assert twice  # there are such
    assert all(plain_text().count(block) == 1 for block in twice)


def test_problems_have_names() -> None:
    assert named_problem("text", length=7) == Text(7)
    for name in HOME:
        kind = problem_class(name)
        assert kind.name == name
        assert kind.summary
    with pytest.raises(UnknownNameError, match="Did you mean 'digits'"):
        named_problem("digit")
    with pytest.raises(ConfigError, match="'text' has no option 'size': it has length"):
        named_problem("text", size=3)
    with pytest.raises(ConfigError, match="'digits' has no option 'size': it has none"):
        named_problem("digits", size=3)
    wrong: Any = 0
    with pytest.raises(ConfigError, match="Text: length must be at least 1, got 0"):
        named_problem("text", length=wrong)


def test_nothing_is_known_of_a_reward() -> None:
    env = Digits().environment()
    assert torch.equal(env.log_reward(torch.zeros(3, 64, dtype=torch.int64)), torch.zeros(3))
    assert Digits().energy is None
    assert Digits().measure(torch.zeros(3, 64)) == {}


def test_points_of_the_plane_are_where_their_bits_say() -> None:
    made = Densities(density="8gaussians", bits=12)
    parts = made.data
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [10_000, 1000, 1000]
    assert parts.train.shape[1] == made.places == 24
    points = made.points(parts.train).double()
    angle = torch.atan2(points[:, 1], points[:, 0]) / (torch.pi / 4)
    assert float((angle - angle.round()).abs().mean()) < 0.2  # near eight rays
    cell = 2 * made.plane.reach / 2**12
    again = made.plane.code(12).encode(points + cell / 4) - 1
    assert torch.equal(again, parts.train)
    assert made.measure(parts.train[:1000])["mmd"] == pytest.approx(0, abs=2e-3)
    assert made.measure(torch.randint(2, (1000, 24)))["mmd"] > 1e-2
    fits(made)


def test_lattices_show_spins_and_know_their_energy() -> None:
    made = Ising(3, 0.1, 0.2)
    up = torch.ones(1, 9, dtype=torch.int64)
    env = made.environment()
    assert made.show(up) == ["+++++++++"]
    assert float(env.log_reward(Sites(env).write(up))) == pytest.approx(2 * 0.1 * 18 + 0.2 * 9)
    assert made.measure(up) == {"magnetisation": 1.0, "neighbour_correlation": 1.0}
    assert made.measure(1 - up)["magnetisation"] == -1.0
    fits(made)


def test_pictures_stand_side_by_side() -> None:
    """Two rows of two pictures of 1 x 2 pixels."""
    rows = [torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1, 1], [2, 0]])]
    wanted = [
        [0.0, 1.0, LINE, 1.0, UNKNOWN],
        [LINE] * 5,
        [1.0, 1.0, LINE, UNKNOWN, 0.0],
    ]
    torch.testing.assert_close(tiled(rows, (1, 2)), torch.tensor(wanted))

"""States of nested tensors are indexed, joined and compared as one."""

from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import state


@dataclass(frozen=True)
class Inner:
    flag: Tensor


@dataclass(frozen=True)
class Nested:
    cells: Tensor  # (B, 2)
    inner: Inner
    count: Tensor  # (B,)


def build(size: int, seed: int = 0) -> Nested:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randint(0, 3, shape, generator=generator)

    return Nested(draw(size, 2), Inner(draw(size, 2, 2) > 1), draw(size))


def test_tensors_come_in_the_order_of_the_fields() -> None:
    nested = build(4)
    assert [t.shape for t in state.tensors(nested)] == [(4, 2), (4, 2, 2), (4,)]
    assert state.tensors(nested)[2] is nested.count
    assert state.tensors(nested.cells)[0] is nested.cells


@given(index=st.lists(st.integers(0, 4), max_size=8))
def test_take_picks_rows_of_every_field(index: list[int]) -> None:
    nested = build(5)
    taken = state.take(nested, torch.tensor(index, dtype=torch.int64))
    assert state.batch_size(taken) == len(index)
    for got, source in zip(state.tensors(taken), state.tensors(nested), strict=True):
        for place, row in enumerate(index):
            assert torch.equal(got[place], source[row])


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_cat_then_split_gives_the_parts(sizes: list[int]) -> None:
    parts = [build(size, seed) for seed, size in enumerate(sizes)]
    whole = state.cat(parts)
    assert state.batch_size(whole) == sum(sizes)
    start = 0
    for part in parts:
        rows = torch.arange(start, start + state.batch_size(part))
        assert bool(state.equal_rows(state.take(whole, rows), part).all())
        start += state.batch_size(part)


def test_where_chooses_row_by_row() -> None:
    yes, no = build(4, 0), build(4, 1)
    condition = torch.tensor([True, False, False, True])
    mixed = state.where(condition, yes, no)
    assert state.equal_rows(mixed, yes)[condition].all()
    assert state.equal_rows(mixed, no)[~condition].all()
    assert not state.equal_rows(mixed, yes).all()


def test_rows_differ_if_a_single_entry_of_any_field_differs() -> None:
    nested = build(3)
    assert state.equal_rows(nested, state.clone(nested)).tolist() == [True] * 3
    flags = nested.inner.flag.clone()
    flags[1, 0, 1] ^= True
    other = Nested(nested.cells, Inner(flags), nested.count)
    assert state.equal_rows(nested, other).tolist() == [True, False, True]
    count = nested.count.clone()
    count[2] += 1
    assert state.equal_rows(nested, Nested(nested.cells, nested.inner, count)).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_clones_share_no_memory() -> None:
    nested = build(2)
    copy = state.clone(nested)
    copy.cells.add_(1)
    assert not torch.equal(copy.cells, nested.cells)
    assert state.device_of(state.to_device(nested, "cpu")).type == "cpu"

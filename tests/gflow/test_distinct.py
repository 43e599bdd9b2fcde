"""Equal keys are grouped, by table and by sorting, alike."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.distinct import TABLE_LIMIT, Distinct

BIG = 2**62


@given(
    batches=st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=4),
    size=st.sampled_from([10, None, TABLE_LIMIT + 1]),
)
def test_groups_are_the_equal_keys_call_after_call(
    batches: list[list[int]], size: int | None
) -> None:
    distinct = Distinct(size)  # the table is never cleared between calls
    for batch in batches:
        keys = torch.tensor(batch, dtype=torch.int64)
        rows, groups = distinct(keys)
        assert rows.shape[0] == len(set(batch))
        assert torch.equal(keys[rows][groups], keys)
        for number, row in enumerate(rows.tolist()):
            assert row == batch.index(batch[row]), "the first member stands for the group"
            assert groups[row] == number


@given(batch=st.lists(st.sampled_from([-BIG, -1, 0, 1, BIG]), max_size=9))
def test_any_int64_is_a_key_when_sorted(batch: list[int]) -> None:
    keys = torch.tensor(batch, dtype=torch.int64)
    rows, groups = Distinct(None)(keys)
    assert torch.equal(keys[rows][groups], keys)
    assert len(rows) == len(set(batch))


@pytest.mark.parametrize("size", [4, None])
def test_no_key_no_group(size: int | None) -> None:
    rows, groups = Distinct(size)(torch.zeros(0, dtype=torch.int64))
    assert rows.shape == groups.shape == (0,)

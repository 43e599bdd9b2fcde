import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.memory.numbered_keys import NumberedKeys


@given(seed=st.integers(0, 10**6), spread=st.sampled_from([3, 50, 2**62]))
def test_keys_are_numbered_in_the_order_of_their_coming(seed: int, spread: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    index, known = NumberedKeys(), dict[int, int]()
    for size in (0, 1, 40, 7, 300, 300):
        keys = torch.randint(-spread, spread, (size,), generator=generator)
        number, fresh = index(keys)
        before = len(known)
        new = [key for key in dict.fromkeys(keys.tolist()) if key not in known]
        assert len(fresh) == len(new)
        assert {int(keys[row]) for row in fresh} == set(new)
        assert number[fresh].tolist() == list(range(before, before + len(new)))
        for row in fresh.tolist():
            assert int(keys[row]) not in keys[:row].tolist()  # the first of its kind
        known |= {int(keys[row]): int(number[row]) for row in fresh}
        assert number.tolist() == [known[key] for key in keys.tolist()]
        assert len(index) == len(known)


def test_keys_that_are_hashed_to_one_place_lie_behind_each_other() -> None:
    index = NumberedKeys()
    many = torch.arange(200_000, dtype=torch.int64)
    same = many[index._home(many) == 1023]  # the last place, so that the next ones are the first
    assert len(same) > 100
    numbers, fresh = index(same[:100])
    assert len(fresh) == 100
    assert sorted(numbers.tolist()) == list(range(100))
    again, fresh = index(same[:101])
    assert again[:100].tolist() == numbers.tolist()
    assert fresh.tolist() == [100]
    assert int(again[100]) == 100
    assert index(same[:101])[0].tolist() == again.tolist()


def test_a_table_grows_and_keeps_its_numbers() -> None:
    index = NumberedKeys()
    keys = torch.randperm(20_000, generator=torch.Generator().manual_seed(0))
    first, _ = index(keys[:100])
    index(keys)
    assert len(index) == 20_000
    assert torch.equal(index(keys[:100])[0], first)
    assert len(index._keys) >= 40_000
    found, fresh = index(torch.tensor([20_001]))
    assert (int(found), fresh.tolist()) == (20_000, [0])

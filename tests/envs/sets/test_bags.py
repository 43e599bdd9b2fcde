import math
from itertools import combinations_with_replacement

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import enumerate_states
from gflow.envs.sets.bags import Bags, MultisetRanks, Substructures
from gflow.errors import ConfigError
from gflow.rewards.base import FunctionReward
from gflow.testing import check_env


@st.composite
def bags(draw: st.DrawFn) -> Bags:
    letters, size = draw(st.integers(2, 4)), draw(st.integers(1, 5))
    repeats = draw(st.integers(size // 2 + 1, size))
    seed = draw(st.integers(0, 9))
    fraction = draw(st.sampled_from([0.0, 0.25, 1.0]))
    return Bags(letters, size, Substructures(letters, size, repeats, fraction, seed))


def multisets(letters: int, size: int) -> list[tuple[int, ...]]:
    return [
        tuple(x.count(i) for i in range(letters))
        for x in combinations_with_replacement(range(letters), size)
    ]


@pytest.mark.slow
@given(env=bags())
def test_contract(env: Bags) -> None:
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.num_states == env.num_keys == math.comb(env.size + env.letters, env.letters)
    assert checked.longest == env.size


@given(letters=st.integers(1, 5), size=st.integers(0, 6))
def test_ranks_number_all_multisets(letters: int, size: int) -> None:
    ranks = MultisetRanks(letters, size)
    every = {x for k in range(size + 1) for x in multisets(letters, k)}
    assert ranks.count == len(every)
    counts = ranks.unrank(torch.arange(ranks.count))
    assert set(map(tuple, counts.tolist())) == every
    assert torch.equal(ranks.rank(counts), torch.arange(ranks.count))


@given(env=bags())
def test_objects_and_parents(env: Bags) -> None:
    assert sorted(map(tuple, env.objects().tolist())) == sorted(multisets(env.letters, env.size))
    graph = enumerate_states(env)
    parents = torch.bincount(graph.child, minlength=len(graph))
    assert torch.equal(parents, (graph.states > 0).sum(1))  # one per different letter
    # Ways to a bag: multinomial coefficients.
    ways = [
        math.factorial(sum(row)) / math.prod(map(math.factorial, row))
        for row in graph.states.tolist()
    ]
    torch.testing.assert_close(graph.log_num_trajectories().exp(), torch.tensor(ways))


def test_one_letter_is_a_chain() -> None:
    env = Bags(1, 3, FunctionReward(lambda states: states.sum(-1).double()))
    assert check_env(env).num_states == 4
    assert env.objects().tolist() == [[3]]


@pytest.mark.parametrize(
    ("size", "repeats", "objects", "plain", "fingerprint"),
    [(13, 7, 27132, 20664, "f0586ff8a1b4acf8"), (7, 4, 1716, 1128, "583df61467ae30bb")],
)
def test_published_sizes(
    size: int, repeats: int, objects: int, plain: int, fingerprint: str
) -> None:
    reward = Substructures(7, size, repeats)
    env = Bags(7, size, reward)
    every = env.objects()
    rich, modes = reward.has_substructure(every), reward.is_mode(every)
    assert len(every) == objects
    assert int((~rich).sum()) == plain
    assert int(modes.sum()) == len(reward.modes)
    assert not bool((modes & ~rich).any())
    assert torch.equal(reward.modes.amax(1), torch.full((len(reward.modes),), repeats))
    assert reward.fingerprint == fingerprint  # the seed decides the modes, on every machine
    assert Substructures(7, size, repeats, seed=1).fingerprint != fingerprint
    few, many = int((rich & ~modes).sum()), len(reward.modes)
    total = 0.01 * plain + 10 * few + 30 * many
    assert env.log_partition() == pytest.approx(math.log(total), abs=1e-9)
    squares = 0.01**2 * plain + 10**2 * few + 30**2 * many
    assert env.expected_reward() == pytest.approx(squares / total, abs=1e-9)
    assert not check_env(env, examples=8, limit=100).exhaustive


@pytest.mark.parametrize(("size", "repeats", "released"), [(13, 7, 3160), (7, 4, 249)])
def test_number_of_modes_is_what_chance_gives(size: int, repeats: int, released: int) -> None:
    """m of N orders: a mode with probability 1 - C(N - m, K) / C(N, K), where K = N / 4."""
    fillers = size - repeats
    orders = 6**fillers
    chosen = round(orders / 4)
    mean = variance = 0.0
    for x in multisets(6, fillers):
        m = math.factorial(fillers) // math.prod(map(math.factorial, x))
        p = 1 - math.prod((orders - chosen - i) / (orders - i) for i in range(m))
        mean, variance = mean + 7 * p, variance + 7 * p * (1 - p)
    counts = [len(Substructures(7, size, repeats, seed=s).modes) for s in range(2)] + [released]
    assert all(abs(count - mean) < 4 * variance**0.5 for count in counts), (counts, mean)


def test_reward_levels_and_distance() -> None:
    reward = Substructures(3, 4, 3, fraction=0.5, seed=0)
    env = Bags(3, 4, reward)
    plain, rich = torch.tensor([[2, 1, 1]]), torch.tensor([[4, 0, 0]])
    torch.testing.assert_close(env.log_reward(plain).exp(), torch.tensor([0.01]))
    torch.testing.assert_close(env.log_reward(rich).exp(), torch.tensor([10.0]))
    torch.testing.assert_close(
        env.log_reward(reward.modes).exp(), torch.full((len(reward.modes),), 30.0)
    )
    # Partial bags by the same rule.
    partial = torch.tensor([[3, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(reward.partial(partial).exp(), torch.tensor([10, 0.01]))
    assert env.distance(plain, rich).tolist() == [2]
    assert env.distance(plain, plain).tolist() == [0]


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="letters and size must be positive"):
        Bags(0, 3)
    with pytest.raises(ConfigError, match="repeats=3"):
        Substructures(3, 6, 3)
    with pytest.raises(ConfigError, match="fraction must lie in"):
        Substructures(3, 4, 3, fraction=1.5)
    with pytest.raises(ConfigError, match="the bags have 3 letters and size 5"):
        Bags(3, 5, Substructures(3, 4, 3))

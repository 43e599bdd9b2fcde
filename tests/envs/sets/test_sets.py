import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import enumerate_states
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets, PairwiseEnergy, published_sets
from gflow.errors import ConfigError, UnknownNameError
from gflow.testing import check_env


@st.composite
def sets(draw: st.DrawFn, max_items: int = 7) -> FixedSizeSets:
    n = draw(st.integers(1, max_items))
    size = draw(st.integers(1, n))
    energies = torch.tensor(draw(st.lists(st.floats(-2, 2), min_size=n, max_size=n)))
    if draw(st.booleans()):
        return FixedSizeSets(n, size, AdditiveEnergy(energies))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    matrix = torch.randn(n, n, generator=generator)
    return FixedSizeSets(n, size, PairwiseEnergy(energies, matrix + matrix.T))


@pytest.mark.slow
@given(env=sets())
def test_contract(env: FixedSizeSets) -> None:
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.num_states == sum(math.comb(env.num_items, k) for k in range(env.size + 1))
    assert checked.longest == env.horizon


@given(env=sets())
def test_rewards_by_hand(env: FixedSizeSets) -> None:
    """All subsets, summed item by item and pair by pair."""
    reward = env.reward
    members = list(combinations(range(env.num_items), env.size))
    states = torch.zeros(len(members), env.num_items, dtype=torch.bool)
    for row, chosen in enumerate(members):
        states[row, list(chosen)] = True
    if isinstance(reward, PairwiseEnergy):
        matrix = reward.matrix
        energy = [
            sum(float(matrix[i, i]) for i in x)
            + sum(float(matrix[i, j]) for i, j in combinations(x, 2))
            for x in members
        ]
    else:
        assert isinstance(reward, AdditiveEnergy)
        energy = [sum(float(reward.energies[i]) for i in x) for x in members]
    expected = -torch.tensor(energy)
    torch.testing.assert_close(env.log_reward(states), expected)
    graph = enumerate_states(env)
    assert len(graph.objects) == len(members)
    log_z = float(expected.logsumexp(0))
    assert graph.exact_flows().log_z == pytest.approx(log_z, abs=1e-9)
    if isinstance(reward, AdditiveEnergy):
        best = reward.best_log_rewards(env.size, 5)
        top = expected.sort(descending=True).values[:5]
        torch.testing.assert_close(best[: len(top)], top)
        assert bool((best[len(top) :] == -torch.inf).all())
        assert reward.log_mean_reward(env.size) == pytest.approx(
            float((2 * expected).logsumexp(0)) - log_z, abs=1e-9
        )


@given(env=sets(), data=st.data())
def test_partial_rewards_add_up_along_a_way(env: FixedSizeSets, data: st.DataObject) -> None:
    """0 at the source; for additive energies each item adds minus its own energy."""
    reward = env.reward
    assert isinstance(reward, AdditiveEnergy | PairwiseEnergy)
    states = env.initial(1)
    assert float(reward.partial(states)) == 0
    order = data.draw(st.permutations(range(env.num_items)))[: env.size]
    for item in order:
        child = env.step(states, torch.tensor([item]))
        gain = reward.partial(child) - reward.partial(states)
        if isinstance(reward, AdditiveEnergy):
            torch.testing.assert_close(gain, -reward.energies[[item]])
        states = child
    torch.testing.assert_close(reward.partial(states), env.log_reward(states))


# name: log Z, max R, log E[R], mean of the 100 highest rewards, log C(n, size)
GOLDEN = {
    "small": (11.892389, 0.299962, -3.886702, 0.263281, 17.218207),
    "medium": (45.378950, 1007574.654570, 7.217533, 999302.229234, 42.709334),
    # log C(100, 80) is 47.730635.
    "large": (48.391947, 908803.829764, 5.719829, 900296.352485, 47.730635),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_published_tasks(name: str) -> None:
    env = published_sets(name)
    reward = env.reward
    assert isinstance(reward, AdditiveEnergy)
    log_z, highest, mean, top, count = GOLDEN[name]
    copies = torch.unique(reward.energies, return_counts=True)[1]
    assert copies.tolist() == [env.num_items // 10] * 10
    assert env.log_partition() == pytest.approx(log_z, abs=1e-6)
    best = reward.best_log_rewards(env.size, 100).exp()
    assert float(best[0]) == pytest.approx(highest, abs=1e-6)
    assert float(best.mean()) == pytest.approx(top, abs=1e-6)
    assert reward.log_mean_reward(env.size) == pytest.approx(mean, abs=1e-6)
    flat = AdditiveEnergy(torch.zeros(env.num_items))
    assert flat.log_partition(env.size) == pytest.approx(count, abs=1e-6)
    assert env.has_keys == (name == "small")
    assert not check_env(env, examples=3).exhaustive


def test_pairs_of_items_interact_once_and_never_with_themselves() -> None:
    matrix = torch.tensor([[9.0, 0.5, -2.0], [0.5, 9.0, 4.0], [-2.0, 4.0, 9.0]])
    reward = PairwiseEnergy(torch.tensor([0.1, 0.2, 0.3]), matrix)
    states = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 1, 0]]) > 0
    expected = torch.tensor([-0.8, 1.6, -4.5, -3.1, -0.2])
    torch.testing.assert_close(reward(states), expected)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="size=4 of 3"):
        FixedSizeSets(3, 4)
    with pytest.raises(ConfigError, match="is for 2 items, the sets are of 3"):
        FixedSizeSets(3, 1, AdditiveEnergy(torch.zeros(2)))
    with pytest.raises(ConfigError, match=r"pass \(J \+ J.T\) / 2"):
        PairwiseEnergy(torch.zeros(2), torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    with pytest.raises(UnknownNameError, match="Did you mean 'small'"):
        published_sets("smal")

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import enumerate_states
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import (
    IsingReward,
    PairwiseModel,
    SiteReward,
    lattice_edges,
    solve_ising,
)
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import FunctionReward
from gflow.testing import check_env


@st.composite
def energy_models(draw: st.DrawFn) -> EnergyModel:
    if draw(st.booleans()):
        height, width = draw(st.sampled_from([(1, 1), (1, 5), (2, 2), (2, 3), (6, 1)]))
        coupling, field = draw(st.floats(-1, 1)), draw(st.floats(-1, 1))
        return EnergyModel(IsingReward(height, width, coupling, field, draw(st.booleans())))
    sites, values = draw(st.sampled_from([(1, 1), (2, 4), (3, 3), (4, 2)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    edges = torch.combinations(torch.arange(sites), 2)[: draw(st.integers(0, 6))]
    unary = torch.randn(sites, values, generator=generator)
    pairwise = torch.randn(len(edges), values, values, generator=generator)
    return EnergyModel(PairwiseModel(unary, edges, pairwise))


@pytest.mark.slow
@given(env=energy_models())
def test_contract(env: EnergyModel) -> None:
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.num_states == env.num_keys == (env.values + 1) ** env.sites
    assert checked.longest == env.sites


def test_many_sites_have_no_key_and_pass() -> None:
    env = EnergyModel(IsingReward(8, 8))
    assert not env.has_keys
    assert not check_env(env, examples=4).exhaustive


def test_values_without_a_number_of_their_own_show_as_numbers() -> None:
    reward = PairwiseModel(torch.zeros(2, 12), torch.zeros(0, 2).long(), torch.zeros(0, 12, 12))
    env = EnergyModel(reward)
    assert env.show(torch.tensor([[12, 0]])) == ["12 ."]


@given(
    height=st.integers(1, 4),
    width=st.integers(1, 3),
    coupling=st.floats(-0.8, 0.8),
    field=st.floats(-0.8, 0.8),
    periodic=st.booleans(),
)
def test_transfer_matrix_against_all_configurations(
    height: int, width: int, coupling: float, field: float, periodic: bool
) -> None:
    """Log Z and the means, against sums over 2^N configurations with the matrix s^T J s."""
    reward = IsingReward(height, width, coupling, field, periodic)
    count = height * width
    adjacency = torch.zeros(count, count)
    for i, j in product(range(count), repeat=2):
        (a, b), (c, d) = divmod(i, width), divmod(j, width)
        rows, columns = abs(a - c), abs(b - d)
        if periodic:
            rows, columns = min(rows, height - rows), min(columns, width - columns)
        adjacency[i, j] = rows + columns == 1
    states = torch.tensor(list(product([1, 2], repeat=count)))
    spins = 2.0 * states - 3
    bonds = ((spins @ adjacency) * spins).sum(1)
    expected = coupling * bonds + field * spins.sum(1)
    torch.testing.assert_close(reward(states), expected)
    law = reward.exact
    p = expected.softmax(0)
    assert law.log_z == pytest.approx(float(expected.logsumexp(0)), abs=1e-9)
    assert law.mean_log_reward == pytest.approx(float(p @ expected), abs=1e-9)
    assert law.entropy == pytest.approx(-float(p @ p.log()), abs=1e-9)
    assert law.magnetisation == pytest.approx(float(p @ reward.magnetisation(states)), abs=1e-9)
    assert law.neighbour_correlation == pytest.approx(
        float(p @ reward.neighbour_correlation(states)), abs=1e-9
    )
    assert SiteReward.log_partition(reward) == pytest.approx(law.log_z, abs=1e-9)


def test_golden_tori() -> None:
    """MM-5, with the sums over all states above."""
    assert solve_ising(3, 3, 0.1, 0.2).log_z == pytest.approx(7.115373, abs=1e-6)
    law = solve_ising(10, 10, 0.1, 0.2)
    assert law.log_z == pytest.approx(78.688, abs=5e-4)
    assert law.mean_log_reward == pytest.approx(24.392, abs=5e-4)
    assert law.entropy / 100 / math.log(2) == pytest.approx(0.7833, abs=5e-5)
    graph = enumerate_states(EnergyModel(IsingReward(2, 2, 0.1, 0.2)))
    assert len(graph.objects) == 16
    assert graph.exact_flows().log_z == pytest.approx(solve_ising(2, 2, 0.1, 0.2).log_z)


def test_strong_couplings_do_not_overflow() -> None:
    """Two ground states far above the rest: log Z = log 2 + 2 sigma E."""
    for periodic, bonds in ((True, 2 * 8 * 6), (False, 8 * 5 + 7 * 6)):
        law = solve_ising(8, 6, 200.0, 0.0, periodic)
        assert law.log_z == pytest.approx(math.log(2) + 400 * bonds, rel=1e-12)
        assert law.neighbour_correlation == pytest.approx(1)
        assert law.entropy == pytest.approx(math.log(2), abs=1e-7)


def test_lattice_edges() -> None:
    assert lattice_edges(2, 2).tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert torch.equal(lattice_edges(2, 2), lattice_edges(2, 2, periodic=False))
    assert len(lattice_edges(5, 4)) == 40
    assert len(lattice_edges(5, 4, periodic=False)) == 31
    assert lattice_edges(1, 1).shape == (0, 2)


@settings(max_examples=10)
@given(env=energy_models(), data=st.data())
def test_free_sites_take_no_part(env: EnergyModel, data: st.DataObject) -> None:
    """A partial assignment scores as what the assigned sites and the edges between them give."""
    reward = env.reward
    assert isinstance(reward, SiteReward)
    draw = st.lists(st.integers(0, env.values), min_size=env.sites, max_size=env.sites)
    values = data.draw(draw)
    if isinstance(reward, IsingReward):
        spin = [0, -1, 1]
        edges = sum(2 * reward.coupling * spin[values[i]] * spin[values[j]]
                    for i, j in reward.edges.tolist())  # fmt: skip
        expected = edges + reward.field * sum(spin[v] for v in values)
    else:
        assert isinstance(reward, PairwiseModel)
        expected = sum(float(reward.unary[i, v]) for i, v in enumerate(values) if v)
        for edge, (i, j) in enumerate(reward.edges.tolist()):
            if values[i] and values[j]:
                expected += float(reward.pairwise[edge, values[i], values[j]])
    got = float(reward.partial(torch.tensor([values])))
    assert got == pytest.approx(expected, abs=1e-9)


def test_any_function_of_values_is_an_energy() -> None:
    env = EnergyModel(FunctionReward(lambda x: -(x - 2.0).square().sum(-1)), sites=2, values=3)
    assert check_env(env).num_states == 16
    assert env.log_partition() is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="only a SiteReward brings its own"):
        EnergyModel(FunctionReward(lambda x: x.sum(-1)))
    with pytest.raises(ConfigError, match="is for 4 sites and 2 values, got sites=5"):
        EnergyModel(IsingReward(2, 2), sites=5)
    with pytest.raises(ConfigError, match="sides must be positive"):
        IsingReward(0, 2)
    with pytest.raises(ConfigError, match="shorter side must be at most 11, got 12"):
        solve_ising(12, 13, 0.1, 0.0)
    assert IsingReward(12, 12).log_partition() is None
    with pytest.raises(ConfigError, match="edges name the sites 0 ... 1, got 0 ... 2"):
        PairwiseModel(torch.zeros(2, 2), torch.tensor([[0, 2]]), torch.zeros(1, 2, 2))
    with pytest.raises(ShapeError, match="pairwise"):
        PairwiseModel(torch.zeros(2, 2), torch.tensor([[0, 1]]), torch.zeros(1, 3, 2))

"""Energies as networks and as rewards."""

import itertools

import pytest
import torch

from gflow.energies import (
    EnergyReward,
    IsingEnergy,
    PerceptronEnergy,
    energy_of,
    site_log_prob,
)
from gflow.envs.spins.rewards import IsingReward, lattice_edges
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import FunctionReward


def every(sites: int, values: int = 2) -> torch.Tensor:
    return 1 + torch.tensor(list(itertools.product(range(values), repeat=sites)))


def test_an_edge_of_the_ising_energy_is_met_twice() -> None:
    """J = sigma A and b give the log-reward of the lattice: each edge contributes 2 sigma s s'."""
    network = IsingEnergy(6, field=True)
    one, two = lattice_edges(2, 3).unbind(1)
    with torch.no_grad():
        network.weight[one, two] = 0.3
        assert network.field is not None
        network.field.fill_(0.2)
    states = every(6)
    wanted = IsingReward(2, 3, 0.3, 0.2)(states)
    torch.testing.assert_close(network.log_density(states).detach(), wanted)
    couplings = network.couplings.detach()
    torch.testing.assert_close(couplings, couplings.T)
    assert float(couplings.diag().abs().max()) == 0


def test_the_penalty_counts_both_triangles_and_its_pull_falls_off() -> None:
    plain, bent = IsingEnergy(3, sparsity=0.5), IsingEnergy(3, sparsity=0.5, knee=0.1)
    with torch.no_grad():
        for network in (plain, bent):
            network.weight[0, 1], network.weight[0, 2] = 0.3, -1.0
            network.weight[2, 0] = 7.0  # which says nothing
    assert float(plain.penalty().detach()) == pytest.approx(0.5 * 2 * 1.3)
    wanted = 0.5 * 0.1 * 2 * (torch.tensor([4.0, 11.0]).log().sum())
    assert float(bent.penalty().detach()) == pytest.approx(float(wanted))
    plain.penalty().backward()
    bent.penalty().backward()
    assert plain.weight.grad is not None
    assert bent.weight.grad is not None
    torch.testing.assert_close(plain.weight.grad[0], torch.tensor([0.0, 1.0, -1.0]))
    torch.testing.assert_close(bent.weight.grad[0], torch.tensor([0.0, 1 / 4, -1 / 11]))


@pytest.mark.parametrize("values", [2, 3])
def test_a_perceptron_starts_at_its_base(values: int) -> None:
    """Up to a constant; and a site without a value takes no part."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(1, values + 1, (50, 4), generator=generator).clamp(max=2)
    base = site_log_prob(data, values)
    count = (data[:, 1] == 2).sum()
    assert float(base[1, 1].exp()) == pytest.approx(float((count + 1) / (50 + values)))
    torch.testing.assert_close(base.exp().sum(1), torch.ones(4))
    network = PerceptronEnergy(4, values, 8, 2, base)
    states = every(4, values)
    wanted = base[torch.arange(4), states - 1].sum(1)
    found = network.log_density(states).detach()
    torch.testing.assert_close(found - found[0], wanted - wanted[0])
    plain = PerceptronEnergy(4, values, 8, 2)
    assert float(plain.log_density(states).detach().abs().max()) == 0
    features = network.features(torch.zeros(1, 4, dtype=torch.int64))
    assert features.shape == (1, network.num_features)
    assert not features.any()


def test_features_tell_values_apart() -> None:
    states = torch.tensor([[1, 2, 0]])
    assert IsingEnergy(3).features(states).tolist() == [[-1, 1, 0]]
    three = PerceptronEnergy(3, 3, 4, 1).features(states)
    assert three.tolist() == [[1, 0, 0, 0, 1, 0, 0, 0, 0]]


def test_a_reward_follows_its_network_without_gradient() -> None:
    network = IsingEnergy(3)
    reward = EnergyReward(network)
    with torch.no_grad():
        network.weight[0, 2] = 0.5
    value = reward(torch.tensor([[1, 1, 2], [2, 1, 2]]))
    assert value.tolist() == [-1.0, 1.0]
    assert not value.requires_grad
    assert energy_of(reward) is reward
    assert energy_of(FunctionReward(lambda states: states)) is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be an `EnergyNetwork`, got Linear"):
        EnergyReward(torch.nn.Linear(2, 1))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"values 1 \.\.\. 2, got 0 \.\.\. 1"):
        site_log_prob(torch.tensor([[0, 1]]), 2)
    with pytest.raises(ShapeError, match="base"):
        PerceptronEnergy(3, 2, base=torch.zeros(2, 2))


def test_a_diagonal_of_the_weights_says_nothing() -> None:
    """s_i s_i = 1 would be a constant: no coupling of a site with itself."""
    network = IsingEnergy(3)
    with torch.no_grad():
        network.weight.fill_diagonal_(2.0)
    assert not network.couplings.any()
    assert not network.log_density(every(3)).any()

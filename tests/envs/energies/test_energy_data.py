"""What energies are learned from: exact samples of lattices, densities of the plane, Gray codes."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import TabularPolicy, enumerate_states
from gflow.energies import EnergyReward, PerceptronEnergy
from gflow.envs.energies import DENSITIES, GrayCode, gibbs_samples, ising_samples
from gflow.envs.energies.ising_data import ising_couplings
from gflow.envs.energies.metrics import hamming_mmd, neg_log_rmse, nll, true_nll
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import ConfigError, ShapeError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance(samples: Tensor, log_p: Tensor, objects: Tensor) -> float:
    """Total variation of samples from exp(log_p) / Z over all objects."""
    place = 2 ** torch.arange(objects.shape[1])
    order = ((objects - 1) * place).sum(1).argsort()
    share = torch.bincount(((samples - 1) * place).sum(1), minlength=len(objects)) / len(samples)
    return float((share - log_p.softmax(0)[order]).abs().sum()) / 2


# ---------------------------------------------------------------------- lattices


@pytest.mark.parametrize(
    ("height", "width", "periodic"),
    [(3, 3, True), (2, 3, True), (4, 2, True), (3, 2, False), (1, 5, True), (2, 4, False)],
)
def test_rows_are_drawn_exactly(height: int, width: int, periodic: bool) -> None:
    reward = IsingReward(height, width, 0.3, 0.15, periodic)
    objects = 1 + torch.tensor(list(itertools.product((0, 1), repeat=reward.sites)))
    log_p = reward(objects).double()
    samples = ising_samples(reward, 60_000, seeded())
    noise = math.sqrt(len(objects) / 60_000 / 2 / math.pi)  # at most, of exact samples
    assert distance(samples, log_p, objects) < 1.2 * noise
    even = distance(torch.randint(1, 3, samples.shape, generator=seeded()), log_p, objects)
    assert even > 5 * noise


def test_a_large_torus_has_the_exact_correlation_and_negative_couplings_too() -> None:
    reward = IsingReward(9, 9, -0.1)
    samples = ising_samples(reward, 2000, seeded(1))
    found = reward.neighbour_correlation(samples)
    error = float(found.std()) / 2000**0.5
    assert abs(float(found.mean()) - reward.exact.neighbour_correlation) < 4 * error < 0.01
    assert reward.exact.neighbour_correlation < -0.2


def test_gibbs_chains_reach_the_distribution() -> None:
    reward = IsingReward(2, 3, 0.25, -0.2)
    objects = 1 + torch.tensor(list(itertools.product((0, 1), repeat=6)))
    samples = gibbs_samples(ising_couplings(reward), 30_000, 30, -0.2, seeded())
    assert distance(samples, reward(objects).double(), objects) < 0.025
    with pytest.raises(ConfigError, match="must be symmetric"):
        gibbs_samples(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), 3)


def test_wide_lattices_are_sampled_by_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gflow.envs.energies.ising_data.WIDEST_STRIP", 1)
    reward = IsingReward(3, 3, 0.2)
    samples = ising_samples(reward, 3000, seeded(), sweeps=30)
    assert float(reward.neighbour_correlation(samples).mean()) == pytest.approx(
        reward.exact.neighbour_correlation, abs=0.04
    )


# ---------------------------------------------------------------------- codes


def test_neighbouring_cells_differ_in_one_bit_and_are_found_again() -> None:
    code = GrayCode(2.0, 5)
    middles = (torch.arange(32) + 0.5) * 4 / 32 - 2
    points = torch.stack([middles, middles.flip(0)], 1)
    values = code.encode(points)
    assert values.shape == (32, 10)
    assert len(values[:, :5].unique(dim=0)) == 32
    steps = (values[1:] != values[:-1]).view(31, 2, 5).sum(2)
    assert bool((steps == 1).all())
    torch.testing.assert_close(code.decode(values), points)
    inside = points + 0.49 * 4 / 32
    assert torch.equal(code.encode(inside), values)
    outside = torch.tensor([[-9.0, 9.0]])
    assert torch.equal(code.encode(outside), code.encode(torch.tensor([[-1.99, 1.99]])))
    # 3 is 011, and 010 in Gray code.
    assert (GrayCode(4.0, 3).encode(torch.tensor([[-0.5, -3.5]])) - 1).tolist() == [
        [0, 1, 0, 0, 0, 0]
    ]
    with pytest.raises(ShapeError, match="GrayCode"):
        code.decode(values[:, :9])
    with pytest.raises(ConfigError, match="reach"):
        GrayCode(0.0)


MOMENTS: dict[str, Any] = {
    # name: (mean of x, mean of y, mean of x^2 + y^2)
    "2spirals": (0.0, 0.0, None),
    "8gaussians": (0.0, 0.0, 8 + 0.25),
    "circles": (0.0, 0.0, (9 + 2.25) / 2 + 2 * 0.24**2),
    "moons": (0.0, 0.3, None),
    "pinwheel": (0.0, 0.0, 4 * (1 + 0.09 + 0.01)),
    "swissroll": (None, None, 2.25 * math.pi**2 * (1 + 2 + 4 / 3) / 25 + 0.08),
    "checkerboard": (0.0, 0.0, 2 * 16 / 3),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_have_their_moments_and_fit_the_square(name: str) -> None:
    plane = DENSITIES[name]
    points = plane.points(20_000, seeded())
    again = plane.points(20_000, seeded())
    assert torch.equal(points, again)
    assert points.shape == (20_000, 2)
    largest = float(points.abs().max())
    assert plane.reach - 2.6 < largest < plane.reach - 1.4
    found = [*points.mean(0).tolist(), float(points.square().sum(1).mean())]
    for value, wanted in zip(found, MOMENTS[name], strict=True):
        if wanted is not None:
            assert value == pytest.approx(wanted, abs=0.12)
    code = plane.code()
    back = code.decode(code.encode(points))
    assert float((back - points).abs().max()) <= plane.reach / 2**16 * (1 + 1e-9)
    with pytest.raises(ConfigError, match="at least 1"):
        plane.points(0, seeded())


def test_spirals_moons_and_squares_are_where_they_belong() -> None:
    arms = DENSITIES["2spirals"].points(5000, seeded())
    radius = arms.square().sum(1).sqrt()
    # Of an arm (-t cos t, t sin t) / 3, and of its opposite, the angle tells the radius mod pi / 3.
    turn = torch.atan2(arms[:, 1], -arms[:, 0])
    off = torch.remainder(3 * radius - turn + math.pi / 2, math.pi) - math.pi / 2
    assert float((off / 3).abs().mean()) < 0.2 < math.pi / 12
    x, y = DENSITIES["moons"].points(5000, seeded()).T
    upper = ((x + 1).square() + (y + 0.2).square()).sqrt() - 2
    lower = ((x - 1).square() + (y - 0.8).square()).sqrt() - 2
    assert float(torch.minimum(upper.abs(), lower.abs()).mean()) < 0.2
    assert all(0.15 < float(far.double().mean()) < 0.35 for far in (y < -0.6, y > 1.2))
    column, row = (DENSITIES["checkerboard"].points(5000, seeded()) / 2).floor().long().T
    assert bool(((column + row) % 2 == 0).all())
    assert set(column.tolist()) == {-2, -1, 0, 1}


# ---------------------------------------------------------------------- measures


def test_discrepancies_of_codes_are_unbiased() -> None:
    one = torch.tensor([[1, 1, 2], [1, 2, 2]])
    two = torch.tensor([[1, 1, 2], [2, 2, 1], [1, 1, 1]])
    k = [[math.exp(-0.1 * d) for d in row] for row in ([0, 3, 1], [1, 2, 2])]
    within = math.exp(-0.1)
    others = (math.exp(-0.3) + math.exp(-0.1) + math.exp(-0.2)) / 3
    wanted = within + others - 2 * sum(map(sum, k)) / 6
    assert hamming_mmd(one, two) == pytest.approx(wanted)
    generator = seeded()
    alike = []
    for _ in range(300):
        pair = torch.randint(1, 3, (2, 20, 6), generator=generator)
        alike.append(hamming_mmd(pair[0], pair[1]))
    mean = torch.tensor(alike)
    assert abs(float(mean.mean())) < 4 * float(mean.std()) / 300**0.5
    with pytest.raises(ConfigError, match="at least two rows"):
        hamming_mmd(one[:1], two)


def test_couplings_are_compared_over_all_entries() -> None:
    truth = torch.zeros(4, 4)
    found = truth.clone()
    found[0, 1] = found[1, 0] = 0.2
    assert neg_log_rmse(found, truth) == pytest.approx(-math.log((2 * 0.04 / 16) ** 0.5))


def test_the_truth_has_an_exact_likelihood() -> None:
    lattice = IsingReward(2, 3, 0.3, 0.1)
    objects = 1 + torch.tensor(list(itertools.product((0, 1), repeat=6)))
    log_p = lattice(objects).log_softmax(0)
    assert true_nll(lattice, objects[[5, 9]]) == pytest.approx(-float(log_p[[5, 9]].mean()))
    with pytest.raises(ConfigError, match="Make one side shorter"):
        true_nll(IsingReward(12, 12), objects)


def test_likelihoods_of_data_are_those_of_the_sampler() -> None:
    torch.manual_seed(0)
    network = PerceptronEnergy(3, 2, 4, 1)
    with torch.no_grad():
        network.layers[-1].weight.normal_().mul_(3)  # type: ignore[operator]
    env = EnergyModel(EnergyReward(network), 3, 2)
    graph = enumerate_states(env)
    policy = TabularPolicy.solved(graph, graph.exact_flows(None))
    objects = 1 + torch.tensor(list(itertools.product((0, 1), repeat=3)))
    wanted = -float(env.log_reward(objects).log_softmax(0)[[2, 5]].mean())
    assert nll(env, policy, objects[[2, 5]], 2, seeded()) == pytest.approx(wanted)

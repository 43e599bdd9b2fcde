import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, TabularPolicy, enumerate_states
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.metrics import (
    draw_objects,
    empirical_distribution,
    entropy,
    expected_reward,
    jsd,
    kl,
    l1,
    mean_l1,
    total_variation,
)
from gflow.testing.strategies import random_dags


@st.composite
def laws(draw: st.DrawFn, count: int = 2) -> list[Tensor]:
    """Laws over the same objects, some of which may be impossible."""
    size = draw(st.integers(1, 6))
    out = []
    for _ in range(count):
        logits = torch.tensor(draw(st.lists(st.floats(-20, 20), min_size=size, max_size=size)))
        zero = torch.tensor(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
        zero[0] = False
        out.append(logits.masked_fill(zero, -torch.inf).log_softmax(0))
    return out


GOLDEN = [  # side, dim, r0: log Z, E[R], H, TV(uniform), TV(uniform actions), E[R] of these
    (8, 2, 0.1, 3.109061, 1.421429, 3.323036, 0.535714, 0.699978, 0.572698),
    (8, 4, 0.1, 6.344934, 0.408989, 7.956596, 0.263343, 0.800148, 0.368110),
    (16, 3, 1e-3, 5.620749, 0.639445, 6.276079, 0.862019, 0.876838, 0.445103),
]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda row: f"{row[0]}^{row[1]}")
def test_known_values_on_the_hypergrid(golden: tuple[float, ...]) -> None:
    side, dim, r0, log_z, mean, nats, uniform, actions, mean_of_actions = golden
    env = HyperGrid(int(dim), int(side), Corners(int(side), r0=r0))
    graph = enumerate_states(env)
    target = graph.log_target()
    reward = graph.log_reward()[graph.objects]
    flat = torch.zeros(len(target)).log_softmax(0)
    law = graph.terminal_distribution(TabularPolicy(graph))
    found = torch.stack(
        [
            reward.logsumexp(0),
            expected_reward(target, reward),
            entropy(target),
            total_variation(flat, target),
            total_variation(law, target),
            expected_reward(law, reward),
        ]
    )
    known = torch.tensor([log_z, mean, nats, uniform, actions, mean_of_actions])
    torch.testing.assert_close(found, known, atol=1e-6, rtol=0)


@given(pair=laws())
def test_distances_are_zero_between_equal_distributions_only(pair: list[Tensor]) -> None:
    p, q = pair
    for distance in (l1, mean_l1, total_variation, jsd):
        assert float(distance(p, p)) == pytest.approx(0, abs=1e-12)
        assert float(distance(p, q)) == pytest.approx(float(distance(q, p)), abs=1e-12)
    assert float(kl(p, p)) == pytest.approx(0, abs=1e-12)
    assert float(kl(p, q)) >= -1e-12
    assert 0 <= float(jsd(p, q)) + 1e-12
    assert float(jsd(p, q)) <= math.log(2) + 1e-12
    assert 0 <= float(total_variation(p, q)) <= 1 + 1e-12


@given(pair=laws())
def test_l1_as_sum_mean_and_half(pair: list[Tensor]) -> None:
    p, q = pair
    total = sum(
        abs(math.exp(a) - math.exp(b)) for a, b in zip(*map(Tensor.tolist, pair), strict=True)
    )
    assert float(l1(p, q)) == pytest.approx(total)
    assert float(mean_l1(p, q)) * len(p) == pytest.approx(total)
    assert float(total_variation(p, q)) * 2 == pytest.approx(total)


def test_impossible_objects() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]).log(), torch.tensor([0.5, 0.0, 0.5]).log()
    assert float(kl(p, q)) == math.inf
    assert float(kl(torch.tensor([1.0, 0.0, 0.0]).log(), q)) == pytest.approx(math.log(2))
    assert float(jsd(p, q)) == pytest.approx(math.log(2) / 2)
    apart = torch.tensor([0.0, 1.0, 0.0]).log()
    assert float(jsd(apart, q)) == pytest.approx(math.log(2))
    assert float(entropy(apart)) == 0


@given(pair=laws())
def test_pinsker(pair: list[Tensor]) -> None:
    p, q = pair
    assert float(total_variation(p, q)) <= math.sqrt(max(0.0, float(kl(p, q))) / 2) + 1e-9


def test_rewards_are_no_distribution() -> None:
    with pytest.raises(ConfigError, match=r"`log_q` must hold .* sum to 5.71828"):
        total_variation(torch.tensor([0.5, 0.5, 0]).log(), torch.tensor([1.0, math.log(2), 0.0]))
    with pytest.raises(ConfigError, match="they sum to nan"):
        entropy(torch.tensor([torch.nan]))
    with pytest.raises(ShapeError, match="`log_q` must have shape"):
        kl(torch.zeros(1), torch.zeros(2))


@given(env=random_dags(), seed=st.integers(0, 100))
def test_empirical_distribution_of_exact_samples(env: DiscreteEnvironment[Any], seed: int) -> None:
    graph = enumerate_states(env)
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_objects(graph, 4000, generator=generator)
    law, target = empirical_distribution(graph, drawn), graph.log_target()
    # Expected distance at most sqrt(X / (4 N)); five times that practically never happens.
    assert float(total_variation(law, target)) < 5 * math.sqrt(len(target) / 16000)
    again = empirical_distribution(graph, drawn[:1])
    assert float(again.max()) == 0
    assert int((again == -torch.inf).sum()) == len(again) - 1


def test_what_is_no_object_is_refused() -> None:
    env = HyperGrid(2, 3, ending="forced")
    env.forward_mask = lambda states: (  # type: ignore[method-assign]
        HyperGrid.forward_mask(env, states)
        & (  # no stop at the origin
            (states > 0).any(-1, keepdim=True) | torch.tensor([True, True, False])
        )
    )
    graph = enumerate_states(env)
    with pytest.raises(ConfigError, match=r"row 1, the state \(0, 0\), is not a finished object"):
        empirical_distribution(graph, torch.tensor([[2, 0], [0, 0]]))
    with pytest.raises(IncompatibleError, match="not among"):
        empirical_distribution(graph, torch.tensor([[2, 2]]))

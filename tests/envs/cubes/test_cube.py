"""Cubes: densities, legality and weights, in one to three dimensions."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Exploration, FunctionReward, evaluate
from gflow.envs.cubes.cube import Cube
from gflow.envs.cubes.policy import BoxPolicy
from gflow.envs.cubes.rewards import RingedCorners
from gflow.errors import ConfigError
from gflow.objectives import TrajectoryBalance
from gflow.sampling.sampler import Sampler

SEEDS = st.integers(0, 10_000)
STEPS = st.floats(0.05, 0.6)


def nodes(count: int = 48) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre on (0, 1), after a substitution that flattens the ends."""
    t, w = torch.linalg.eigh(
        torch.diag(k := torch.arange(1, count) / (4 * torch.arange(1, count) ** 2 - 1.0) ** 0.5, 1)
        + torch.diag(k, -1)
    )
    t, w = (t + 1) / 2, w[0] ** 2
    return t**2 * (3 - 2 * t), w * 6 * t * (1 - t)


def rectangle(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """(Q, d) points and (Q,) weights of a rectangle with corners `low` and `high` (d,)."""
    v, w = nodes()
    dim = len(low)
    points = torch.cartesian_prod(*[v] * dim).view(-1, dim)
    weight = torch.cartesian_prod(*[w] * dim).view(-1, dim).prod(-1)
    return low + (high - low) * points, weight * (high - low).prod()


def outputs(width: int, seed: int) -> Tensor:
    return 2 * torch.randn(width, generator=torch.Generator().manual_seed(seed))


@given(seed=SEEDS, dim=st.integers(1, 2), step=STEPS, parts=st.integers(1, 3))
def test_densities_integrate_to_one(seed: int, dim: int, step: float, parts: int) -> None:
    """B1 on cubes: what atoms leave is what the densities hold, forward and backward."""
    env = Cube(dim, min_step=step, components=parts, source_components=parts)
    generator = torch.Generator().manual_seed(seed)

    def mass(kernel_of: Any, state: Tensor, points: Tensor, weight: Tensor) -> float:
        kernel = kernel_of(state.expand(len(points), -1))
        return float((kernel.log_prob(points).exp() * weight).sum())

    ahead, back = outputs(env.num_outputs, seed), outputs(env.num_backward_outputs, seed + 1)

    def forward(states: Tensor) -> Any:
        return env.forward_law(states, ahead.expand(len(states), -1))

    def backward(states: Tensor) -> Any:
        return env.backward_law(states, back.expand(len(states), -1))

    low = (1 - step) * (0.05 + 0.9 * torch.rand(dim, generator=generator))
    stop = float(forward(low[None]).log_stop.exp())
    total = mass(forward, low, *rectangle(low + step, torch.ones(dim)))
    assert 0 < stop < 1
    assert total + stop == pytest.approx(1, abs=1e-3)  # the border is left out
    source = torch.zeros(dim)
    for kernel_of in (forward, env.exploration_law):
        total = mass(kernel_of, source, *rectangle(torch.zeros(dim), torch.ones(dim)))
        assert total == pytest.approx(1, abs=1e-4)
    high = 1 - low
    for kernel_of in (backward, env.backward_law):
        home = float(kernel_of(high[None]).log_prob(source[None]).exp())
        total = mass(kernel_of, high, *rectangle(torch.zeros(dim), high - step))
        assert 0 < home < 1
        assert total + home == pytest.approx(1, abs=1e-3)


@settings(max_examples=20)
@given(seed=SEEDS, dim=st.integers(1, 4), step=STEPS, epsilon=st.sampled_from([0.0, 0.5]))
def test_moves_are_legal_both_ways(seed: int, dim: int, step: float, epsilon: float) -> None:
    """B2 on cubes."""
    env = Cube(dim, min_step=step)
    generator = torch.Generator().manual_seed(seed)
    policy = BoxPolicy(env, width=16, depth=1, generator=generator)
    assert policy.back is not None
    for head in (policy.ahead.last, policy.back.last):
        torch.nn.init.normal_(head.weight, std=3.0, generator=generator)
    sampler = Sampler(env)
    objects = env.exact_objects(200, generator)
    for batch in (
        sampler.forward(policy, 200, exploration=Exploration(epsilon), generator=generator),
        sampler.backward(policy, objects, generator=generator),
    ):
        moves = batch.length - batch.stopped.long()
        assert int(moves.min()) >= 1
        assert int(moves.max()) <= 1 + 1 / step
        assert bool(env.is_initial(batch.states_at(0)).all())
        assert bool(((batch.states >= 0) & (batch.states <= 1)).all())
        rows, times = batch.moves.nonzero(as_tuple=True)
        before, after = (batch.states[batch.state_index[rows, times + k]] for k in (0, 1))
        later = (before != 0).any(-1)
        assert torch.equal(later, times > 0)
        assert bool(((after - before)[later] >= step - 1e-9).all())
        assert not bool(env.is_terminal(before).any())
        assert not bool(env.must_return(after[later]).any())
        assert torch.equal(batch.stopped, ~env.is_terminal(batch.final_states))
        assert bool(evaluate(env, policy, batch).log_weight.isfinite().all())


def roomy(env: Cube, batch: Any) -> Tensor:
    """(B,) 1 where no later move has an interval narrower than 0.1, of huge densities."""
    index, later = batch.state_index, batch.moves.clone()
    later[:, 0] = False
    before, after = batch.states[index[:, :-1]], batch.states[index[:, 1:]]
    least = torch.minimum(1 - before, after).amin(-1) - env.min_step
    far: Tensor = (least > 0.1) | ~later
    return far.all(-1).double()


@pytest.mark.parametrize("dim", [1, 2])
def test_weights_have_the_mean_z(dim: int) -> None:
    """B3 on cubes: E_F[w f] = Z E_B[f] for functions f of trajectories, and back by 1 / w.

    f keeps to trajectories of bounded weight: the others have means, but hardly variances.
    """
    env = Cube(dim, min_step=0.2)
    generator = torch.Generator().manual_seed(dim)
    policy = BoxPolicy(env, width=16, depth=1, generator=generator)
    with torch.no_grad():  # nearly even laws
        policy.source.fill_(-4.0)
        assert policy.back is not None
        for head in (policy.ahead.last, policy.back.last):
            head.bias.fill_(-4.0)[0] = 0.0
    sampler = Sampler(env)
    z = 0.1 + 0.5 * 0.5**dim + 2 * 0.2**dim
    with torch.no_grad():
        forward = sampler.forward(policy, 40_000, generator=generator)
        objects = env.exact_objects(40_000, generator)
        backward = sampler.backward(policy, objects, generator=generator)
        up = evaluate(env, policy, forward).log_weight.exp()
        down = evaluate(env, policy, backward).log_weight.exp()
    f, g = roomy(env, forward), roomy(env, backward)
    assert 0.2 < float(g.mean()) < 0.98
    assert int(forward.length[f > 0].max()) >= 3
    for weighed, plain in ((up * f, z * g), (g / down, f / z)):
        error = ((weighed.var() + plain.var()) / len(f)).sqrt()
        assert float(error) < 0.06 * float(plain.mean())
        assert abs(float(weighed.mean() - plain.mean())) < 4 * float(error)


@given(seed=SEEDS, dim=st.integers(1, 4))
def test_forced_moves_are_certain_and_without_gradient(seed: int, dim: int) -> None:
    """B6 on cubes: no room along one axis is enough."""
    env = Cube(dim, min_step=0.2)
    generator = torch.Generator().manual_seed(seed)
    low = 0.01 + 0.7 * torch.rand(6, dim, generator=generator)
    low[:, -1] = 0.2 * torch.rand(6, generator=generator)
    raw = torch.randn(6, env.num_backward_outputs, generator=generator).requires_grad_()
    value = env.backward_law(low, raw).log_prob(torch.zeros_like(low))
    assert value.tolist() == [0.0] * 6
    assert not bool(torch.autograd.grad(value.sum(), raw)[0].any())
    assert env.backward_law(low).log_prob(torch.zeros_like(low)).tolist() == [0.0] * 6
    raw = torch.randn(6, env.num_outputs, generator=generator).requires_grad_()
    assert bool(env.is_terminal(1 - low).all())
    stop = env.forward_law(1 - low, raw).log_stop
    assert stop.tolist() == [0.0] * 6
    assert not bool(torch.autograd.grad(stop.sum(), raw)[0].any())


def test_trajectory_balance_is_zero_at_an_exact_solution() -> None:
    """A flat reward, an even first move and a stop at once."""
    env = Cube(3, FunctionReward(lambda x: torch.full_like(x[:, 0], 0.7)))
    policy = BoxPolicy(env, width=8, depth=1, backward="uniform")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        policy.source.fill_(-1e3)
        policy.ahead.last.weight.zero_()
        policy.ahead.last.bias.zero_()[0] = 1e3
        batch = Sampler(env).forward(policy, 200, generator=generator)
        terms = evaluate(env, policy, batch)
    # Backward, an object may have come in several moves; the fixed kernel must be told that it
    # has not.
    home = math.log(env.home)
    free = ~env.must_return(batch.final_states)
    assert bool(free.any())
    residual = TrajectoryBalance(log_z=0.7).residual(terms).detach()
    torch.testing.assert_close(residual, -home * free.double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("settings_of", "match"),
    [
        ({"dim": 0}, "dim must be at least 1"),
        ({"min_step": 1.0}, "lie in"),
        ({"home": 0.0}, "lie in"),
        ({"dim": 2, "reward": RingedCorners(3)}, "of 3 dimensions"),
    ],
)
def test_bad_settings_are_refused(settings_of: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Cube(**settings_of)

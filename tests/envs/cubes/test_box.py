"""Boxes: densities that integrate to one, moves that are legal both ways, exact forced moves."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Exploration, FunctionReward, Policy, PolicyOutput, evaluate
from gflow.envs.cubes.box import Box
from gflow.envs.cubes.moves import Arc
from gflow.envs.cubes.policy import BoxPolicy
from gflow.envs.cubes.rewards import InnerDisk, RingedCorners
from gflow.errors import ConfigError, ShapeError
from gflow.objectives import DetailedBalance, ModifiedDetailedBalance, TrajectoryBalance
from gflow.policies.base import Backward
from gflow.sampling.sampler import Sampler
from gflow.terms import FlowTerms, Needs

SEEDS = st.integers(0, 10_000)
DELTAS = st.floats(0.08, 0.7)


class Fixed(Policy):
    """The same outputs everywhere, others at the source, and a fixed backward kernel."""

    backward: Backward = "uniform"

    def __init__(self, source: Tensor, elsewhere: Tensor) -> None:
        super().__init__()
        self.source, self.elsewhere = torch.nn.Parameter(source), torch.nn.Parameter(elsewhere)

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        at_source = (states == 0).all(-1, keepdim=True)
        return PolicyOutput(torch.where(at_source, self.source, self.elsewhere))


def even(env: Box, stop: float) -> Fixed:
    """Even on the quarter disk and on arcs; the concentrations of `env` must be (1, 2)."""
    assert env.concentrations == (1.0, 2.0)
    k, low, high = env.source_components, -1e3, 1e3
    source = torch.zeros(env.num_outputs)
    source[k : 2 * k] = high  # the radius is Beta(2, 1), the angle Beta(1, 1)
    source[2 * k : 5 * k] = low
    elsewhere = torch.full((env.num_outputs,), low)
    elsewhere[0] = stop
    return Fixed(source, elsewhere)


def nodes(count: int = 64) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre on (0, 1), after a substitution that flattens the ends."""
    t, w = torch.linalg.eigh(
        torch.diag(k := torch.arange(1, count) / (4 * torch.arange(1, count) ** 2 - 1.0) ** 0.5, 1)
        + torch.diag(k, -1)
    )
    t, w = (t + 1) / 2, w[0] ** 2
    return t**2 * (3 - 2 * t), w * 6 * t * (1 - t)


def interval(room: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """(N,) angles between which a step of length delta fits into the room, from the definition."""
    low = torch.where(room[:, 0] >= delta, 0.0, (room[:, 0] / delta).clamp(max=1).acos())
    high = torch.where(room[:, 1] >= delta, math.pi / 2, (room[:, 1] / delta).clamp(max=1).asin())
    return low, high


def arc_points(states: Tensor, delta: float, sign: float) -> tuple[Tensor, Tensor]:
    """(N, Q, 2) points on the legal arcs from N states, and (N, Q) weights per arc length."""
    low, high = interval(1 - states if sign > 0 else states, delta)
    v, w = nodes()
    phi = low[:, None] + (high - low)[:, None] * v
    points = states[:, None] + sign * delta * torch.stack([phi.cos(), phi.sin()], -1)
    return points, (high - low)[:, None] * w * delta


def inner_states(env: Box, seed: int, count: int = 12) -> Tensor:
    """Points in the square from which both an arc up and an arc down lead."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(4000, 2, generator=generator)
    good = ~env.is_terminal(points) & ~env.must_return(points)
    return points[good][:count]


def outputs(rows: int, width: int, seed: int) -> Tensor:
    return 2 * torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- B1


@given(seed=SEEDS, delta=DELTAS, components=st.integers(1, 3))
def test_densities_integrate_to_one(seed: int, delta: float, components: int) -> None:
    """B1: arcs and the stop, arcs back, and the quarter disk."""
    env = Box(delta=delta, components=components, source_components=components)
    states = inner_states(env, seed)
    many = len(nodes()[0])
    spread = states.repeat_interleave(many, 0)

    ahead = outputs(len(states), env.num_outputs, seed)
    points, weight = arc_points(states, delta, 1.0)
    kernel = env.forward_law(spread, ahead.repeat_interleave(many, 0))
    density = kernel.log_prob(points.flatten(0, 1)).exp().view(weight.shape)
    stop = env.forward_law(states, ahead).log_stop.exp()
    assert bool(((stop > 0) & (stop < 1)).all())
    torch.testing.assert_close(
        (density * weight).sum(-1) + stop, torch.ones(len(states)), atol=1e-5, rtol=0
    )

    points, weight = arc_points(states, delta, -1.0)
    for back in (None, outputs(len(states), env.num_backward_outputs, seed)):
        shared = None if back is None else back.repeat_interleave(many, 0)
        density = env.backward_law(spread, shared).log_prob(points.flatten(0, 1)).exp()
        total = (density.view(weight.shape) * weight).sum(-1)
        torch.testing.assert_close(total, torch.ones(len(states)), atol=1e-5, rtol=0)

    v, w = nodes()
    rho, phi = delta * v[:, None], math.pi / 2 * v[None]
    disk = torch.stack([rho * phi.cos(), rho * phi.sin()], -1).flatten(0, 1)
    area = (rho * delta * w[:, None] * math.pi / 2 * w[None]).flatten()
    for kernel in (
        env.forward_law(env.initial(len(disk)), ahead[:1].expand(len(disk), -1)),
        env.exploration_law(env.initial(len(disk))),
    ):
        assert float((kernel.log_prob(disk).exp() * area).sum()) == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------------- B2


def check_moves(env: Box, before: Tensor, after: Tensor) -> None:
    """Every pair is a legal move forward and backward, by the definition."""
    rounding = 1e-9
    assert bool(((after >= 0) & (after <= 1)).all())
    first = (before == 0).all(-1)
    assert bool((after[first].norm(dim=-1) <= env.delta).all())
    before, after = before[~first], after[~first]
    move = after - before
    torch.testing.assert_close(move.norm(dim=-1), torch.full((len(move),), env.delta))
    phi = torch.atan2(move[:, 1], move[:, 0])
    for room in (1 - before, after):
        low, high = interval(room, env.delta)
        assert bool(((phi >= low - rounding) & (phi <= high + rounding)).all())
    assert not bool(env.is_terminal(before).any())
    assert not bool(env.must_return(after).any())


@pytest.mark.slow
@settings(max_examples=20)
@given(seed=SEEDS, delta=DELTAS, spread=st.floats(0.1, 30), epsilon=st.sampled_from([0.0, 0.5]))
def test_moves_are_legal_both_ways(seed: int, delta: float, spread: float, epsilon: float) -> None:
    """B2: forward from the source, and backward from anywhere."""
    env = Box(delta=delta)
    generator = torch.Generator().manual_seed(seed)
    policy = BoxPolicy(env, width=16, depth=1, generator=generator)
    assert policy.back is not None
    for head in (policy.ahead.last, policy.back.last):
        torch.nn.init.normal_(head.weight, std=spread, generator=generator)
    sampler = Sampler(env)
    walks = [
        sampler.forward(policy, 200, exploration=Exploration(epsilon), generator=generator),
        sampler.backward(policy, env.exact_objects(200, generator), generator=generator),
    ]
    for batch in walks:
        moves = batch.length - batch.stopped.long()
        assert int(moves.min()) >= 1
        assert int(moves.max()) <= math.ceil(2 / delta) + 1
        rows, times = batch.moves.nonzero(as_tuple=True)
        before, after = (batch.states[batch.state_index[rows, times + k]] for k in (0, 1))
        check_moves(env, before, after)
        assert bool(env.is_initial(batch.states_at(0)).all())
        assert torch.equal(batch.stopped, ~env.is_terminal(batch.final_states))
        terms = evaluate(env, policy, batch)
        assert bool(terms.log_weight.isfinite().all())


@pytest.mark.slow
def test_single_precision_is_legal_too() -> None:
    """Angles recomputed from rounded states stay in their intervals: no weight goes astray."""
    env = Box(delta=0.1, concentrations=(1.0, 2.0))
    torch.set_default_dtype(torch.float32)
    policy, sampler = even(env, -2.0), Sampler(env)
    generator = torch.Generator().manual_seed(0)
    batch = sampler.forward(policy, 20_000, generator=generator)
    narrow = log_weight(env, policy, batch).double()
    torch.set_default_dtype(torch.float64)
    wider = replace(batch, states=batch.states.double(), log_reward=batch.log_reward.double())
    wide = log_weight(env, policy.double(), wider)
    assert float((narrow - wide).abs().quantile(0.999)) < 1e-3
    assert float((narrow - wide).abs().max()) < 0.5  # tiny intervals next to the corners


@torch.no_grad()
def log_weight(env: Box, policy: Policy, batch: Any) -> Tensor:
    return evaluate(env, policy, batch).log_weight


# ---------------------------------------------------------------------- B3


def z_score(values: Tensor, exact: float) -> float:
    return float((values.mean() - exact) / (values.std() / len(values) ** 0.5))


@pytest.mark.slow
def test_weights_have_the_mean_z() -> None:
    """B3, and the same from exact samples backward, whose inverse weights have the mean 1 / Z."""
    env = Box(delta=0.5, concentrations=(1.0, 2.0))
    policy, sampler = even(env, -1.0), Sampler(env)
    generator = torch.Generator().manual_seed(0)
    forward = sampler.forward(policy, 60_000, generator=generator)
    assert abs(z_score(log_weight(env, policy, forward).exp(), 0.305)) < 4
    objects = env.exact_objects(60_000, generator)
    backward = sampler.backward(policy, objects, generator=generator)
    assert abs(z_score((-log_weight(env, policy, backward)).exp(), 1 / 0.305)) < 4


def test_learned_backward_kernels_keep_the_mean() -> None:
    """Whatever the backward kernel is, weights have the mean Z."""
    env = Box(delta=0.5, concentrations=(1.0, 2.0))
    generator = torch.Generator().manual_seed(3)
    back = BoxPolicy(env, width=16, depth=1, generator=generator)
    assert back.back is not None
    torch.nn.init.normal_(back.back.last.weight, generator=generator)

    class Both(Fixed):
        backward = "learned"

        def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
            ahead = super().forward(env, states, condition).forward_logits
            return PolicyOutput(ahead, back.backward_logits(env, states))

    plain = even(env, -1.0)
    policy, sampler = Both(plain.source.data, plain.elsewhere.data), Sampler(env)
    batch = sampler.forward(policy, 40_000, generator=generator)
    assert abs(z_score(log_weight(env, policy, batch).exp(), 0.305)) < 4


# ---------------------------------------------------------------------- B4


@given(seed=SEEDS, delta=st.floats(0.05, 1.0))
def test_trajectory_balance_is_zero_at_an_exact_solution(seed: int, delta: float) -> None:
    """B4: an even first move, a stop, and a reward that is 1 just there."""
    env = Box(InnerDisk(delta), delta=delta, concentrations=(1.0, 2.0))
    policy = even(env, 1e3)
    generator = torch.Generator().manual_seed(seed)
    batch = Sampler(env).forward(policy, 50, generator=generator)
    log_z = math.log(math.pi * delta**2 / 4)
    objective = TrajectoryBalance(log_z=log_z)
    residual = objective.residual(evaluate(env, policy, batch))
    torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-9, rtol=0)
    assert env.log_partition() == pytest.approx(log_z, abs=1e-4)


# ---------------------------------------------------------------------- B5


def residuals(env: Box, policy: BoxPolicy, batch: Any) -> tuple[Tensor, Tensor]:
    terms = evaluate(env, policy, batch, Needs(log_flow=True))
    return (
        TrajectoryBalance(log_z=0.3).residual(terms).detach(),
        DetailedBalance().residual(terms).detach(),
    )


@pytest.mark.parametrize("sides", ["both", "forward", "backward"])
def test_residuals_depend_on_the_measure_of_one_side_only(
    sides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B5: densities per radian in the place of those per arc length, on both sides or on one."""
    env = Box(delta=0.25)
    generator = torch.Generator().manual_seed(0)
    policy = BoxPolicy(env, width=16, depth=1, log_flow=True, generator=generator)
    batch = Sampler(env).forward(policy, 64, generator=generator)
    tb, db = residuals(env, policy, batch)
    plain, up, down = Arc.log_prob, env._forward, env.backward_law

    class PerRadian(Arc):
        def log_prob(self, move: Tensor) -> Tensor:
            return plain(self, move) + math.log(self.delta)

    def changed(kernel: Any, name: str) -> Any:
        getattr(kernel, name).__class__ = PerRadian
        return kernel

    if sides != "backward":
        monkeypatch.setattr(env, "_forward", lambda *args: changed(up(*args), "later"))
    if sides != "forward":
        monkeypatch.setattr(env, "backward_law", lambda *args: changed(down(*args), "back"))
    tb_now, db_now = residuals(env, policy, batch)
    later = (batch.length - batch.stopped.long() - 1).double()
    assert int(later.max()) > 1
    expected = {"both": 0.0, "forward": 1.0, "backward": -1.0}[sides] * math.log(env.delta)
    torch.testing.assert_close(tb_now - tb, later * expected)
    arcs = batch.moves.clone()
    arcs[:, 0] = False
    torch.testing.assert_close(db_now - db, arcs * expected)


# ---------------------------------------------------------------------- B6


@given(seed=SEEDS, delta=DELTAS)
def test_forced_moves_are_certain_and_without_gradient(seed: int, delta: float) -> None:
    """B6: the stop near the far corner and on the far faces, and the return from the disk."""
    env = Box(delta=delta)
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(20, generator=generator) * math.pi / 2
    radius = delta * torch.rand(20, generator=generator).clamp(min=1e-3)
    near = radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    edge = torch.cat([torch.tensor([[1.0, 0.3]]), torch.tensor([[0.2, 1.0]])])
    ends = torch.cat([1 - near, edge])
    assert bool(env.is_terminal(ends).all())
    assert not bool(env.can_stop(ends).any())
    raw = outputs(len(ends), env.num_outputs, seed).requires_grad_()
    stop = env.forward_law(ends, raw).log_stop
    assert stop.tolist() == [0.0] * len(ends)
    (gradient,) = torch.autograd.grad(stop.sum(), raw)
    assert not bool(gradient.any())

    assert bool(env.must_return(near).all())
    raw = outputs(len(near), env.num_backward_outputs, seed).requires_grad_()
    kernel = env.backward_law(near, raw)
    value = kernel.log_prob(torch.zeros_like(near))
    assert value.tolist() == [0.0] * len(near)
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    assert not bool(gradient.any())
    assert bool((kernel.sample(generator)[0] == 0).all())

    source = env.initial(3)
    raw = outputs(3, env.num_outputs, seed)
    assert env.forward_law(source, raw).log_stop.tolist() == [-math.inf] * 3
    assert not bool(env.forward_law(source, raw).sample(generator)[1].any())


def test_whole_trajectories_send_no_gradient_into_forced_steps() -> None:
    """The outputs of states that are finished by force, or return by force, are never read."""
    env = Box(delta=0.6)
    generator = torch.Generator().manual_seed(0)
    policy = BoxPolicy(env, width=16, depth=1, generator=generator)
    batch = Sampler(env).forward(policy, 300, generator=generator)
    ahead = policy(env, batch.states).forward_logits.detach().requires_grad_()
    back = policy(env, batch.states).backward_logits.detach().requires_grad_()

    class Leaves(BoxPolicy):
        def of_trajectories(self, *args: Any) -> PolicyOutput:
            return PolicyOutput(ahead, back)

    leaves = Leaves(env, width=4, depth=1)
    TrajectoryBalance()(evaluate(env, leaves, batch)).backward()
    assert ahead.grad is not None
    assert back.grad is not None
    done, home = env.is_terminal(batch.states), env.must_return(batch.states)
    assert bool(done.any())
    assert not bool(ahead.grad[done].any())
    assert bool(ahead.grad[~done].any(-1).all())
    assert not bool(back.grad[home].any())
    assert bool(back.grad[~home].any(-1).all())


# ---------------------------------------------------------------------- B7, B8


@given(seed=SEEDS, delta=DELTAS)
def test_detailed_balance_implies_flow_matching(seed: int, delta: float) -> None:
    """B7: define P_F by detailed balance with any flow; what flows in is what is there."""
    env = Box(delta=delta)
    states = inner_states(env, seed)
    raw = outputs(len(states), env.num_backward_outputs, seed)
    a, b = outputs(2, 2, seed)

    def log_flow(points: Tensor) -> Tensor:
        flow: Tensor = (points @ a).sin() + (points @ b).cos()
        return flow

    parents, weight = arc_points(states, delta, -1.0)
    many = parents.shape[1]
    spread, flat = states.repeat_interleave(many, 0), parents.flatten(0, 1)
    log_pb = env.backward_law(spread, raw.repeat_interleave(many, 0)).log_prob(flat)
    log_pf = log_flow(spread) + log_pb - log_flow(flat)
    one = torch.ones(len(flat), dtype=torch.int64)
    terms = FlowTerms(
        log_pf=log_pf[:, None],
        log_pb=log_pb[:, None],
        log_reward=log_flow(spread),
        length=one,
        stopped=one == 0,
        log_flow=torch.stack([log_flow(flat), log_flow(spread)], 1),
    )
    balance = DetailedBalance().residual(terms)
    torch.testing.assert_close(balance, torch.zeros_like(balance))
    inflow = ((log_flow(flat) + log_pf).exp().view(weight.shape) * weight).sum(-1).log()
    torch.testing.assert_close(inflow, log_flow(states), atol=1e-5, rtol=0)
    legal = ~env.is_terminal(flat) & ~env.is_initial(flat)
    assert bool(legal.view(weight.shape)[:, 1:-1].all())


@given(seed=SEEDS)
def test_modified_detailed_balance_is_detailed_balance_with_the_flow_put_in(seed: int) -> None:
    """B8: u = r / P_F(stop), along the later parts of trajectories, where every state may stop."""
    env = Box(delta=0.3)
    generator = torch.Generator().manual_seed(seed)
    policy = BoxPolicy(env, width=16, depth=1, generator=generator)
    batch = Sampler(env).forward(policy, 40, generator=generator)
    terms = evaluate(env, policy, batch)
    states = batch.states[batch.state_index[:, 1:]]  # (B, T, 2) without the source
    flat = states.flatten(0, 1)
    log_stop = env.forward_law(flat, policy(env, flat).forward_logits).log_stop
    log_reward = env.log_reward(flat)
    later = FlowTerms(
        log_pf=terms.log_pf[:, 1:],
        log_pb=terms.log_pb[:, 1:],
        log_reward=terms.log_reward,
        length=terms.length - 1,
        stopped=terms.stopped,
        log_stop=log_stop.view(states.shape[:2]),
        state_log_reward=log_reward.view(states.shape[:2]),
        log_flow=(log_reward - log_stop).view(states.shape[:2]),
    )
    modified = ModifiedDetailedBalance().residual(later).detach()
    plain = DetailedBalance().residual(later).detach()
    moves = later.moves
    assert bool(moves.any())
    assert float(modified.abs().max()) > 0.01
    torch.testing.assert_close(modified[moves], plain[moves])


# ---------------------------------------------------------------------- the rest


def test_exploration_is_even_over_what_is_legal() -> None:
    """The first move by area, later ones by angle, and it stops at the rate that it says."""
    env = Box(delta=0.25)
    policy = BoxPolicy(env, width=8, depth=1, generator=torch.Generator().manual_seed(0))
    batch = Sampler(env).forward(
        policy,
        20_000,
        exploration=Exploration(trajectory_epsilon=1.0),
        generator=torch.Generator().manual_seed(1),
    )
    first = batch.states_at(1)
    second = batch.states[batch.state_index[batch.length - batch.stopped.long() > 1][:, :3]]
    low, high = interval(1 - second[:, 1], env.delta)
    move = second[:, 2] - second[:, 1]
    place = (torch.atan2(move[:, 1], move[:, 0]) - low) / (high - low)
    for even_one in ((first.norm(dim=-1) / env.delta).square(), place):
        count = len(even_one)
        seen = torch.bincount((even_one * 10).long().clamp(0, 9), minlength=10)
        assert float(((seen - count / 10) ** 2 / (count / 10)).sum()) < 35  # 9 degrees of freedom
    rate = float((batch.length == 2)[batch.stopped | (batch.length > 2)].double().mean())
    assert rate == pytest.approx(2 / env.horizon, abs=0.015)


def test_any_reward_of_points_will_do() -> None:
    env = Box(FunctionReward(lambda x: -x.sum(-1)), delta=0.3)
    assert env.log_partition() is None
    assert env.log_reward(torch.tensor([[0.25, 0.5]])).tolist() == [-0.75]
    assert Box().log_partition() == pytest.approx(math.log(0.305))
    assert env.show(torch.tensor([[0.25, 0.5]])) == ["(0.25, 0.5)"]


@pytest.mark.parametrize(
    ("settings_of", "match"),
    [
        ({"delta": 0.0}, "delta must lie in"),
        ({"delta": 1.2}, "delta must lie in"),
        ({"components": 0}, "components must be at least 1"),
        ({"concentrations": (2.0, 1.0)}, "must be a positive range"),
        ({"border": 0.5}, "border must lie in"),
        ({"reward": RingedCorners(3)}, "of 3 dimensions"),
    ],
)
def test_bad_settings_are_refused(settings_of: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Box(**settings_of)


def test_bad_objects_are_refused() -> None:
    env = Box()
    with pytest.raises(ShapeError, match="must be points"):
        env.objects(torch.rand(3, 3))
    for bad in ([0.5, 1.5], [0.0, 0.0]):
        with pytest.raises(ConfigError, match="row 1 is"):
            env.objects(torch.tensor([[0.5, 0.5], bad]))

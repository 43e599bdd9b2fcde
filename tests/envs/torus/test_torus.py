"""The torus: legality, normalised kernels, exact cases (T1 to T3), every objective."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import evaluate
from gflow.behaviours.base import Incomplete, Sampling
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.local_search import LocalSearch
from gflow.envs.torus.env import Torus, TorusReward, TorusState
from gflow.envs.torus.policy import TorusPolicy
from gflow.envs.torus.targets import Sines, TorusMixture, TorusTarget, ramachandran
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.objectives import OBJECTIVES, TrajectoryBalance
from gflow.policies.base import Policy, PolicyOutput
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.state import take
from gflow.training.trainer import TrainConfig, Trainer

BALANCED = ["tb", "vargrad", "db", "subtb", "fldb", "flsubtb", "optb", "opdb", "opsubtb"]


def world(**settings: Any) -> Torus:
    return Torus(ramachandran(), **{"length": 4, **settings})


def policy_of(env: Torus, seed: int = 0, **settings: Any) -> TorusPolicy:
    generator = torch.Generator().manual_seed(seed)
    return TorusPolicy(env, 16, 2, log_flow=True, generator=generator, **settings)


def drawn(env: Torus, policy: Policy, count: int = 50, **settings: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    return Sampler(env).forward(policy, count, generator=generator, **settings)


def torus_points(count: int) -> Tensor:
    line = torch.arange(count) * (2 * math.pi / count)
    return torch.cartesian_prod(line, line)


# ---------------------------------------------------------------------- structure


def test_every_trajectory_makes_all_moves_within_the_circle() -> None:
    env = world()
    batch = drawn(env, policy_of(env))
    assert batch.length.tolist() == [4] * 50
    assert not bool(batch.stopped.any())
    path = take(batch.states, batch.state_index.flatten())
    assert path.step.view(50, 5).tolist() == [[0, 1, 2, 3, 4]] * 50
    assert bool((path.angles >= 0).all() & (path.angles < 2 * math.pi).all())
    assert bool((path.angles.view(50, 5, 2)[:, 0] == 0).all())
    torch.testing.assert_close(batch.log_reward, env.target.log_density(batch.final_states.angles))
    assert bool(env.is_terminal(batch.final_states).all())
    assert env.show(batch.final_states)[0].endswith("degrees after 4 of 4 moves")


def test_states_given_are_not_changed() -> None:
    env = world()
    states = TorusState(torch.ones(3, 2), torch.ones(3, dtype=torch.int64))
    before = states.angles.clone()
    for kernel in (
        env.forward_law(states, torch.zeros(3, env.num_outputs)),
        env.backward_law(states),
        env.exploration_law(states),
    ):
        kernel.sample(torch.Generator().manual_seed(0))
    assert torch.equal(states.angles, before)
    assert states.step.tolist() == [1, 1, 1]


def test_backward_trajectories_lead_to_the_source() -> None:
    env = world()
    objects = env.objects(env.target.sample(30, torch.Generator().manual_seed(0)))
    for backward in ("learned", "uniform"):
        policy = policy_of(env, backward=backward)
        batch = Sampler(env).backward(policy, objects, generator=torch.Generator())
        assert torch.equal(batch.final_states.angles, objects.angles)
        first = take(batch.states, batch.state_index[:, 0])
        assert bool(env.is_initial(first).all())
        assert bool((first.angles == 0).all())
        terms = evaluate(env, policy, batch)
        assert bool(terms.log_weight.isfinite().all())


# ---------------------------------------------------------------------- kernels


def test_the_way_back_from_step_one_is_forced() -> None:
    """T3."""
    env = world()
    states = TorusState(torch.rand(4, 2) * 6, torch.tensor([1, 2, 1, 4]))
    outputs = torch.randn(4, env.num_backward_outputs)
    for kernel in (env.backward_law(states, outputs), env.backward_law(states)):
        before, stops = kernel.sample(torch.Generator().manual_seed(0))
        assert stops is None
        assert before.step.tolist() == [0, 1, 0, 3]
        assert before.angles[[0, 2]].eq(0).all()
        assert before.angles[[1, 3]].ne(0).all()
        log_prob = kernel.log_prob(before)
        assert log_prob[[0, 2]].tolist() == [0, 0]
        assert log_prob[[1, 3]].ne(0).all()


def test_the_forced_way_back_sends_no_gradient() -> None:
    env = world()
    states = TorusState(torch.rand(2, 2) * 6, torch.tensor([1, 2]))
    outputs = torch.randn(2, env.num_backward_outputs, requires_grad=True)
    kernel = env.backward_law(states, outputs)
    kernel.log_prob(TorusState(torch.zeros(2, 2), states.step - 1)).sum().backward()
    assert outputs.grad is not None
    assert outputs.grad[0].eq(0).all()
    assert outputs.grad[1].ne(0).any()


@pytest.mark.parametrize("kind", ["forward", "backward", "uniform", "explore"])
def test_kernels_integrate_to_one(kind: str) -> None:
    """T1, over a grid of 64 x 64 next states."""
    env, points = world(), torus_points(64)
    count = len(points)
    states = TorusState(torch.tensor([[1.0, 5.0]]).expand(count, 2), torch.full((count,), 2))
    outputs = torch.randn(1, env.num_outputs, generator=torch.Generator().manual_seed(0))
    outputs = outputs.expand(count, -1)
    kernel = {
        "forward": lambda: env.forward_law(states, outputs),
        "backward": lambda: env.backward_law(states, outputs),
        "uniform": lambda: env.backward_law(states),
        "explore": lambda: env.exploration_law(states),
    }[kind]()
    density = kernel.log_prob(TorusState(points, states.step)).exp()
    assert float(density.mean()) * (2 * math.pi) ** 2 == pytest.approx(1, abs=1e-7)
    if kind in ("uniform", "explore"):
        torch.testing.assert_close(density, torch.full_like(density, (2 * math.pi) ** -2))


@pytest.mark.parametrize("forward", [True, False])
def test_draws_of_a_kernel_have_its_density(forward: bool) -> None:
    """The first harmonics of 10 000 draws, against quadrature of `log_prob`."""
    env, points, count = world(), torus_points(64), 10_000
    outputs = torch.randn(1, env.num_outputs, generator=torch.Generator().manual_seed(3))

    def kernel(rows: int) -> Any:
        states = TorusState(torch.tensor([[1.0, 5.0]]).expand(rows, 2), torch.full((rows,), 3))
        wide = outputs.expand(rows, -1)
        return env.forward_law(states, wide) if forward else env.backward_law(states, wide)

    step = torch.zeros(len(points), dtype=torch.int64)
    law = kernel(len(points)).log_prob(TorusState(points, step)).softmax(0)
    reached = kernel(count).sample(torch.Generator().manual_seed(0))[0].angles
    for wave in (torch.sin, torch.cos, lambda x: torch.sin(x.sum(-1, keepdim=True))):
        seen, exact = wave(reached), law @ wave(points)
        score = (seen.mean(0) - exact) / (seen.std(0) / count**0.5)
        assert float(score.abs().max()) < 4


def test_backward_takes_away_what_forward_adds() -> None:
    """The same outputs give the step and the step back the same density."""
    env = world()
    outputs = torch.randn(6, env.num_outputs)
    here = TorusState(torch.rand(6, 2) * 6, torch.full((6,), 2))
    there, _ = env.forward_law(here, outputs).sample(torch.Generator().manual_seed(0))
    ahead = env.forward_law(here, outputs).log_prob(there)
    torch.testing.assert_close(ahead, env.backward_law(there, outputs).log_prob(here))


def test_the_least_concentration_is_kept_and_the_largest_finite() -> None:
    env = world(min_concentration=4.0)
    outputs = torch.full((1, env.num_outputs), -50.0)
    torch.testing.assert_close(
        env.mixture(outputs).concentration, torch.full((1, 2, 5), 4.0), rtol=1e-12, atol=0
    )
    assert float(env.mixture(-4 * outputs).concentration.max()) == pytest.approx(4 + math.e**10)
    flat = world(min_concentration=0.0)
    states = TorusState(torch.rand(1, 2), torch.tensor([1]))
    near = flat.forward_law(states, outputs).log_prob(states)
    assert float(near) == pytest.approx(-2 * math.log(2 * math.pi))


def test_exploring_is_uniform_on_the_circle() -> None:
    env = world(length=3)
    batch = drawn(env, policy_of(env), 4000, exploration=Exploration(epsilon=1.0))
    counts = torch.histc(batch.final_states.angles, 16, 0, 2 * math.pi)
    expected = 4000 * 2 / 16
    assert float(((counts - expected).square() / expected).sum()) < 40  # chi-square, 15 degrees
    half = drawn(env, policy_of(env), 20, exploration=Exploration(trajectory_epsilon=0.5))
    assert len(half) == 20
    with pytest.raises(IncompatibleError, match="noise"):
        drawn(env, policy_of(env), 2, exploration=Exploration(noise=0.1))


# ---------------------------------------------------------------------- exact cases


class OneStep(Policy):
    """P_F is a fixed mixture; there is nothing to learn backward."""

    backward = "uniform"

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = torch.nn.Parameter(outputs)

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        return PolicyOutput(self.outputs.expand(len(states.step), -1))


@pytest.mark.parametrize("total", [1.0, 50.0])
def test_one_move_by_the_target_itself_balances(total: float) -> None:
    """T2: L = 1, P_F the target, a mixture for one angle."""
    means, kappa = torch.tensor([[0.3], [2.0], [6.0]]), torch.tensor([[5.0], [9.0], [30.0]])
    weights = torch.tensor([0.5, 0.2, 0.3])
    env = Torus(TorusMixture(means, kappa, weights, total), 1, components=3)
    cosine, sine = 3 * means[:, 0].cos(), 3 * means[:, 0].sin()  # a factor changes nothing
    raw = torch.stack([weights.log(), cosine, sine, (kappa[:, 0] - 4).log()], -1)
    policy = OneStep(raw.view(1, -1))
    loss = TrajectoryBalance(log_z=math.log(total))
    terms = loss.evaluate(env, policy, drawn(env, policy, 200))
    torch.testing.assert_close(loss.residual(terms), torch.zeros(200), rtol=0, atol=1e-12)
    torch.testing.assert_close(terms.log_weight, torch.full((200,), math.log(total)))
    with torch.no_grad():
        policy.outputs[0, 1] += 0.3  # one mean off
        off = loss.residual(loss.evaluate(env, policy, drawn(env, policy)))
    assert float(off.abs().max()) > 0.01


def test_the_mean_weight_is_z() -> None:
    """An unbiased estimate of Z from a policy that is wrong, with whole turns on the way."""
    env = world(length=3, min_concentration=0.5)
    policy = policy_of(env)
    batch = drawn(env, policy, 10_000)
    weight = evaluate(env, policy, batch).log_weight.detach().exp()
    error = float(weight.std()) / 10_000**0.5
    assert error < 3
    assert abs(float(weight.mean()) - 50) < 4 * error


def test_z_of_the_sum_of_waves_is_exact() -> None:
    """T1: 14 (2 pi)^2."""
    density = Sines().log_density(torus_points(64)).exp()
    total = float(density.mean()) * (2 * math.pi) ** 2
    assert total == pytest.approx(14 * (2 * math.pi) ** 2, rel=1e-12)
    assert Torus(Sines()).log_partition() == pytest.approx(6.314811, abs=1e-6)


# ---------------------------------------------------------------------- training


def trainer_of(objective: str, env: Torus, **settings: Any) -> Trainer:
    policy = policy_of(env, **{k: settings.pop(k) for k in ("backward", "shared") if k in settings})
    cls = OBJECTIVES[objective]
    config = TrainConfig(batch_size=32, lr=3e-3, log_z_lr=0.1, epsilon=0.1)
    return Trainer(env, policy, cls.build(env), config, **settings)


@pytest.mark.parametrize("objective", BALANCED)
def test_the_loss_of_a_fixed_batch_falls(objective: str) -> None:
    env = world()
    trainer = trainer_of(objective, env)
    batch = trainer.sample()
    losses = []
    for _ in range(12):
        torch.manual_seed(1)  # the pairs of order losses are drawn
        losses.append(float(trainer.descend(batch)[0]))
    assert min(losses[-3:]) < losses[0], losses
    trainer.train_step()


@pytest.mark.parametrize("objective", ["fm", "opfm", "mdb"])
def test_what_counts_actions_is_refused(objective: str) -> None:
    with pytest.raises(IncompatibleError, match="Torus"):
        trainer_of(objective, world())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("backward", ["learned", "uniform"])
def test_every_network_trains(backward: str, shared: bool) -> None:
    trainer = trainer_of("subtb", world(), backward=backward, shared=shared)
    before = {n: p.clone() for n, p in trainer.policy.named_parameters()}
    trainer.train(3)
    for name, parameter in trainer.policy.named_parameters():
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("accept", ["greedy", "metropolis"])
def test_local_search_trains(accept: str) -> None:
    env = world()
    trainer = trainer_of("tb", env, behaviour=LocalSearch(3, "random", accept))
    record = trainer.train(3)
    assert 0 <= record["acceptance"] <= 1
    batch = trainer.sample()
    assert bool(env.is_terminal(batch.final_states).all())
    assert batch.length.tolist() == [4] * 32


@pytest.mark.slow
def test_local_search_keeps_the_law_of_exact_objects() -> None:
    """Metropolis chains that start in exact samples keep the weights of the basins."""
    env, count = world(min_concentration=1.0), 6000
    policy = policy_of(env)
    generator = torch.Generator().manual_seed(2)
    objects = env.objects(env.target.sample(count, generator))
    current = Sampler(env).backward(policy, objects, generator=generator)
    sampling = Sampling(policy, Sampler(env), generator=generator)
    for _ in range(3):
        revision = LocalSearch(1, "random", "metropolis").revise(sampling, current)
        current = revision.following
    assert float(revision.accepted.double().mean()) > 0.03
    assert isinstance(env.target, TorusTarget)
    shares = env.target.shares(current.final_states.angles)
    score = (shares.mean(0) - env.target.basin_weights) / (shares.std(0) / count**0.5)
    assert float(score.abs().max()) < 4


def test_exact_samples_replayed_backward_train() -> None:
    env = world()
    objects = env.objects(env.target.sample(64, torch.Generator().manual_seed(0)))
    trainer = trainer_of("tb", env, behaviour=BackwardReplay(env, objects, share=0.5))
    batch = trainer.sample()
    ends = batch.final_states.angles[-16:]
    assert bool((ends[:, None] == objects.angles).all(-1).any(-1).all())
    losses = [float(trainer.descend(batch)[0]) for _ in range(12)]
    assert losses[-1] < losses[0]
    trainer.train(2)


def test_trajectories_cut_short_train() -> None:
    """The loss of a batch of which some were cut falls."""
    trainer = trainer_of("db", world(), behaviour=Incomplete(0.5))
    batch = trainer.sample()
    assert batch.complete is not None
    assert 0 < int(batch.complete.sum()) < len(batch)
    losses = [float(trainer.descend(batch)[0]) for _ in range(12)]
    assert min(losses[-3:]) < losses[0]
    trainer.train(2)


# ---------------------------------------------------------------------- complaints


def test_bad_settings_are_refused() -> None:
    for settings in ({"length": 0}, {"components": 0}, {"min_concentration": -1.0}):
        with pytest.raises(ConfigError, match="Torus"):
            world(**settings)
    env = world()
    with pytest.raises(ShapeError, match=r"\(B, 2\)"):
        env.objects(torch.zeros(3))
    refused: list[dict[str, Any]] = [{"width": 0}, {"frequencies": 0}, {"backward": "maxent"}]
    for options in refused:
        with pytest.raises(ConfigError, match="TorusPolicy"):
            TorusPolicy(env, **options)
    with pytest.raises(IncompatibleError, match="backward"):
        TorusPolicy(env, 8, backward="uniform").zero_backward_head()


def test_a_zeroed_backward_head_is_the_same_everywhere() -> None:
    env = world()
    policy = policy_of(env)
    policy.zero_backward_head()
    states = TorusState(torch.rand(5, 2) * 6, torch.tensor([1, 2, 3, 4, 4]))
    found = policy.backward_logits(env, states)
    assert found is not None
    assert bool((found == found[0]).all())
    means = env.mixture(found).mean[0, 0].sort().values.diff()
    torch.testing.assert_close(means, torch.full((4,), 0.25))
    weights = env.mixture(found).log_weight.exp()
    torch.testing.assert_close(weights, torch.full_like(weights, 0.2))


def test_policies_read_angles_that_wrap_and_the_number_of_moves() -> None:
    env = world()
    policy = policy_of(env)
    angles = torch.rand(3, 2)
    step = torch.tensor([1, 1, 1])
    one = policy.forward_logits(env, TorusState(angles, step))
    turned = policy.forward_logits(env, TorusState(angles + 2 * math.pi, step))
    torch.testing.assert_close(one, turned)
    assert not torch.allclose(one, policy.forward_logits(env, TorusState(angles, step + 1)))
    whole = policy(env, TorusState(angles, step))
    torch.testing.assert_close(whole.forward_logits, one)
    torch.testing.assert_close(
        whole.backward_logits, policy.backward_logits(env, TorusState(angles, step))
    )


def test_rewards_are_defined_on_the_way() -> None:
    env = world()
    assert TorusReward.has_partial
    states = TorusState(torch.rand(3, 2), torch.tensor([0, 1, 4]))
    torch.testing.assert_close(
        env.partial_log_reward(states), env.target.log_density(states.angles)
    )

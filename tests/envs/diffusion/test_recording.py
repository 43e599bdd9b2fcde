"""What a rollout keeps gives the outputs and gradients of a second pass; laws told their times."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.gaussian_steps import GaussianSteps
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck, random_grids
from gflow.envs.targets import Target, gmm9
from gflow.objective import Objective
from gflow.objectives import (
    DetailedBalance,
    LogPartitionVariance,
    PathwiseDivergence,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.policies.spare import Spare
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer
from gflow.trajectories import Trajectories

SEVEN = torch.tensor([0.0, 0.1, 0.5, 0.6, 1.0])


class Shifted(Target):
    """A Gaussian around its condition."""

    dim, condition_dim = 2, 2

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return -(self.checked(x) - condition).square().sum(-1)


ENVIRONMENTS: dict[str, Callable[[], GaussianSteps]] = {
    "bridge": lambda: Diffusion(gmm9(), Brownian(2.0), 7),
    "all_learned": lambda: Diffusion(gmm9(), OrnsteinUhlenbeck(1.5), 6, 2.0, 0.3),
    "annealed": lambda: AnnealedLangevin(gmm9(), 4.0, 5, rate=0.3),
    "uneven": lambda: Diffusion(gmm9(), Brownian(2.0), SEVEN),
    "told": lambda: Diffusion(Shifted(), Brownian(2.0), 4, 1.0),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stirred(env: GaussianSteps, langevin: bool = True) -> DiffusionPolicy:
    """A policy whose every parameter counts."""
    policy = DiffusionPolicy(env, 8, 2, log_flow=True, langevin=langevin)
    g = seeded(3)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(std=0.4, generator=g)
    return policy


def rollout(
    env: GaussianSteps, policy: DiffusionPolicy, record: bool = True, **others: Any
) -> Trajectories[Any]:
    given = torch.randn(2, 2, generator=seeded(8))[[0, 0, 1, 1, 1]]
    condition = given if env.condition_dim else None
    return Sampler(env).forward(
        policy, 5, generator=seeded(1), record=record, condition=condition, **others
    )


def gradients(objective: Objective, env: Any, policy: Any, batch: Any) -> tuple[Tensor, list[Any]]:
    policy.zero_grad()
    loss = objective(objective.evaluate(env, policy, batch))
    loss.backward()
    return loss.detach(), [
        torch.zeros_like(p) if p.grad is None else p.grad for p in policy.parameters()
    ]


@pytest.mark.parametrize("langevin", [False, True])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_losses_and_gradients_are_those_of_a_second_pass(
    name: str, langevin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For objectives of trajectories, transitions and parts of them, explored or not."""
    monkeypatch.setattr("gflow.envs.diffusion.recording.BLOCK_ROWS", 10)  # several blocks
    env = ENVIRONMENTS[name]()
    policy = stirred(env, langevin)
    for exploration in (Exploration(), Exploration(noise=0.4)):
        batch = rollout(env, policy, exploration=exploration)
        plain = rollout(env, policy, record=False, exploration=exploration)
        torch.testing.assert_close(batch.states.x, plain.states.x)
        assert batch.recorded is not None
        assert plain.recorded is None
        whole = LogPartitionVariance() if env.condition_dim else TrajectoryBalance(0.3)
        for objective in (whole, DetailedBalance(), SubTrajectoryBalance(0.9)):
            one, kept = gradients(objective, env, policy, batch)
            two, again = gradients(objective, env, policy, replace(batch, recorded=None))
            torch.testing.assert_close(one, two)
            assert sum(float(g.abs().max()) > 1e-9 for g in again) > 10
            for mine, theirs in zip(kept, again, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_rollouts_that_are_cut_keep_what_they_saw() -> None:
    env = ENVIRONMENTS["bridge"]()
    policy = stirred(env)
    batch = rollout(env, policy, limit=3)
    assert batch.recorded is not None
    objective = SubTrajectoryBalance(0.9)
    one, kept = gradients(objective, env, policy, batch)
    two, again = gradients(objective, env, policy, replace(batch, recorded=None))
    torch.testing.assert_close(one, two)
    for mine, theirs in zip(kept, again, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_clamped_outputs_send_no_gradient() -> None:
    env = ENVIRONMENTS["bridge"]()
    policy = stirred(env, langevin=False)
    nn.init.constant_(policy.drift.last.bias, 1e5)
    batch = rollout(env, policy)
    _, kept = gradients(LogPartitionVariance(), env, policy, batch)
    assert all(float(g.abs().max()) == 0 for g in kept)


def test_nothing_is_kept_of_a_policy_as_it_was() -> None:
    """A changed parameter, or another policy: the outputs are those of a pass of today."""
    env = ENVIRONMENTS["bridge"]()
    policy = stirred(env)
    batch = rollout(env, policy)
    plain, objective = replace(batch, recorded=None), TrajectoryBalance(0.3)
    assert batch.recorded is not None
    assert batch.recorded.holds_for(policy)
    other = copy.deepcopy(policy)
    assert not batch.recorded.holds_for(other)
    with torch.no_grad():
        policy.drift.last.bias.add_(1.0)
    assert not batch.recorded.holds_for(policy)
    found, fresh = (gradients(objective, env, policy, b)[0] for b in (batch, plain))
    assert float(found) == float(fresh)
    assert abs(float(fresh) - float(gradients(objective, env, other, plain)[0])) > 0.1
    batch = rollout(env, policy)
    policy.load_state_dict(other.state_dict())
    assert batch.recorded is not None
    assert not batch.recorded.holds_for(policy)


@pytest.mark.parametrize("fused", [False, True])
def test_nothing_is_kept_past_a_step_of_an_optimiser(fused: bool) -> None:
    env = ENVIRONMENTS["bridge"]()
    policy, objective = stirred(env), LogPartitionVariance()
    batch = rollout(env, policy)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1, fused=fused)
    objective(objective.evaluate(env, policy, batch)).backward()
    optimizer.step()
    assert batch.recorded is not None
    assert not batch.recorded.holds_for(policy)
    anew = objective(objective.evaluate(env, policy, replace(batch, recorded=None)))
    again = objective(objective.evaluate(env, policy, batch))
    torch.testing.assert_close(again, anew, rtol=1e-12, atol=0)


def test_a_step_of_the_trainer_is_counted() -> None:
    env = ENVIRONMENTS["bridge"]()
    policy = stirred(env)
    trainer = Trainer(env, policy, TrajectoryBalance(), TrainConfig(batch_size=4))
    before = [p._version for p in policy.parameters()]
    trainer.train_step()
    now = [p._version for p in policy.parameters()]
    assert all(a > b for a, b in zip(now, before, strict=True))


def test_what_changes_trajectories_drops_what_was_kept() -> None:
    env = ENVIRONMENTS["bridge"]()
    batch = rollout(env, stirred(env))
    two = torch.full((5,), 2)
    changed = (
        batch.select(torch.arange(3)),
        batch.truncate(two),
        batch.part(two, batch.length),
        batch.splice(two, batch.part(two, batch.length)),
        Trajectories.join([batch, batch]),
        batch.to("cpu"),
    )
    assert all(other.recorded is None for other in changed)
    assert Trajectories.join([batch]).recorded is not None
    assert rollout(Diffusion(gmm9(), Brownian(2.0), random_grids(4, 3)), stirred(env)).recorded is (
        None
    )


def test_trainers_record_what_the_loss_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """And train to the same weights as without; not in chunks, nor for losses without outputs."""
    seen: list[bool] = []

    def run(objective: Objective, recorded: bool = True, **config: Any) -> list[Tensor]:
        seen.clear()
        env = ENVIRONMENTS["bridge"]()
        policy = stirred(env)
        with monkeypatch.context() as patch:
            if not recorded:
                patch.setattr(DiffusionPolicy, "record", lambda *args: None)
            trainer = Trainer(
                env,
                policy,
                objective,
                TrainConfig(batch_size=6, lr=1e-2, **config),
                callbacks=[lambda _, batch, __: seen.append(batch.recorded is not None)],
            )
            trainer.train(4)
        return [p.detach().clone() for p in policy.parameters()]

    kept, asked = run(TrajectoryBalance()), list(seen)
    again = run(TrajectoryBalance(), recorded=False)
    assert asked == [True] * 4
    assert seen == [False] * 4
    for mine, theirs in zip(kept, again, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)
    run(TrajectoryBalance(), noise=0.2)
    assert seen == [True] * 4
    run(TrajectoryBalance(), chunk=8)
    assert seen == [False] * 4
    run(PathwiseDivergence())
    assert seen == [False] * 4


@pytest.mark.parametrize("name", ["bridge", "all_learned", "annealed", "uneven"])
@torch.no_grad()
def test_laws_told_their_times_are_the_same_laws(name: str) -> None:
    """All moves at once, some times of them, and one; forward and back."""
    env = ENVIRONMENTS[name]()
    policy = stirred(env)
    batch = rollout(env, policy, record=False)
    out = policy(env, batch.states)
    size, count = 5, env.horizon

    def at(first: int, times: int, stored: Any) -> Any:
        rows = torch.arange(first * size, (first + times) * size)
        if isinstance(stored, Tensor):
            return stored[rows]
        return type(stored)(stored.x[rows], stored.step[rows], stored.grid[rows])

    for first, times in ((0, count), (1, count - 2), (count - 1, 1), (0, 1)):
        here, there = at(first, times, batch.states), at(first + 1, times, batch.states)
        ahead = env.forward_law(here, at(first, times, out.forward_logits))
        learned = None if out.backward_logits is None else out.backward_logits
        entered = None if learned is None else at(first + 1, times, learned)
        back = env.backward_law(there, entered)
        for law, told, moved in (
            (ahead, ahead.timed(first, times), there),
            (back, back.timed(first + 1, times), here),
        ):
            torch.testing.assert_close(told.log_prob(moved), law.log_prob(moved))
            mine, theirs = (kind.sample(seeded(2))[0] for kind in (told, law))
            torch.testing.assert_close(mine.x, theirs.x)
            assert bool((mine.step == theirs.step).all())


def test_buffers_are_used_again_and_never_by_two() -> None:
    class Owner:
        pass

    spare, like = Spare(), torch.zeros(1)
    first, second = Owner(), Owner()
    (one,) = spare.borrow(first, like, (4, 3))
    (two,) = spare.borrow(second, like, (4, 3))
    assert one.data_ptr() != two.data_ptr()
    place = one.data_ptr()
    del first
    third, fourth = Owner(), Owner()
    assert spare.borrow(third, like, (4, 3))[0].data_ptr() == place
    assert spare.borrow(fourth, like, (4, 3))[0].data_ptr() != place
    (other,) = spare.borrow(third, like.float(), (2, 2))
    assert (other.dtype, other.shape) == (torch.float32, (2, 2))
    del second
    assert len(spare.free) == 1
    assert not copy.deepcopy(spare).free
    assert not pickle.loads(pickle.dumps(spare)).free

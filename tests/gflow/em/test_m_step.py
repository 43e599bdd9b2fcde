"""The M-step: what it ascends, with whose latents, and when."""

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, Sampler
from gflow.em import DataEncoder, Every, JointReward, MStep, Threshold
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError, NonFiniteLossError
from gflow.policies.base import Policy
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from tests.gflow.em.conftest import Tables


def batch_of(env: AnyOrder, policy: Policy, count: int = 5) -> Trajectories[Any]:
    given = env.reward.data.conditions[:count]  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    return Sampler(env).forward(policy, count, condition=given, generator=generator)


class Sums(torch.nn.Module):
    """Rows to features, by hand."""

    out_features = 1

    def forward(self, x: Tensor) -> Tensor:
        return x.double()


@pytest.fixture
def policy(env: AnyOrder, reward: JointReward) -> Policy:
    torch.manual_seed(1)
    return MLPPolicy(env, 8, condition_encoder=DataEncoder(reward.data, Sums()))


def sgd(reward: JointReward, lr: float = 0.3) -> torch.optim.Optimizer:
    return torch.optim.SGD(reward.model.parameters(), lr)


def test_a_step_goes_up_the_mean_of_log_p_and_raises_the_version(
    env: AnyOrder, reward: JointReward, model: "Tables", policy: Policy
) -> None:
    batch = batch_of(env, policy)
    rows, z = reward.data.rows(batch.condition), batch.final_states
    (gradient,) = torch.autograd.grad(model.log_prob(rows, z).mean(), [model.words])
    before, weights = model.words.detach().clone(), [p.clone() for p in policy.parameters()]
    learner = MStep(reward, sgd(reward), Every(1), latents="batch")
    assert "log_joint" not in learner.learn(env, policy, batch, torch.Generator())
    assert reward.version == 0
    numbers = learner.learn(env, policy, batch, torch.Generator())
    torch.testing.assert_close(model.words.detach(), before + 0.3 * gradient)
    assert (reward.version, float(numbers["m_steps"])) == (1, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(weights, policy.parameters(), strict=True))


def test_every_counts_steps_of_the_sampler() -> None:
    pace = Every(3, times=2)
    assert [pace.due() for _ in range(8)] == [0, 0, 0, 2, 0, 0, 2, 0]
    again = Every(3, times=2)
    again.load_state_dict(pace.state_dict())
    assert [again.due() for _ in range(3)] == [0, 2, 0]


def test_the_threshold_falls_with_each_step_and_the_average_starts_at_the_first_loss() -> None:
    pace = Threshold(4.0, 2.0, over=2, smoothing=0.5)
    assert pace.due() == 0  # nothing is known
    pace.observe(torch.tensor(7.0))
    assert pace.due() == 0  # 7: an average from zero would be 3.5 and open the way
    pace.observe(torch.tensor(0.0))
    assert (pace.due(), pace.level) == (1, 3.0)  # 3.5 < 4
    assert pace.due() == 0  # 3.5 is not below 3
    pace.observe(torch.tensor(1.5))
    assert (pace.due(), pace.level) == (1, 2.0)  # 2.5 < 3
    assert (pace.due(), pace.level) == (0, 2.0)
    pace.observe(torch.tensor(0.5))
    again = Threshold(4.0, 2.0, over=2, smoothing=0.5)
    again.load_state_dict(pace.state_dict())
    for each in (pace, again):
        assert (each.due(), each.level) == (1, 2.0)  # 1.5 < 2, and the threshold stays
        assert float(each.metrics["smoothed_loss"]) == 1.5


def test_the_average_keeps_most_of_what_it_was() -> None:
    """3/4 of the average and 1/4 of the new loss; at 1/2 the two could not be told apart."""
    pace = Threshold(4.0, 2.0, over=2, smoothing=0.75)
    for loss in (8.0, 4.0):
        pace.observe(torch.tensor(loss))
    assert float(pace.metrics["smoothed_loss"]) == 7.0


def test_gradients_that_the_optimiser_does_not_follow_are_not_clipped_with_its_own(
    env: AnyOrder, reward: JointReward, model: "Tables"
) -> None:
    """They pile up, as nobody clears them, and would shrink its own to nothing."""
    learner = MStep(reward, torch.optim.SGD([model.prior], 1.0), grad_clip=1e-3)
    given, z = reward.data.conditions[:3], torch.zeros(3, 2, dtype=torch.int64)
    moved = []
    for _ in range(3):
        before = model.prior.detach().clone()
        learner.step(z, given)
        moved.append(float((model.prior.detach() - before).norm()))
    assert moved == pytest.approx([1e-3] * 3, rel=1e-3)


def test_latents_are_the_likeliest_where_it_is_greedy(
    env: AnyOrder, reward: JointReward, policy: Policy
) -> None:
    batch = batch_of(env, policy, 3)
    learner = MStep(reward, sgd(reward), latents="greedy")
    z = learner.fill(env, policy, batch, torch.Generator().manual_seed(3)).final_states
    for row in range(3):
        state, given = env.initial(1), reward.data.conditions[row : row + 1]
        while not bool(env.is_terminal(state)):
            logits = policy.forward_logits(env, state, given)
            legal = logits.masked_fill(~env.forward_mask(state), -torch.inf)
            state = env.step(state, legal.argmax(1))
        assert torch.equal(state[0], z[row])


def test_fresh_latents_come_from_the_bare_policy_for_rows_that_are_drawn(
    env: AnyOrder, reward: JointReward, policy: Policy
) -> None:
    batch = batch_of(env, policy, 3)
    learner = MStep(reward, sgd(reward), rows=reward.data.sampler(), count=11)
    filled = learner.fill(env, policy, batch, torch.Generator().manual_seed(3))
    assert filled.condition is not None
    assert filled.condition.shape == (11, 1)
    assert len(filled.condition.unique()) > 3
    own = MStep(reward, sgd(reward)).fill(env, policy, batch, torch.Generator().manual_seed(3))
    assert own.condition is batch.condition


def test_what_makes_no_sense_is_refused(
    env: AnyOrder, reward: JointReward, model: "Tables", policy: Policy
) -> None:
    with pytest.raises(ConfigError, match="not the model's"):
        MStep(reward, torch.optim.SGD(policy.parameters(), 0.1))
    with pytest.raises(ConfigError, match="no other rows"):
        MStep(reward, sgd(reward), latents="batch", rows=reward.data.sampler())
    with pytest.raises(ConfigError, match="latents must be"):
        MStep(reward, sgd(reward), latents="best")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`end` must be at most `start`"):
        Threshold(1.0, 2.0, 5)
    batch = batch_of(env, policy)
    with torch.no_grad():
        model.prior.fill_(torch.nan)
    with pytest.raises(NonFiniteLossError, match="Lower the model's learning rate"):
        MStep(reward, sgd(reward)).step(batch.final_states, batch.condition)

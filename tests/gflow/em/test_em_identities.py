"""What holds between likelihood, bounds, sampler and model, summed over all trajectories."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from gflow.behaviours.base import Sampling
from gflow.em import (
    DataEncoder,
    Dreams,
    JointReward,
    ListedLatents,
    elbo,
    importance_log_likelihood,
)
from gflow.envs.sequences.env import AnyOrder
from gflow.evaluation.evaluate import evaluate
from gflow.objectives import MaximumLikelihood, TrajectoryBalance
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from tests.gflow.em.conftest import RowTables, Tables

Build = Callable[..., "RowTables"]
EVERY = 18  # trajectories of a row
ROWS = 7


class OneHot(torch.nn.Module):
    """Words as one of four."""

    out_features = 4

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(x[:, 0], 4).double()


def tb_of(reward: JointReward) -> TrajectoryBalance:
    torch.manual_seed(0)
    return TrajectoryBalance(condition_dim=1, condition_encoder=DataEncoder(reward.data, OneHot()))


@pytest.mark.parametrize("seed", [0, 1])
def test_log_p_is_the_bound_and_the_divergence_from_the_posterior(
    env: AnyOrder, reward: JointReward, model: "Tables", words: Tensor, tables: Build, seed: int
) -> None:
    """T4.1."""
    latents = ListedLatents(env, reward)
    log_q = latents.log_learned(tables(seed))
    place = latents.objects[:, 0] * 3 + latents.objects[:, 1]
    joint = model.table()[words[:, 0]][:, place]
    torch.testing.assert_close(latents.log_joint().detach(), joint)
    log_p = joint.logsumexp(1)
    torch.testing.assert_close(latents.log_likelihood(), log_p)
    bound = elbo(joint, log_q)
    divergence = (log_q.exp() * (log_q - (joint - log_p[:, None]))).sum(1)
    torch.testing.assert_close(bound + divergence, log_p)
    assert (bound < log_p - 0.1).all()
    torch.testing.assert_close(elbo(joint, latents.log_posterior()), log_p)
    zero = torch.full_like(joint, -torch.inf)
    zero[:, 4] = 0.0  # q may be certain
    torch.testing.assert_close(elbo(joint, zero), joint[:, 4])


def test_the_bound_of_trajectories_is_lower_by_what_their_orders_differ(
    env: AnyOrder,
    reward: JointReward,
    all_trajectories: Trajectories[Any],
    tables: Build,
) -> None:
    """T4.1, of paths: E[log weight] + KL(P_F || p P_B / p(x)) = log p(x)."""
    policy = tables(3)
    terms = evaluate(env, policy, all_trajectories)
    log_pf = terms.log_pf.sum(1).view(ROWS, EVERY)
    weight = terms.log_weight.view(ROWS, EVERY)
    bound = (log_pf.exp() * weight).sum(1)
    latents = ListedLatents(env, reward)
    assert (bound < elbo(latents.log_joint(), latents.log_learned(policy))).all()
    log_p = latents.log_likelihood()
    target = (terms.log_reward + terms.log_pb.sum(1)).view(ROWS, EVERY) - log_p[:, None]
    torch.testing.assert_close(bound + (log_pf.exp() * (log_pf - target)).sum(1), log_p)


def test_at_the_optimum_of_the_e_step_log_z_is_log_p_for_every_row(
    env: AnyOrder,
    reward: JointReward,
    all_trajectories: Trajectories[Any],
    tables: Build,
) -> None:
    """T4.3: trajectory balance, minimised over all trajectories of all rows."""
    policy, objective = tables(0, learned=False), tb_of(reward)
    parameters = [policy.ahead, *objective.parameters()]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=90, tolerance_grad=1e-13, tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = objective(objective.evaluate(env, policy, all_trajectories))
        loss.backward()
        return loss

    optimizer.step(closure)
    latents = ListedLatents(env, reward)
    terms = objective.evaluate(env, policy, all_trajectories)
    log_z = objective.log_z_estimate(terms).detach().view(ROWS, EVERY)
    torch.testing.assert_close(
        log_z, latents.log_likelihood()[:, None].expand(-1, EVERY), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        latents.log_learned(policy), latents.log_posterior(), atol=1e-4, rtol=0
    )


def test_the_sleep_loss_is_cross_entropy_and_entropy_and_divergence_of_orders(
    env: AnyOrder,
    reward: JointReward,
    all_trajectories: Trajectories[Any],
    tables: Build,
) -> None:
    """T4.6: the loss on (x, z) from the model and orders from P_B, in expectation."""
    policy, batch = tables(5), all_trajectories
    terms = MaximumLikelihood().evaluate(env, policy, batch)
    share = MaximumLikelihood().per_trajectory(terms) * len(batch)
    log_pf, log_pb = terms.log_pf.sum(1), terms.log_pb.sum(1)
    rows = batch.condition[:, 0].long()  # type: ignore[index]
    first = torch.tensor([0, 1, 2, 3])[:, None]  # rows that hold each word once
    once = (rows[:, None] == first.T).any(1)
    weight = (terms.log_reward + log_pb).exp() * once  # p(x, z) P_B(t | z), in all one
    assert float(weight.sum().detach()) == pytest.approx(1.0, abs=1e-12)
    z = batch.final_states[:, 0] * 3 + batch.final_states[:, 1]
    group = rows * 9 + z
    log_q = torch.zeros(ROWS * 9).index_add(0, group, log_pf.exp()).log()[group]
    cross = -(weight * log_q).sum()
    entropy = -(weight * log_pb).sum()
    orders = (weight * (log_pb - (log_pf - log_q))).sum()
    torch.testing.assert_close((weight * share).sum(), cross + entropy + orders)
    assert float(orders.detach()) > 0.1


def test_the_sleep_loss_is_least_at_the_posterior_with_the_orders_of_p_b(
    env: AnyOrder, all_trajectories: Trajectories[Any], tables: Build
) -> None:
    """T4.6: the gradient vanishes there, and the policy nearby is worse."""
    policy, batch = tables(0, learned=False), all_trajectories
    objective = MaximumLikelihood()
    policy.solve()

    def expected() -> Tensor:
        terms = objective.evaluate(env, policy, batch)
        weight = (terms.log_reward + terms.log_pb.sum(1)).exp()
        return (weight * objective.per_trajectory(terms)).sum() * len(batch)

    least = expected()
    (gradient,) = torch.autograd.grad(least, [policy.ahead])
    assert float(gradient.abs().max()) < 1e-12
    with torch.no_grad():
        policy.ahead.add_(0.1 * torch.randn(policy.ahead.shape, generator=torch.manual_seed(0)))
    assert float(expected().detach()) > float(least.detach()) + 1e-4


def test_dreams_are_pairs_of_the_model_with_orders_from_p_b(
    env: AnyOrder, reward: JointReward, tables: Build, model: "Tables"
) -> None:
    """T4.6: what `Dreams` draws has the law p(x, z) P_B(t | z), and its rows are read."""
    policy = tables(2, learned=False)
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(policy, Sampler(env), generator=generator)
    batch = Dreams(reward).collect(sampling, 40_000)
    x, z = reward.data.rows(batch.condition), batch.final_states
    found = torch.bincount(x[:, 0] * 9 + z[:, 0] * 3 + z[:, 1], minlength=36) / len(batch)
    wanted = model.table().exp().flatten()
    assert float((found - wanted).abs().sum()) / 2 < 0.02
    first = (batch.actions[:, 0] < 3).double().mean()  # the first place is filled first
    assert abs(float(first) - 0.5) < 0.01
    torch.testing.assert_close(batch.log_reward, model.log_prob(x, z).detach())


@pytest.mark.parametrize("offset", [0.0, -2.5])
def test_the_gradient_of_balance_on_policy_is_twice_that_of_the_divergence(
    env: AnyOrder,
    reward: JointReward,
    all_trajectories: Trajectories[Any],
    tables: Build,
    offset: float,
) -> None:
    """T4.7: for any log Z, here the network's and the same with an offset."""
    policy, objective, batch = tables(4), tb_of(reward), all_trajectories
    with torch.no_grad():
        objective.log_z.value.add_(offset)
    terms = objective.evaluate(env, policy, batch)
    log_pf, log_pb = terms.log_pf.sum(1), terms.log_pb.sum(1)
    drawn = log_pf.detach().exp()  # samples send no gradient
    loss = (drawn * objective.per_trajectory(terms)).sum() * len(batch)
    log_target = terms.log_reward + log_pb  # up to log p(x), whatever that is
    divergence = (log_pf.exp() * (log_pf - log_target)).sum()
    got = torch.autograd.grad(loss, [policy.ahead], retain_graph=True)[0]
    wanted = torch.autograd.grad(divergence, [policy.ahead])[0]
    torch.testing.assert_close(got, 2 * wanted)
    assert float(got.abs().max()) > 0.1


def test_importance_sampling_is_unbiased_and_too_low_and_exact_at_the_posterior(
    env: AnyOrder, reward: JointReward, tables: Build
) -> None:
    """T4.8."""
    generator = torch.Generator().manual_seed(0)
    policy = tables(1)
    log_p = ListedLatents(env, reward).log_likelihood()[:4]
    given = reward.data.conditions[:4].repeat(4000, 1)
    found = importance_log_likelihood(env, policy, given, 3, generator, chunk=20_000).view(-1, 4)
    mean, error = found.exp().mean(0), found.exp().std(0) / len(found) ** 0.5
    assert ((mean - log_p.exp()).abs() < 4 * error).all()
    assert (error < 0.1 * log_p.exp()).all()
    assert (found.mean(0) < log_p - 0.05).all()
    many = importance_log_likelihood(env, policy, given[:4], 3000, generator, chunk=1000)
    assert (many - log_p).abs().max() < 0.1
    exact = tables(0, learned=False)
    exact.solve()
    sure = importance_log_likelihood(env, exact, given[:4], 2, generator)
    torch.testing.assert_close(sure, log_p)

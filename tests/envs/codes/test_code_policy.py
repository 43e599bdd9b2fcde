"""The sampler of codes, its exact law, and likelihoods that are estimated with it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Sampler
from gflow.em.likelihood import importance_log_likelihood
from gflow.em.reward import JointReward
from gflow.envs.codes import model as module
from gflow.envs.codes.metrics import bound, listed_log_q, mean_reconstruction, nll, posterior_gap
from gflow.envs.codes.model import CodeModel
from gflow.envs.codes.policy import CodePolicy, picture_encoder
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import AnyOrder, Autoregressive
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.exact.graph import enumerate_states
from gflow.testing import check_env

Make = Callable[..., CodeModel]
EnvOf = Callable[[CodeModel, Tensor], Autoregressive]
Pictures = Callable[..., Tensor]


@pytest.fixture
def env(make: Make, env_of: EnvOf, every_picture: Pictures) -> Autoregressive:
    return env_of(make(), every_picture())


def reward_of(env: Autoregressive) -> JointReward:
    reward: Any = env.reward
    assert isinstance(reward, JointReward)
    return reward


def spread_policy(env: Autoregressive, **options: Any) -> CodePolicy:
    torch.manual_seed(5)
    policy = CodePolicy(env, reward_of(env).data, 8, 6, **options)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.7)
    return policy


def table(env: Autoregressive, policy: Any, row: int) -> dict[tuple[int, ...], float]:
    """log q(z | x) of every z from the graph of all states."""
    graph = enumerate_states(env)
    log_q = graph.terminal_distribution(policy, torch.tensor([[float(row)]]))
    objects = graph.states[graph.objects].tolist()
    return {tuple(z): float(v) for z, v in zip(objects, log_q, strict=True)}


def test_codes_are_a_sound_environment(env: Autoregressive) -> None:
    check_env(env, condition=torch.tensor([[5.0]]))
    assert env.condition_dim == 1
    assert env.length == 4


def test_the_listed_law_is_that_of_the_graph(env: Autoregressive) -> None:
    policy = spread_policy(env)
    rows = torch.tensor([[2.0], [7.0]])
    listed = listed_log_q(env, policy, rows)
    every: Any = reward_of(env).model
    for place, row in enumerate((2, 7)):
        known = table(env, policy, row)
        wanted = [known[tuple(z)] for z in every.every_code().tolist()]
        assert torch.allclose(listed[place], torch.tensor(wanted), atol=1e-10)
    assert not torch.allclose(listed[0], listed[1], atol=0.1)


def test_a_rollout_that_remembers_pictures_says_the_same(env: Autoregressive) -> None:
    policy = spread_policy(env, log_flow=True)
    rows = torch.tensor([[1.0], [4.0], [4.0], [6.0]])
    states = torch.tensor([[2, 2, 2, 2], [1, 2, 2, 2], [0, 1, 1, 2], [1, 1, 0, 1]])
    session = policy.begin(env, 4, rows)
    whole = policy(env, states, rows)
    assert torch.equal(policy.forward_logits(env, states, rows), whole.forward_logits)
    assert torch.allclose(session(states, torch.arange(4)), whole.forward_logits)
    some = torch.tensor([1, 3])
    assert torch.allclose(session(states[some], some), whole.forward_logits[some])
    assert whole.log_flow is not None
    assert whole.log_flow.shape == (4,)


def test_factors_do_not_read_other_codes(env: Autoregressive) -> None:
    rows = torch.tensor([[3.0]])
    states = [torch.tensor([z]) for z in ([0, 1, 2, 2], [1, 1, 2, 2])]
    mean_field = spread_policy(env, autoregressive=False)
    one, other = (mean_field.forward_logits(env, s, rows) for s in states)
    assert torch.equal(one, other)
    third = mean_field.forward_logits(env, torch.tensor([[0, 2, 2, 2]]), rows)
    assert not torch.allclose(one, third)  # another cell, another factor
    reads = spread_policy(env)
    one, other = (reads.forward_logits(env, s, rows) for s in states)
    assert not torch.allclose(one, other, atol=1e-3)


def test_policies_refuse_what_they_cannot_read(env: Autoregressive) -> None:
    data = reward_of(env).data
    with pytest.raises(IncompatibleError, match="raster order"):
        CodePolicy(HyperGrid(2, 3), data)  # type: ignore[arg-type]
    with pytest.raises(IncompatibleError, match="raster order"):
        CodePolicy(AnyOrder("01", 4, env.reward), data)
    with pytest.raises(IncompatibleError, match="raster order"):
        CodePolicy(Autoregressive("01", 4, env.reward), data)
    with pytest.raises(ConfigError, match="got no condition"):
        spread_policy(env).forward_logits(env, env.initial(1))


def test_encoders_can_be_shared(env: Autoregressive) -> None:
    encoder = picture_encoder(reward_of(env).data, 8, 5)
    policy = CodePolicy(env, encoder, 8, 5)
    assert policy.picture is encoder
    assert policy.forward_logits(env, env.initial(1), torch.zeros(1, 1)).shape == (1, 2)


# ---------------------------------------------------------------------- against the posterior


def test_evidence_is_bound_plus_gap(env: Autoregressive) -> None:
    """T4.1: log p = ELBO + KL, ELBO <= log p, and both agree at the exact posterior."""
    model: Any = reward_of(env).model
    rows = torch.arange(8.0)[:, None]
    x = reward_of(env).data.rows(rows)
    policy = spread_policy(env)
    with torch.no_grad():
        log_q, joint = listed_log_q(env, policy, rows), model.log_joint(x)
        elbo = (log_q.exp() * (joint - log_q)).sum(1)
        kl, tv = posterior_gap(env, policy, rows)
        assert torch.allclose(elbo + kl, model.log_marginal(x), atol=1e-10)
    assert bool((kl > 0.05).all())
    assert torch.allclose(tv, (log_q.exp() - joint.softmax(1)).abs().sum(1) / 2)


def test_the_exact_posterior_has_no_gap(env: Autoregressive, exact_posterior: Any) -> None:
    rows = torch.arange(8.0)[:, None]
    kl, tv = posterior_gap(env, exact_posterior(reward_of(env)), rows)
    assert torch.allclose(kl, torch.zeros(8), atol=1e-10)
    assert torch.allclose(tv, torch.zeros(8), atol=1e-10)


def test_one_sample_of_the_posterior_tells_the_likelihood(
    env: Autoregressive, exact_posterior: Any
) -> None:
    """T4.8: exact when q is the posterior."""
    rows = torch.arange(8.0)[:, None]
    policy = exact_posterior(reward_of(env))
    generator = torch.Generator().manual_seed(0)
    found = importance_log_likelihood(env, policy, rows, 1, generator)
    assert torch.allclose(found, -nll(env, policy, rows, 1), atol=1e-10)


def test_estimates_of_the_likelihood_are_unbiased_and_their_logarithms_low(
    env: Autoregressive,
) -> None:
    """T4.8: the mean of p is p(x); that of log p lies below, by less the more samples there are."""
    rows, policy = torch.tensor([[5.0]]), spread_policy(env)
    exact = float(-nll(env, policy, rows, 1))
    generator = torch.Generator().manual_seed(1)
    told = rows.expand(4000, 1)
    few = importance_log_likelihood(env, policy, told, 2, generator)
    error = few.exp().std() / math.sqrt(len(few))
    assert float(few.exp().mean()) == pytest.approx(math.exp(exact), abs=4 * float(error))
    many = importance_log_likelihood(env, policy, told[:400], 200, generator)
    assert float(few.mean()) < float(many.mean()) - 0.02 < exact
    assert float(many.mean()) == pytest.approx(exact, abs=0.05)


def test_negative_log_likelihoods_are_exact_or_estimated(
    env: Autoregressive, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, rows = spread_policy(env), torch.tensor([[0.0], [3.0]])
    model: Any = reward_of(env).model
    exact = nll(env, policy, rows, 1)
    with torch.no_grad():
        assert torch.allclose(exact, -model.log_marginal(reward_of(env).data.rows(rows)))
    monkeypatch.setattr(module, "LISTED", 1)
    estimated = nll(env, policy, rows, 4000, torch.Generator().manual_seed(0))
    assert not torch.equal(estimated, exact)
    assert torch.allclose(estimated, exact, atol=0.05)


def test_one_code_for_each_picture_gives_a_bound(env: Autoregressive) -> None:
    rows = torch.arange(8.0)[:, None]
    z = torch.tensor([[0, 1, 1, 0]]).expand(8, -1)
    model: Any = reward_of(env).model
    with torch.no_grad():
        prior = model.prior.log_prob(z)
    upper, misfit = bound(env, rows, z), mean_reconstruction(env, rows, z)
    assert torch.allclose(upper, misfit - prior)
    assert bool((upper > nll(env, spread_policy(env), rows, 1)).all())


def test_log_weights_average_to_the_likelihood(env: Autoregressive) -> None:
    """The reward that trajectories carry is log p(x, z), and P_B is 1."""
    policy, row = spread_policy(env), torch.tensor([[6.0]])
    batch = Sampler(env).forward(
        policy, 5000, condition=row.expand(5000, 1), generator=torch.Generator().manual_seed(2)
    )
    with torch.no_grad():
        weight = evaluate(env, policy, batch).log_weight
    found = float(weight.logsumexp(0)) - math.log(5000)
    assert found == pytest.approx(float(-nll(env, policy, row, 1)), abs=0.03)

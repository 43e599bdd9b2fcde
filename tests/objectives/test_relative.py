"""Relative trajectory balance: the posterior of a sampler under a reward, and nothing else."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import Sampler, TabularPolicy, TrainConfig, Trainer, enumerate_states, evaluate
from gflow.cli.main import main
from gflow.environment.base import Environment
from gflow.environment.rewarded import with_reward
from gflow.envs import HyperGrid
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets.mixture import GaussianMixture
from gflow.errors import IncompatibleError
from gflow.exact import posterior_flows
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import RelativeTrajectoryBalance
from gflow.policies import EvenPolicy, Policy
from gflow.rewards.wrappers import TemperatureConditional
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.samples import sample_chances
from gflow.testing.strategies import random_dags
from gflow.training.json_lines import read_jsonl


def random_policy(graph: StateGraph[Any], seed: int) -> TabularPolicy:
    generator = torch.Generator().manual_seed(seed)
    policy = TabularPolicy(graph, "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=generator)
    return policy


def posterior(graph: StateGraph[Any], prior: Policy) -> torch.Tensor:
    """(X,) log-probabilities of objects by the definition: p_prior(x) R(x), normalised."""
    return (graph.terminal_distribution(prior) + graph.log_target()).log_softmax(0)


@settings(max_examples=30, deadline=None)
@given(env=random_dags(max_states=9), seed=st.integers(0, 99))
def test_it_vanishes_at_the_posterior_and_there_alone(env: TableEnvironment, seed: int) -> None:
    graph = enumerate_states(env)
    prior = random_policy(graph, seed)
    flows = posterior_flows(graph, *graph.log_pf(prior))
    built = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(built, posterior(graph, prior))
    reward = (graph.terminal_distribution(prior) + graph.log_reward()[graph.objects]).logsumexp(0)
    assert flows.log_z == pytest.approx(float(reward), abs=1e-9)
    objective = RelativeTrajectoryBalance(prior, log_z=flows.log_z)
    batch = all_trajectories(env)
    solved = TabularPolicy.solved(graph, flows)
    terms = objective.evaluate(env, solved, batch)
    assert float(objective.residual(terms).detach().abs().max()) < 1e-9
    terms = objective.evaluate(env, prior, batch)  # the prior itself: what is left is the reward
    torch.testing.assert_close(objective.residual(terms), flows.log_z - batch.log_reward)


def test_it_is_trajectory_balance_back_along_the_prior() -> None:
    """With the reward p_prior(x) R(x), and for P_B the prior's own way to x."""
    env = HyperGrid(2, 4)
    graph = enumerate_states(env)
    prior, policy = random_policy(graph, 1), random_policy(graph, 2)
    flows = posterior_flows(graph, *graph.log_pf(prior))
    back = TabularPolicy.solved(graph, graph.exact_flows(flows.log_pb))
    sampler = Sampler(env)
    batch = sampler.forward(policy, 64, generator=torch.Generator().manual_seed(0))
    log_pb = evaluate(env, back, batch).log_pb.sum(1)
    rows = torch.searchsorted(graph.objects, graph.rows(batch.final_states))
    reached = graph.terminal_distribution(prior)[rows]
    wanted = 0.3 + evaluate(env, policy, batch).log_pf.sum(1) - batch.log_reward - reached - log_pb
    objective = RelativeTrajectoryBalance(prior, log_z=0.3)
    torch.testing.assert_close(objective.residual(objective.evaluate(env, policy, batch)), wanted)


class Labelled(HyperGrid):
    """Counts every object as often as its first coordinate plus one says."""

    def log_symmetry(self, states: torch.Tensor) -> torch.Tensor:
        return (states[:, 0] + 1).double().log()


def test_symmetric_objects_count_as_often_as_the_prior_builds_them() -> None:
    env = Labelled(2, 3)
    graph = enumerate_states(env)
    prior = random_policy(graph, 3)
    flows = posterior_flows(graph, *graph.log_pf(prior))
    built = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(built, posterior(graph, prior))
    objective = RelativeTrajectoryBalance(prior, log_z=flows.log_z)
    batch = all_trajectories(env)
    solved = TabularPolicy.solved(graph, flows)
    terms = objective.evaluate(env, solved, batch)
    assert float(objective.residual(terms).detach().abs().max()) < 1e-9


@pytest.mark.parametrize("partition", ["learned", "mean"])
def test_training_finds_the_posterior(partition: Any) -> None:
    env = HyperGrid(2, 4)
    graph = enumerate_states(env)
    prior, policy = random_policy(graph, 4), TabularPolicy(graph, "uniform")
    objective = RelativeTrajectoryBalance(prior, partition)
    config = TrainConfig(batch_size=32, lr=0.05, log_z_lr=0.05, epsilon=0.1)
    trainer = Trainer(env, policy, objective, config)
    wanted, before = posterior(graph, prior), prior.forward_table.clone()
    assert float(total_variation(wanted, graph.log_target())) > 0.3
    assert float(total_variation(graph.terminal_distribution(policy), wanted)) > 0.3
    trainer.train(400)
    assert float(total_variation(graph.terminal_distribution(policy), wanted)) < 0.05
    assert torch.equal(prior.forward_table, before)
    assert set(objective.state_dict()) <= {"base.log_z.value"}


def test_of_a_diffusion_it_knows_the_evidence() -> None:
    """The mean reward under the reference process, which for Gaussians is a closed form."""
    target = GaussianMixture(torch.tensor([[0.5]]), 0.7**2)
    env = Diffusion(target, Brownian(1.0), 8)
    objective: Any = RelativeTrajectoryBalance.build(env)
    assert isinstance(objective.prior, EvenPolicy)
    generator = torch.Generator().manual_seed(0)
    batch = Sampler(env).forward(objective.prior, 4000, generator=generator)
    terms = objective.evaluate(env, objective.prior, batch)
    variance = 1.0 + 0.7**2
    log_z = -0.5 * math.log(2 * math.pi * variance) - 0.5**2 / (2 * variance)
    assert float(terms.log_weight.logsumexp(0)) - math.log(4000) == pytest.approx(log_z, abs=0.05)
    torch.testing.assert_close(terms.log_weight, batch.log_reward)


def test_what_it_refuses() -> None:
    chance: Environment[Any] = sample_chances()[0]
    with pytest.raises(IncompatibleError, match=r"some here are chance's. Use edb"):
        RelativeTrajectoryBalance.build(chance)
    env = HyperGrid(2, 4)
    objective = RelativeTrajectoryBalance.build(env)
    with pytest.raises(IncompatibleError, match="one log Z for all conditions"):
        objective.check(env, conditional=True)
    RelativeTrajectoryBalance.build(env, partition="mean").check(env, conditional=True)


@pytest.mark.slow
def test_a_prior_that_is_told_nothing_has_a_posterior_for_each_condition(tmp_path: Path) -> None:
    small = ["hypergrid", "--side=4", "--width=16", "--quiet=True", "--eval-samples=50"]
    prior = tmp_path / "prior"
    assert main(["train", *small, "--steps=20", f"--out={prior}"]) == 0
    env = with_reward(HyperGrid(2, 4), TemperatureConditional(HyperGrid(2, 4).reward), 1)
    objective: Any = RelativeTrajectoryBalance.build(env, prior=str(prior), condition_dim=1)
    graph = enumerate_states(env, condition=torch.tensor([[1.0]]))
    at = [graph.told(torch.tensor([[beta]])) for beta in (0.5, 2.0)]
    plain = enumerate_states(HyperGrid(2, 4)).terminal_distribution(objective.prior)
    for one in at:
        flows = objective.exact_flows(one)
        wanted = (plain + one.log_target()).log_softmax(0)
        built = one.terminal_log_prob(flows.log_pf, flows.log_stop)
        torch.testing.assert_close(built, wanted)
    heard: list[Any] = []
    objective.prior.policy.register_forward_pre_hook(lambda module, given: heard.append(given[2:]))
    batch = Sampler(env).forward(EvenPolicy.of(env), 8, condition=torch.rand(8, 1))
    objective.log_prior(env, batch)
    assert heard
    assert all(not given or given == (None,) for given in heard)


@pytest.mark.slow
def test_a_run_is_the_prior_of_another(tmp_path: Path, capsys: Any) -> None:
    small = ["--side=4", "--width=16", "--quiet=True", "--eval-samples=50"]
    prior, post = tmp_path / "prior", tmp_path / "post"
    assert main(["train", "hypergrid", *small, "--steps=20", f"--out={prior}"]) == 0
    flags = ["--objective=rtb", f"--prior={prior}", "--lr=0.01", "--reward=cosine"]
    line = ["train", "hypergrid", *small, *flags, "--steps=150", f"--out={post}"]
    assert main(line) == 0
    rows = read_jsonl(post / "metrics.jsonl")
    assert rows[-1]["tv"] < 0.5 * rows[0]["tv"]
    assert rows[-1]["log_z_error"] < rows[0]["log_z_error"]
    capsys.readouterr()
    wrong = ["train", "hypergrid", "--side=5", "--objective=rtb", f"--prior={prior}"]
    assert main([*wrong, f"--out={tmp_path / 'no'}"]) == 2
    assert "has other states or moves than those of pre-training" in capsys.readouterr().err

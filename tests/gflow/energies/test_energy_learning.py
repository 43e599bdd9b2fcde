"""EB-GFN: the energy step, samplers of either order (EB-1, EB-5), and both together (EB-4)."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler, TrainConfig, Trainer, enumerate_states
from gflow.behaviours.base import Sampling
from gflow.behaviours.data import BackwardReplay
from gflow.energies import (
    ConditionalSites,
    ContrastiveStep,
    EnergyNetwork,
    EnergyReward,
    IsingEnergy,
    PerceptronEnergy,
    RandomOrderPolicy,
)
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import lattice_edges
from gflow.errors import ConfigError, IncompatibleError, NonFiniteLossError
from gflow.metrics import total_variation
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.policies.base import Policy


def every(sites: int) -> Tensor:
    return 1 + torch.tensor(list(itertools.product((0, 1), repeat=sites)))


def model(network: EnergyNetwork) -> EnergyModel:
    return EnergyModel(EnergyReward(network), network.sites, network.values)


def sampler_of(order: str, env: EnergyModel, width: int = 32) -> Policy:
    torch.manual_seed(0)
    if order == "learned":
        return MLPPolicy(env, width, 2, "learned")
    return RandomOrderPolicy(env, ConditionalSites(env.sites, env.values, width, 2))


def learner(
    network: EnergyNetwork, data: Tensor, rate: float = 0.1, reward: Any = None, **settings: Any
) -> ContrastiveStep:
    optimizer = torch.optim.SGD(network.parameters(), rate)
    reward = EnergyReward(network) if reward is None else reward
    return ContrastiveStep(reward, optimizer, data, **settings)


# ---------------------------------------------------------------------- the sampler


@pytest.mark.slow
@pytest.mark.parametrize("order", ["learned", "random"])
def test_either_order_learns_a_frozen_energy(order: str) -> None:
    """EB-1: a total variation below 0.01 by trajectory balance, on D = 4."""
    torch.manual_seed(1)
    network = PerceptronEnergy(4, 2, 8, 2)
    with torch.no_grad():
        network.layers[-1].weight.normal_().mul_(4)  # type: ignore[operator]
    env = model(network)
    graph, policy = enumerate_states(env), sampler_of(order, env)
    target = graph.log_target()
    before = float(total_variation(graph.terminal_distribution(policy), target))
    config = TrainConfig(steps=500, batch_size=64, lr=1e-2, lr_half_life=100, epsilon=0.1)
    Trainer(env, policy, TrajectoryBalance(3.0), config).train()
    after = float(total_variation(graph.terminal_distribution(policy), target))
    assert before > 0.15
    assert after < 0.01


def test_balance_of_a_random_order_is_the_error_of_an_autoregressive_model() -> None:
    """EB-5: log D! cancels."""
    energy = torch.randn(32, generator=torch.Generator().manual_seed(3))
    place = 2 ** torch.arange(5)
    env = EnergyModel(
        FunctionReward(lambda states: energy[((states - 1).clamp(min=0) * place).sum(1)]), 5, 2
    )
    policy, objective = sampler_of("random", env), TrajectoryBalance(1.7)
    batch = Sampler(env).forward(policy, 40, generator=torch.Generator().manual_seed(0))
    terms = objective.evaluate(env, policy, batch)
    assert isinstance(policy, RandomOrderPolicy)
    symbols = policy.sites.read(batch.final_states)
    said = policy.along(symbols, batch.actions // 2)
    wanted = 1.7 + said - batch.log_reward
    found = objective.residual(terms).view(-1)
    torch.testing.assert_close(found, wanted)
    assert float(found.detach().std()) > 0.1


def test_a_random_order_has_no_marginals() -> None:
    env = model(IsingEnergy(3))
    policy = sampler_of("random", env)
    with pytest.raises(IncompatibleError, match="log_flow|log-flow|flow"):
        Trainer(env, policy, DetailedBalance())
    assert isinstance(policy, RandomOrderPolicy)
    with pytest.raises(IncompatibleError, match="conditionals and no marginals"):
        policy.marginal(env.initial(1))


# ---------------------------------------------------------------------- the energy


def test_a_step_makes_data_likelier_and_negatives_less() -> None:
    """Of an Ising energy it is the difference of correlations, twice, as an edge is met twice."""
    network = IsingEnergy(3, sparsity=0.02)
    with torch.no_grad():
        network.weight[0, 1] = 0.4
    generator = torch.Generator().manual_seed(0)
    data, negatives = (torch.randint(1, 3, (20, 3), generator=generator) for _ in range(2))
    before = network.couplings.detach().clone()
    step = learner(network, data, 0.1)
    gap = step.step(data, negatives)

    def correlation(states: Tensor) -> Tensor:
        s = 2.0 * states - 3
        return s.T @ s / len(s)

    change = 2 * (correlation(data) - correlation(negatives)) - 2 * 0.02 * before.sign()
    wanted = (before + 0.1 * change).triu(1)
    torch.testing.assert_close(network.couplings.detach().triu(1), wanted)
    said = (before * (correlation(data) - correlation(negatives))).sum()
    torch.testing.assert_close(gap, said)


def test_penalties_are_of_slopes_at_data_and_of_sizes() -> None:
    """The gradient of s J s by spins is 2 J s; energies of data and negatives are squared."""
    data = torch.tensor([[1, 2, 2], [2, 2, 2]])
    negatives = torch.tensor([[1, 1, 2]])
    spins, others = 2.0 * data - 3, 2.0 * negatives - 3
    start = torch.tensor([[0, 0.3, -0.2], [0, 0, 0.1], [0, 0, 0]])

    def moved(**settings: float) -> Tensor:
        network = IsingEnergy(3)
        with torch.no_grad():
            network.weight.copy_(start)
        learner(network, data, 1.0, **settings).step(data, negatives)
        return network.weight.detach() - start

    w = start.clone().requires_grad_()
    couplings = w.triu(1) + w.triu(1).T
    slope = (2 * spins @ couplings).square().sum(1).mean()
    size = ((spins @ couplings * spins).sum(1).square().mean()) + (
        (others @ couplings * others).sum(1).square().mean()
    )
    plain = moved()
    for name, cost in (("gradient_penalty", slope), ("l2", size)):
        (wanted,) = torch.autograd.grad(0.3 * cost, w, retain_graph=True)
        torch.testing.assert_close(moved(**{name: 0.3}) - plain, -wanted)


def test_the_step_vanishes_on_data_of_the_model() -> None:
    """Negatives of exact chains are distributed as the data are, whatever the policy."""
    torch.manual_seed(2)
    network = IsingEnergy(3)
    with torch.no_grad():
        network.weight.normal_().mul_(0.4)
    env, objects = model(network), every(3)
    law = env.log_reward(objects).softmax(0)
    generator = torch.Generator().manual_seed(1)
    data = objects[torch.multinomial(law, 40_000, True, generator=generator)]
    policy = sampler_of("learned", env)
    for accept in ("metropolis", "barker", "none"):
        step = learner(network, data, accept=accept, warmup=0, most=2)
        found, numbers = step.negatives(env, policy, data, generator)
        share = torch.bincount(((found - 1) * torch.tensor([4, 2, 1])).sum(1), minlength=8)
        distance = float((share / len(data) - law).abs().sum()) / 2
        if accept == "none":  # what the untrained sampler gives
            assert distance > 0.1
            assert not numbers
        else:
            assert distance < 0.015
            assert float(numbers["energy_moves"]) == 2
            assert float((found != data).any(1).double().mean()) > 0.2


def test_moves_rise_evenly_to_all_sites() -> None:
    step = learner(IsingEnergy(8), every(8), warmup=40)
    seen = []
    for step.steps in (0, 4, 5, 19, 38, 39, 400):
        seen.append(step.moves(8))
    assert seen == [1, 1, 1, 4, 7, 8, 8]
    assert learner(IsingEnergy(8), every(8), warmup=0).moves(8) == 8
    assert learner(IsingEnergy(8), every(8), warmup=0, most=3).moves(8) == 3


def test_the_learning_rate_halves() -> None:
    network, data = IsingEnergy(2), torch.tensor([[2, 2]])
    step = learner(network, data, 0.1, half_life=2)
    gains = []
    for _ in range(5):
        before = float(network.weight.detach()[0, 1])
        step.step(data, torch.tensor([[1, 2]]))
        gains.append(float(network.weight.detach()[0, 1]) - before)
    assert gains[0] == pytest.approx(0.1 * 2 * 2)
    assert gains[2] / gains[0] == pytest.approx(0.5)
    assert gains[4] / gains[0] == pytest.approx(0.25)


@pytest.mark.parametrize("start", ["data", "chains"])
def test_chains_go_on_or_begin_anew(start: Any) -> None:
    network = IsingEnergy(5)
    env, data = model(network), torch.ones(4, 5, dtype=torch.int64)
    policy = sampler_of("learned", env, 8)
    generator = torch.Generator().manual_seed(0)
    settings = {"warmup": 0, "most": 1, "count": 200, "start": start}
    step = learner(network, data, 1e-9, env.reward, **settings)
    batch = Sampler(env).forward(policy, 2, generator=generator)
    for _ in range(6):
        step.learn(env, policy, batch, generator)
    last, _ = step.negatives(env, policy, data.expand(4, 5)[:1].expand(200, 5), generator)
    away = (last != 1).sum(1).max()
    assert int(away) == 1 if start == "data" else int(away) > 2
    assert step.reward.version == 6
    assert (step.chains is None) == (start == "data")


@pytest.mark.parametrize("start", ["data", "chains"])
def test_training_goes_on_as_if_it_had_not_stopped(start: Any) -> None:
    def trainer() -> Trainer:
        torch.manual_seed(5)
        network = IsingEnergy(4)
        env, data = model(network), every(4)[3:12]
        step = ContrastiveStep(
            env.reward,  # type: ignore[arg-type]
            torch.optim.Adam(network.parameters(), 0.02),
            data,
            warmup=6,
            start=start,
            count=8,
            half_life=3,
        )
        behaviour = BackwardReplay(env, data, 0.5)
        return Trainer(
            env,
            sampler_of("learned", env, 8),
            TrajectoryBalance(),
            TrainConfig(batch_size=8),
            behaviour=behaviour,
            learners=[step],
        )

    whole, part, rest = trainer(), trainer(), trainer()
    whole.train(6)
    part.train(3)
    rest.load_state_dict(part.state_dict())
    record = rest.train(3)
    assert rest.env.reward.version == whole.env.reward.version == 6
    for a, b in zip(rest.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    (mine,), (theirs,) = rest.learners, whole.learners
    assert torch.equal(mine.module.couplings, theirs.module.couplings)  # type: ignore[arg-type]
    assert record["energy_moves"] == 4
    assert "energy_gap" in record


def test_batches_are_scored_by_the_energy_as_it_is() -> None:
    """Data by P_B and fresh objects alike; and losses send no gradient into the energy."""
    torch.manual_seed(0)
    network = IsingEnergy(4)
    env, data = model(network), every(4)[:4]
    behaviour, policy = BackwardReplay(env, data, 0.5), sampler_of("learned", env, 8)
    step = learner(network, data, 0.5, env.reward, warmup=0)
    seen: list[Any] = []
    trainer = Trainer(
        env,
        policy,
        TrajectoryBalance(),
        TrainConfig(batch_size=8),
        behaviour=behaviour,
        learners=[step],
        callbacks=[lambda trainer, batch, record: seen.append(batch)],
    )
    for _ in range(3):
        trainer.train_step()
        before = network.couplings.detach().clone()
        scored = env.log_reward(seen[-1].final_states)
        torch.testing.assert_close(seen[-1].log_reward, scored)
        assert torch.equal(network.couplings, before)
    assert len({tuple(x) for x in seen[-1].final_states[-4:].tolist()} - {
        tuple(x) for x in data.tolist()
    }) == 0  # fmt: skip
    assert float(scored.abs().max()) > 0.1
    fresh = behaviour.collect(Sampling(policy, Sampler(env), generator=trainer.generator), 8)
    torch.testing.assert_close(fresh.log_reward, env.log_reward(fresh.final_states))


@pytest.mark.slow
@pytest.mark.parametrize(("order", "accept"), [("learned", "metropolis"), ("random", "barker")])
def test_couplings_of_a_lattice_are_recovered(order: str, accept: Any) -> None:
    """EB-4: the signs of all edges of a 3 x 3 torus, and no edge where there is none."""
    generator = torch.Generator().manual_seed(4)
    edges = lattice_edges(3, 3)
    truth = torch.zeros(9, 9)
    sign = torch.randint(2, (len(edges),), generator=generator) * 2.0 - 1
    truth[edges[:, 0], edges[:, 1]] = 0.25 * sign
    objects = every(9)
    spins = 2.0 * objects - 3
    law = 2 * ((spins @ truth) * spins).sum(1)
    data = objects[torch.multinomial(law.softmax(0), 2000, True, generator=generator)]
    network = IsingEnergy(9)
    env = model(network)
    step = ContrastiveStep(
        env.reward,  # type: ignore[arg-type]
        torch.optim.Adam(network.parameters(), 0.02),
        data,
        accept=accept,
        warmup=60,
        most=5,
        count=128,
        half_life=45,
    )
    config = TrainConfig(steps=180, batch_size=16, lr=3e-3)
    Trainer(
        env,
        sampler_of(order, env),
        TrajectoryBalance(9 * 0.693),
        config,
        behaviour=BackwardReplay(env, data, 0.5),
        learners=[step],
    ).train()
    found = network.couplings.detach()
    on = found[edges[:, 0], edges[:, 1]]
    assert torch.equal(on.sign(), sign)
    pairs = torch.ones(9, 9).triu(1).bool() & (truth == 0)
    assert float(on.abs().min()) > float(found[pairs].abs().max())
    torch.testing.assert_close(on, 0.25 * sign, atol=0.1, rtol=0)


def test_bad_settings_are_refused() -> None:
    network, data = IsingEnergy(3), every(3)
    with pytest.raises(ConfigError, match="parameters that are not the energy's"):
        ContrastiveStep(
            EnergyReward(network), torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), 0.1), data
        )
    with pytest.raises(ConfigError, match="there are no data"):
        learner(network, data[:0])
    with pytest.raises(ConfigError, match="no chains that could go on"):
        learner(network, data, accept="none", start="chains")
    env = model(IsingEnergy(3))
    batch = Sampler(env).forward(sampler_of("learned", env, 8), 2)
    with pytest.raises(ConfigError, match="another reward is trained"):
        learner(network, data).learn(env, sampler_of("learned", env, 8), batch, torch.Generator())
    with torch.no_grad():
        network.weight[0, 1] = torch.inf
    with pytest.raises(NonFiniteLossError, match="after 0 steps"):
        learner(network, data).step(data[:2], data[2:])

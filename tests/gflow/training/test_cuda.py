"""The same numbers on a GPU: everything here runs where there is one, and on the CPU plans too."""

from typing import Any

import pytest
import torch

from gflow import (
    DiscreteEnvironment,
    MLPPolicy,
    Sampler,
    TabularPolicy,
    enumerate_states,
    evaluate,
)
from gflow.behaviours.base import Incomplete
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.env import Dags
from gflow.envs.dags.scores import BGe
from gflow.envs.graphs.independent_set import IndependentSet, MaxCut
from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.pairs.composition import Product
from gflow.envs.phylogeny.alignments import Alignment
from gflow.envs.phylogeny.env import Parsimony, Phylogeny
from gflow.envs.sequences.bits import NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.env import AnyOrder, PrependAppend, VariableLength
from gflow.envs.sequences.rewards import MotifReward
from gflow.envs.sets.bags import Bags, Substructures
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES, OFF_POLICY, TrajectoryBalance
from gflow.state import to_device
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig, Trainer

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ENERGIES = torch.randn(6, generator=torch.Generator().manual_seed(0)).double()
HOUSE = GraphBatch.from_edges([6], [[(0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (3, 4), (4, 5)]])
MOTIF = MotifReward("ABC", ["AB", "CC"], beta=1.0, floor=0.1)


def dags() -> Dags:
    source = torch.Generator().manual_seed(0)
    return Dags(3, BGe(erdos_renyi_network(3, 3.0, generator=source).sample(20, source)))


ENVIRONMENTS: dict[str, DiscreteEnvironment[Any]] = {
    "grid": HyperGrid(2, 4, Corners(4, 0.05)),
    "forced grid": HyperGrid(2, 4, Corners(4, 0.05), ending="forced"),
    "sets": FixedSizeSets(6, 3, AdditiveEnergy(ENERGIES)),
    "bags": Bags(3, 5, Substructures(3, 5, 3, 0.3, base=1.0)),
    "ising": EnergyModel(IsingReward(2, 2, 0.3, 0.2)),
    "strings": VariableLength("ABC", 3, MOTIF),
    "two ends": PrependAppend("ABC", 4, MOTIF),
    "any order": AnyOrder("ABC", 3, MOTIF),
    "bits": bit_sequences(NearModes(plant_modes(8, count=4), word=2, beta=1.0, form="distance")),
    "trees": Phylogeny(Parsimony(Alignment.simulate(4, 12, 0.3), 12, 2)),
    "dags": dags(),
    "independent sets": IndependentSet(HOUSE),
    "cuts": MaxCut(HOUSE),
    "product": Product(HyperGrid(1, 3), FixedSizeSets(6, 2, AdditiveEnergy(ENERGIES))),
}


def randomised(env: DiscreteEnvironment[Any]) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_trajectories_sampled_there_have_the_terms_they_have_here(name: str, device: str) -> None:
    """States, actions, rewards, energies and log-probabilities, forward and backward."""
    env = ENVIRONMENTS[name]
    policy = MLPPolicy(env, 16, 1, log_flow=True, generator=torch.Generator().manual_seed(0))
    policy.to(device)
    needs = Needs(log_flow=True, energy=env.has_partial)
    generator = torch.Generator(device).manual_seed(0)
    sampler = Sampler(env, "static")
    forward = sampler.forward(policy, 32, generator=generator, device=device)
    backward = sampler.backward(policy, forward.final_states, generator=generator)
    assert forward.length.device.type == device
    there = [evaluate(env, policy, batch, needs) for batch in (forward, backward)]
    policy.to("cpu")
    for batch, terms in zip((forward, backward), there, strict=True):
        moved = batch.to("cpu")
        again = Sampler(env).along(moved.actions, moved.length)
        torch.testing.assert_close(again.log_reward, moved.log_reward)
        here = evaluate(env, policy, again, needs)
        for field in ("log_pf", "log_pb", "log_flow", "energy"):
            wanted, got = getattr(here, field), getattr(terms, field)
            if wanted is not None:
                found = got.cpu()[:, : wanted.shape[1]]
                torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_distribution_of_the_static_plan_is_the_exact_one(name: str, device: str) -> None:
    """Chi-square against the exact law of a random policy."""
    env = ENVIRONMENTS[name]
    policy = randomised(env)
    graph = policy.graph
    law = graph.terminal_distribution(policy).exp()
    fast = MirrorOnDevice(policy, device)
    generator = torch.Generator(device).manual_seed(1)
    count = 20_000
    batch = Sampler(env, "static").forward(fast, count, generator=generator, device=device)
    rows = graph.rows(to_device(batch.final_states, "cpu"))
    place = torch.full((len(graph),), -1)
    place[graph.objects] = torch.arange(len(law))
    seen = torch.bincount(place[rows], minlength=len(law)).double()
    often = law * count >= 5
    expected = torch.cat([law[often], (1 - law[often].sum()).clamp(min=1e-300)[None]]) * count
    found = torch.cat([seen[often], (count - seen[often].sum())[None]])
    kept = expected >= 1
    statistic = float(((found - expected)[kept].square() / expected[kept]).sum())
    freedom = int(kept.sum()) - 1
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5 + 10


class MirrorOnDevice(MLPPolicy):
    """The forward logits of a table, looked up by key wherever the states are."""

    def __init__(self, table: TabularPolicy, device: str) -> None:
        torch.nn.Module.__init__(self)
        keys, order = table.graph.keys
        self.keys, self.logits = keys.to(device), table.forward_table.detach()[order].to(device)

    @property
    def shares_work(self) -> bool:
        return False

    def forward_logits(self, env: Any, states: Any, condition: Any = None) -> torch.Tensor:
        return self.logits[torch.searchsorted(self.keys, env.key(states))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(OFF_POLICY))
def test_every_objective_trains_there(name: str, device: str) -> None:
    env = ENVIRONMENTS["grid"]
    torch.manual_seed(0)
    policy = MLPPolicy(env, 32, 2, log_flow=True).to(device)
    objective = OBJECTIVES[name].build(env).to(device)
    config = TrainConfig(steps=6, batch_size=8, epsilon=0.1, replay=64, plan="static")
    trainer = Trainer(env, policy, objective, config)
    before = [p.detach().clone() for p in policy.parameters()]
    trainer.train()
    after = list(policy.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(bool(p.isfinite().all()) and p.device.type == device for p in after)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_training_there_finds_the_target(device: str) -> None:
    env = ENVIRONMENTS["grid"]
    torch.manual_seed(0)
    policy = MLPPolicy(env, 64, 2).to(device)
    config = TrainConfig(steps=400, batch_size=64, lr=3e-3, epsilon=0.1, plan="static")
    Trainer(env, policy, TrajectoryBalance().to(device), config).train()
    graph = enumerate_states(env)
    law = graph.terminal_distribution(policy.to("cpu"))
    assert float(total_variation(law, graph.log_target())) < 0.03


@pytest.mark.parametrize("device", DEVICES)
def test_unfinished_trajectories_there(device: str) -> None:
    env = ENVIRONMENTS["grid"]
    policy = MLPPolicy(env, 16, 1, log_flow=True).to(device)
    objective = OBJECTIVES["fldb"].build(env).to(device)
    config = TrainConfig(steps=4, batch_size=8, plan="static")
    record = Trainer(env, policy, objective, config, behaviour=Incomplete(0.5)).train()
    assert record["loss"] > 0

"""Sets, bags, spins, trees and compositions: exact solutions, and training towards them."""

from typing import Any

import pytest
import torch

from gflow import (
    DiscreteEnvironment,
    MLPPolicy,
    Objective,
    Sampler,
    TabularPolicy,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.pairs.composition import Product, Stack
from gflow.envs.phylogeny.alignments import Alignment
from gflow.envs.phylogeny.env import Parsimony, Phylogeny
from gflow.envs.sets.bags import Bags, Substructures
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets, PairwiseEnergy
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward, PairwiseModel, lattice_edges
from gflow.metrics import total_variation
from gflow.objectives import (
    DetailedBalance,
    FlowMatching,
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.training.trainer import TrainConfig, Trainer


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).double()


def pairwise_sets(n: int, size: int) -> FixedSizeSets:
    matrix = noise(n, n)
    return FixedSizeSets(n, size, PairwiseEnergy(noise(n), (matrix + matrix.T) / 2))


def potts(height: int, width: int, values: int) -> EnergyModel:
    edges = lattice_edges(height, width, periodic=False)
    unary = noise(height * width, values)
    return EnergyModel(PairwiseModel(unary, edges, noise(len(edges), values, values) / 2))


SMALL: dict[str, DiscreteEnvironment[Any]] = {
    "sets": FixedSizeSets(5, 3, AdditiveEnergy(noise(5))),
    "pairwise sets": pairwise_sets(5, 3),
    "bags": Bags(3, 4, Substructures(3, 4, 3, 0.5)),
    "ising": EnergyModel(IsingReward(2, 2, 0.4, 0.2)),
    "potts": potts(1, 3, 3),
    "trees": Phylogeny(Parsimony(Alignment.simulate(4, 12), 6, 2)),
    "product": Product(HyperGrid(1, 3), FixedSizeSets(3, 2, AdditiveEnergy(noise(3)))),
    "stack": Stack(HyperGrid(1, 3), EnergyModel(IsingReward(1, 2, 0.4, 0.2))),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_residual_vanishes_at_the_exact_flows(name: str) -> None:
    """Under a random backward policy, however the trajectories were sampled, and not off it."""
    env = SMALL[name]
    graph = enumerate_states(env)
    edge = noise(len(graph.parent))
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    flows = graph.exact_flows(edge - total[graph.child])
    objectives: list[Objective] = [
        TrajectoryBalance(flows.log_z), DetailedBalance(), SubTrajectoryBalance(), FlowMatching(),
    ]  # fmt: skip
    if env.has_partial:
        objectives += [ForwardLookingDetailedBalance(), ForwardLookingSubTrajectoryBalance()]
    for objective in objectives:
        policy = TabularPolicy.solved(
            graph, flows, objective.needs.edge_flow, objective.needs.energy
        )
        law = graph.terminal_distribution(TabularPolicy.solved(graph, flows))
        torch.testing.assert_close(law, graph.log_target(), atol=1e-9, rtol=0)
        generator = torch.Generator().manual_seed(1)
        sampler = Sampler(env)
        forward = sampler.forward(TabularPolicy.solved(graph, flows), 64, generator=generator)
        again = sampler.backward(policy, forward.final_states, generator=generator)
        static = Sampler(env, plan="static").forward(policy, 16, generator=generator)
        for batch in (forward, again, static):
            residual = objective.residual(evaluate(env, policy, batch, objective.needs))
            assert float(residual.detach().abs().max()) < 1e-9
        with torch.no_grad():
            policy.forward_table.add_(noise(*policy.forward_table.shape))
        residual = objective.residual(evaluate(env, policy, forward, objective.needs))
        assert float(residual.detach().abs().max()) > 0.1


@pytest.mark.parametrize("name", SMALL)
def test_the_maximum_entropy_policy_makes_all_ways_equal(name: str) -> None:
    env = SMALL[name]
    graph = enumerate_states(env)
    if name in ("product", "stack"):
        with pytest.raises(TypeError, match="cannot count its trajectories"):
            TabularPolicy(graph, backward="maxent")
        return
    policy = TabularPolicy(graph, backward="maxent")
    torch.testing.assert_close(graph.log_pb(policy), graph.max_entropy_log_pb())


TRAINED: dict[str, tuple[DiscreteEnvironment[Any], type[Objective]]] = {
    "sets": (FixedSizeSets(8, 4, AdditiveEnergy(noise(8))), DetailedBalance),
    "pairwise sets": (pairwise_sets(8, 4), SubTrajectoryBalance),
    "bags": (Bags(3, 6, Substructures(3, 6, 4, 0.3, base=1.0)), DetailedBalance),
    "ising": (EnergyModel(IsingReward(2, 2, 0.3, 0.2)), SubTrajectoryBalance),
    "potts": (potts(2, 2, 3), DetailedBalance),
    "trees": (Phylogeny(Parsimony(Alignment.simulate(5, 12, 0.3), 12, 2)), SubTrajectoryBalance),
    "product": (
        Product(HyperGrid(2, 3), FixedSizeSets(4, 2, AdditiveEnergy(noise(4)))),
        SubTrajectoryBalance,
    ),
    "stack": (Stack(HyperGrid(2, 3), EnergyModel(IsingReward(1, 3, 0.3, 0.2))), DetailedBalance),
}


@pytest.mark.slow
@pytest.mark.parametrize("by_trajectory", [True, False], ids=["tb", "db or subtb"])
@pytest.mark.parametrize("name", TRAINED)
def test_training_reaches_the_law(name: str, by_trajectory: bool) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env, other = TRAINED[name]
    loss = TrajectoryBalance() if by_trajectory else other()
    policy = MLPPolicy(env, width=64, log_flow=loss.needs.log_flow, backward="uniform")
    config = TrainConfig(batch_size=64, lr=5e-3, epsilon=0.1, lr_half_life=120)
    trainer = Trainer(env, policy, loss, config)
    graph = enumerate_states(env)
    before = float(total_variation(graph.terminal_distribution(policy), graph.log_target()))
    trainer.train(500)
    after = float(total_variation(graph.terminal_distribution(policy), graph.log_target()))
    assert before > 0.12
    assert after < 0.05, f"total variation {after:.3f}, {before:.3f} before training"

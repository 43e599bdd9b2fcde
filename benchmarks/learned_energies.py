"""Learned energy decomposition against known partial energies and against none.

    python benchmarks/learned_energies.py [--problems sets bags graphs] [--seeds 3]

Sub-trajectory balance three times (Jang et al. 2024, arXiv 2310.03301): plain, forward-looking with
the energies that the reward gives to unfinished objects, and with learned potentials.

sets    5 of 12 items with random energies of items and pairs: total variation from the exact one
bags    7 letters, 13 places, rewards for a letter that occurs often: modes met in training, mean
        reward against that of a perfect sampler; partial energies are flat nearly everywhere
graphs  independent sets of random graphs of 20 to 40 nodes (model RB), log-reward 10 per node: mean
        size on 20 graphs not trained on, against the optimum
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from curves import Curve, Panel, plot, spread, table

from gflow import DiscreteEnvironment, MLPPolicy, Sampler, enumerate_states
from gflow.envs.graphs.draw import GraphDraw
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import rb_graphs
from gflow.envs.graphs.node_subsets import NodeCount
from gflow.envs.graphs.optima import optimum
from gflow.envs.graphs.policy import GraphEncoder, GraphPolicy
from gflow.envs.sets.bags import Bags, Substructures
from gflow.envs.sets.sets import FixedSizeSets, PairwiseEnergy
from gflow.metrics import total_variation
from gflow.objectives import (
    ForwardLookingSubTrajectoryBalance,
    LearnedEnergyDecomposition,
    Objective,
    SubTrajectoryBalance,
)
from gflow.training.trainer import TrainConfig, Trainer

METHODS = ("plain", "forward-looking", "led")
STEPS = {"sets": 600, "bags": 1000, "graphs": 150}


def objective_of(
    method: str, env: DiscreteEnvironment[Any], lam: float, **settings: Any
) -> Objective:
    """The balance of a method."""
    match method:
        case "plain":
            return SubTrajectoryBalance(lam)
        case "forward-looking":
            return ForwardLookingSubTrajectoryBalance(lam)
    return LearnedEnergyDecomposition.build(env, lam=lam, **settings)


def sets(method: str, steps: int, seed: int) -> Curve:
    """Total variation every 50 steps; the energies are those of the seed."""
    torch.manual_seed(seed)
    matrix = torch.randn(12, 12).double()
    env = FixedSizeSets(12, 5, PairwiseEnergy(torch.randn(12), (matrix + matrix.T) / 2))
    graph = enumerate_states(env)
    objective = objective_of(method, env, 0.9, dropout=0.0, memory=100)
    policy = MLPPolicy(env, 128, 2, log_flow=True)
    trainer = Trainer(
        env, policy, objective, TrainConfig(steps, 32, lr=1e-3, epsilon=0.1, seed=seed)
    )
    target, curve = graph.log_target(), []
    for step in range(50, steps + 1, 50):
        trainer.train(50)
        curve.append((step, float(total_variation(graph.terminal_distribution(policy), target))))
    return curve


def bags(method: str, steps: int, seed: int, modes: dict[str, list[int]]) -> Curve:
    """Accuracy, 100 min(1, mean reward / that of a perfect sampler), every 50 steps."""
    torch.manual_seed(seed)
    reward = Substructures()
    env = Bags(7, 13, reward)
    perfect = env.expected_reward()
    objective = objective_of(method, env, 0.99, dropout=0.2, memory=300, width=64)
    policy = MLPPolicy(env, 64, 2, log_flow=True)
    met = torch.zeros(0, dtype=torch.int64)

    def see(trainer: Trainer, batch: Any, record: dict[str, float]) -> None:
        nonlocal met
        hits = batch.final_states[reward.is_mode(batch.final_states)]
        met = torch.unique(torch.cat([met, env.key(hits)]))

    config = TrainConfig(steps, 32, lr=1e-3, epsilon=0.1, seed=seed)
    trainer = Trainer(env, policy, objective, config, callbacks=[see])
    generator, curve = torch.Generator().manual_seed(1000 + seed), []
    for step in range(50, steps + 1, 50):
        trainer.train(50)
        found = Sampler(env).forward(policy, 512, generator=generator)
        mean = float(found.log_reward.double().exp().mean())
        curve.append((step, 100 * min(1.0, mean / perfect)))
    modes.setdefault(method, []).append(len(met))
    return curve


def graphs(method: str, steps: int, seed: int) -> Curve:
    """Mean size over the optimum on graphs not trained on, every 25 steps."""
    torch.manual_seed(seed)
    train, test = (
        rb_graphs(n, torch.Generator().manual_seed(s), (5, 7), (3, 6), nodes=(20, 40))
        for n, s in ((200, 2 * seed), (20, 2 * seed + 1))
    )
    env, unseen = IndependentSet(train, NodeCount(10.0)), IndependentSet(test)
    best = torch.tensor([float(optimum(test, g).value) for g in range(20)], dtype=torch.float64)
    settings = {"encoder": GraphEncoder(32, 2), "dropout": 0.0, "memory": 20, "steps": 2}
    objective = objective_of(method, env, 0.9, **(settings if method == "led" else {}))
    policy = GraphPolicy(env, 64, 3, log_flow=True, scale=10.0)
    config = TrainConfig(steps, 32, lr=2e-3, grad_clip=10.0, seed=seed)
    trainer = Trainer(env, policy, objective, config, condition=GraphDraw(env.turn, 8))
    generator, curve = torch.Generator().manual_seed(1000 + seed), []
    for step in range(25, steps + 1, 25):
        trainer.train(25)
        found = Sampler(unseen).forward(policy, 200, generator=generator)
        size = (found.final_states.label == 1).sum(-1).view(10, 20).double()
        curve.append((step, float((size.mean(0) / best).mean())))
    return curve


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="instead of the default of each")
    parser.add_argument("--out", type=Path, default=Path("runs/learned_energies.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    modes: dict[str, list[int]] = {}
    learn: dict[str, Callable[[str, int, int], Curve]] = {
        "sets": sets,
        "bags": lambda method, steps, seed: bags(method, steps, seed, modes),
        "graphs": graphs,
    }
    quantity = {
        "sets": ("total variation", 0.0),
        "bags": ("accuracy, %", 100.0),
        "graphs": ("mean size / optimum", 1.0),
    }
    panels, rows = [], [["problem", "method", "last value", "modes met"]]
    for problem in args.problems:
        steps = args.steps or STEPS[problem]
        panel = Panel(problem, *quantity[problem])
        methods = {m: partial(learn[problem], m, steps) for m in METHODS}
        panels.append(panel.run(methods, range(args.seeds)))
        for method in METHODS:
            met = spread([float(n) for n in modes[method]]) if problem == "bags" else ""
            rows.append([f"{problem}: {panel.quantity}", method, spread(panel.last(method)), met])
    table(rows)
    print("published: learned decomposition ahead where partial energies are absent or say little")
    plot(panels, args.out)


if __name__ == "__main__":
    main()

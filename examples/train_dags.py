"""Learn the posterior over causal graphs of five variables, and compare it with the exact one.

Run:   python examples/train_dags.py [--objective tb] [--steps 1500]
Takes: about half a minute on one CPU core.
Shows: correlation of the marginals of edges, paths and Markov blankets with the exact ones; expect
       0.99 and more for edges.
"""

import argparse

import torch

from gflow import enumerate_states
from gflow.envs.dags import Dags
from gflow.envs.dags.data import erdos_renyi_network
from gflow.envs.dags.guide import CompletionGuide
from gflow.envs.dags.metrics import Marginals, expected_shd
from gflow.envs.dags.policy import DagPolicy
from gflow.envs.dags.scores import BGe
from gflow.metrics import total_variation
from gflow.objectives import PROPORTIONAL
from gflow.training import TrainConfig, Trainer


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--objective", choices=("mdb", "db", "tb", "vargrad", "subtb"), default="mdb"
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--variables", type=int, default=5, help="at most 5: the rest is exact")
    parser.add_argument("--rows", type=int, default=100, help="observations")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    generator = torch.Generator().manual_seed(args.seed)
    network = erdos_renyi_network(args.variables, args.variables, 0.1**0.5, generator=generator)
    score = BGe(network.sample(args.rows, generator))
    env = Dags(args.variables, score)
    objective = PROPORTIONAL[args.objective]()
    policy = DagPolicy(env, log_flow=objective.needs.log_flow, guide=CompletionGuide(score))
    config = TrainConfig(
        steps=args.steps,
        batch_size=128,
        lr=3e-3,
        lr_half_life=500,
        epsilon=0.1,
        epsilon_steps=1000,
        seed=args.seed,
    )
    trainer = Trainer(env, policy, objective, config)

    graph = enumerate_states(env)
    graphs, target = graph.states.adjacency, graph.log_target()
    exact = Marginals.of(graphs, target)
    part = max(1, args.steps // 5)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        learned = graph.terminal_distribution(policy)
        correlation = Marginals.of(graphs, learned).correlations(exact)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in correlation.items())
        print(
            f"step {trainer.step:5d}  loss {record['loss']:.2e}  "
            f"total variation {float(total_variation(learned, target)):.3f}  correlation: {numbers}"
        )
    print(
        f"expected structural Hamming distance to the true graph: "
        f"{expected_shd(graphs, network.adjacency, graph.terminal_distribution(policy)):.2f}, "
        f"exact posterior {expected_shd(graphs, network.adjacency, target):.2f}"
    )


if __name__ == "__main__":
    main()

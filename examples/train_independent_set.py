"""Learn to find large independent sets, and compare with the optimum on graphs never seen.

Run:   python examples/train_independent_set.py [--graphs rb|er|ba] [--large]
Takes: half a minute on one CPU core; with --large (graphs of 200 to 300 nodes) about ten minutes,
    half of it for the exact optima.
Shows: mean and best-of-20 size on held-out graphs as shares of the optimum, beside a greedy rule.
"""

import argparse
import time

import torch

from gflow.envs.graphs import IndependentSet
from gflow.envs.graphs.draw import GraphDraw
from gflow.envs.graphs.instances import GraphBatch, barabasi_albert, erdos_renyi, rb_graphs
from gflow.envs.graphs.node_subsets import NodeCount
from gflow.envs.graphs.optima import degree_greedy, optimum
from gflow.envs.graphs.policy import GraphPolicy
from gflow.objectives import PROPORTIONAL
from gflow.sampling.sampler import Sampler
from gflow.training import TrainConfig, Trainer

CHOICES = ["vargrad", "db", "subtb", "fldb", "flsubtb"]


def graphs_of(kind: str, count: int, large: bool, seed: int) -> GraphBatch:
    """Random graphs of 200 to 300 nodes, or of 20 to 40."""
    generator = torch.Generator().manual_seed(seed)
    nodes = (200, 300) if large else (20, 40)
    match kind:
        case "rb" if not large:
            return rb_graphs(count, generator, (5, 7), (3, 6), nodes=nodes)
        case "rb":
            return rb_graphs(count, generator, nodes=nodes)
        case "er":
            return erdos_renyi(count, nodes, 0.15, generator)
    return barabasi_albert(count, nodes, 4, generator)


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", choices=["rb", "er", "ba"], default="rb")
    parser.add_argument("--large", action="store_true", help="200 to 300 nodes, not 20 to 40")
    parser.add_argument("--objective", choices=CHOICES, default="vargrad")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--beta", type=float, default=50.0, help="log-reward per node")
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit per exact optimum")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train, test = (
        graphs_of(args.graphs, n, args.large, s) for n, s in ((400, 7), (args.held_out, 8))
    )
    env = IndependentSet(train, NodeCount(args.beta))
    objective = PROPORTIONAL[args.objective]()
    policy = GraphPolicy(env, width=64, depth=3, log_flow=objective.needs.log_flow, scale=10.0)
    config = TrainConfig(args.steps, args.batch, lr=1e-3, grad_clip=10.0, ema=0.95, seed=args.seed)
    graphs = GraphDraw(env.turn, repeat=8 if args.batch % 8 == 0 else 2)
    trainer = Trainer(env, policy, objective, config, condition=graphs)
    began, part = time.monotonic(), max(1, args.steps // 10)
    while trainer.step < args.steps:
        record = trainer.train(min(part, args.steps - trainer.step))
        print(
            f"step {trainer.step:5d}  {time.monotonic() - began:4.0f} s  "
            f"loss {record['loss']:.2e}  mean size {record['mean_log_reward'] / args.beta:.2f}",
            flush=True,
        )

    unseen, count = IndependentSet(test), len(test)
    found = Sampler(unseen).forward(
        trainer.evaluated_policy, 20 * count, generator=torch.Generator().manual_seed(1)
    )
    size = (found.final_states.label == 1).sum(-1).view(20, count).double()
    greedy = (degree_greedy(unseen, torch.arange(count)).label == 1).sum(-1).double()
    exact = [optimum(test, g, seconds=args.seconds) for g in range(count)]
    best = torch.tensor([answer.value for answer in exact], dtype=torch.float64)
    print(f"{count} held-out graphs, {sum(a.proven for a in exact)} optima proven")
    for name, value in (
        ("optimum", best),
        ("mean of 20 samples", size.mean(0)),
        ("best of 20 samples", size.amax(0)),
        ("greedy by degree", greedy),
    ):
        gap = 100 * float(1 - (value / best).mean())
        print(f"{name:20} mean size {float(value.mean()):8.3f}  gap {gap:5.2f} %")


if __name__ == "__main__":
    main()

"""Learning curves on the stochastic grid of Pan et al., against exact distributions.

Run:   python benchmarks/stochastic_grid.py
       python benchmarks/stochastic_grid.py --steps 20000 --seeds 5      as long as the paper
Takes: one to two minutes of a core for each method and seed.
Shows: per method, the distance between the exact distribution of what its policy builds and its
       aim, as the mean over cells of absolute differences of probabilities (L1, the metric of the
       paper, which takes a histogram of visited cells for the former): for the naive and the
       stochastic GFlowNet the aim is R / Z, for expected flows (edb) those of the form "dag" under
       the policy's own P_B. A table, a picture and its numbers as CSV.

The settings of Pan et al. (2023, arXiv 2302.09465): 8 x 8 cells, a quarter of the moves replaced by
a uniform movement unless a coordinate is at the edge, two hidden layers of 256, a learned backward
policy over parents and what was meant there, batches of 16, Adam at 1e-3, at 1e-4 for the kernel.
`edb` and `sgfn` know the kernel, `sgfn-learned` fits it, as theirs does.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from curves import Curve, Panel, plot, spread, table
from torch import Tensor

from gflow import MLPPolicy, Objective, enumerate_states
from gflow.envs.noise.env import NoisyState
from gflow.envs.noise.grid import StochasticGrid
from gflow.exact.expected import expected_flows
from gflow.exact.graph import StateGraph
from gflow.objectives import (
    ExpectedDetailedBalance,
    NaiveIntended,
    NaiveRealised,
    StochasticFlow,
)
from gflow.policies.base import Policy
from gflow.training import TrainConfig, Trainer

METHODS = ("edb", "edb-learned", "sgfn", "sgfn-learned", "naive_realised", "naive_intended")


def objective_of(method: str, env: StochasticGrid) -> Objective:
    """The objective, with a network for the kernel where that is learned."""
    name, _, learned = method.partition("-")
    kernel: Literal["known", "learned"] = "learned" if learned else "known"
    match name:
        case "edb":
            return ExpectedDetailedBalance.build(env, kernel=kernel, graph="dag", model_lr=1e-4)
        case "sgfn":
            return StochasticFlow.build(env, kernel=kernel, model_lr=1e-4)
        case "naive_realised":
            return NaiveRealised()
    return NaiveIntended()


def aim(graph: StateGraph[NoisyState], policy: Policy, method: str) -> Tensor:
    """(X,) exact log-probabilities that a method is measured against."""
    if not method.startswith("edb"):
        return graph.log_target()
    flows = expected_flows(graph, "dag", graph.log_pb(policy))
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop)


def learn(
    method: str, env: StochasticGrid, graph: StateGraph[NoisyState], steps: int, seed: int
) -> Curve:
    """The distance after every fiftieth of the training."""
    torch.manual_seed(seed)
    objective = objective_of(method, env)
    policy = MLPPolicy(env, 256, 2, log_flow=True)
    trainer = Trainer(env, policy, objective, TrainConfig(steps, 16, lr=1e-3, seed=seed))
    curve: Curve = []
    while True:
        learned = graph.terminal_distribution(policy).exp()
        distance = (learned - aim(graph, policy, method).exp()).abs().mean()
        curve.append((trainer.step, float(distance)))
        if trainer.step >= steps:
            return curve
        trainer.train(min(max(1, steps // 50), steps - trainer.step))


def main() -> None:
    """Parse the command line, train, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--stick", type=float, default=0.25)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("stochastic_grid.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    env = StochasticGrid(2, args.side, args.stick)
    graph = enumerate_states(env)
    flows = expected_flows(graph, "dag")
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    gap = float((law - graph.log_target().exp()).abs().mean())
    print(
        f"{len(graph)} states; with a uniform P_B expected flows have log Z {flows.log_z:.5f} and "
        f"are at L1 {gap:.5f} from R / Z, whose log Z is "
        f"{float(graph.log_reward().logsumexp(0)):.5f}"
    )
    panel = Panel(f"stochastic grid {args.side}x{args.side}", "L1 to the method's aim")
    panel.run(
        {m: partial(learn, m, env, graph, args.steps) for m in args.methods}, range(args.seeds)
    )
    rows = [["method", "aim", f"L1 after {args.steps} steps"]]
    for method in args.methods:
        name = "expected flows" if method.startswith("edb") else "R / Z"
        rows.append([method, name, spread(panel.last(method))])
    table(rows)
    plot([panel], args.out)


if __name__ == "__main__":
    main()

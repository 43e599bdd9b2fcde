"""Four ways to write DNA with letters that come out wrong, each against its own exact solution.

Run:   python benchmarks/noisy_tfbind.py
       python benchmarks/noisy_tfbind.py --steps 5000 --batch 128 --seeds 3
       python benchmarks/noisy_tfbind.py --table SIX6_REF_R1_8mers.txt     a measured landscape
       python benchmarks/noisy_tfbind.py --methods edb --policy table --lr 0.05 --batch 512
                                    a number for each state in place of a network
Takes: about a minute of one core for each line.
Shows: 8-mers from left to right, R = y^beta, each letter replaced by a uniform one with probability
       alpha. For each method the mean score y of what it writes, and the total variation between
       that distribution and (own) what its loss has as solution, where it has one, (expected) exact
       expected flows and (R/Z) the reward, all summed over the 65,536 strings; log Z less the exact
       one. Expected flows promise no sampling in proportion to the reward, and no better scores.
       `exact` lines are the solutions themselves, and the best mean that any policy reaches.

The methods: expected detailed balance (edb), the stochastic GFlowNet (sgfn), and detailed balance
that takes for the action what was executed (naive_realised) or what was meant (naive_intended).
The stochastic GFlowNet samples in proportion to the reward if every letter has at least alpha / 4
of its prefix's flow; elsewhere its loss cannot vanish, and has no solution to compare with.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from curves import table
from torch import Tensor

from gflow import MLPPolicy, Objective, TabularPolicy, enumerate_states
from gflow.envs.noise.env import NoisyState, WithNoise
from gflow.envs.noise.tfbind import noisy_tf_binding
from gflow.envs.sequences.motif_scores import motif_scores
from gflow.envs.sequences.rewards import TableReward
from gflow.envs.sequences.tfbind import load_e_scores
from gflow.errors import IncompatibleError
from gflow.exact.games import minimax
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import (
    ExpectedDetailedBalance,
    NaiveIntended,
    NaiveRealised,
    StochasticFlow,
)
from gflow.policies.base import Policy
from gflow.training import TrainConfig, Trainer

ALPHAS = (0.0, 0.1, 0.25, 0.5, 0.75)
METHODS = ("edb", "edb-learned", "sgfn", "sgfn-learned", "naive_realised", "naive_intended")
HEAD = ("alpha", "method", "score", "TV own", "TV expected", "TV R/Z", "log Z off", "seconds")


@dataclass(frozen=True)
class Problem:
    """One noise level with all that is known of it.

    Attributes:
        alpha: Probability that a letter is replaced.
        graph: All states.
        scores: (65536,) y of the objects, in the order of the graph.
        laws: (65536,) exact log-probabilities of the objects at the solution of each method; None
            where it has none.
        proportional: (65536,) those in proportion to the reward.
        log_z: Exact log Z, the same for all.
        best: The largest mean score of any policy.
    """

    alpha: float
    graph: StateGraph[NoisyState]
    scores: Tensor
    laws: dict[str, Tensor | None]
    proportional: Tensor
    log_z: float
    best: float

    def cells(self, law: Tensor, own: Tensor | None) -> list[str]:
        """Mean score and distances of a law of objects."""
        aims = (own, self.laws["edb"], self.proportional)
        distances = ["-" if aim is None else f"{total_variation(law, aim):.4f}" for aim in aims]
        return [f"{law.exp() @ self.scores:.4f}", *distances]


def problem(values: Tensor, alpha: float, beta: float) -> Problem:
    """Solve one noise level."""
    env = noisy_tf_binding(values, alpha, beta)
    graph = enumerate_states(env)
    reward = env.inner.reward
    assert isinstance(reward, TableReward)
    scores = values[reward.index(graph.states.inner[graph.objects])]
    laws: dict[str, Tensor | None] = {"naive_intended": graph.log_target() if alpha == 0 else None}
    for method in ("edb", "sgfn", "naive_realised"):
        try:
            flows = objective_of(method, env, 1).exact_flows(graph)
            laws[method] = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
        except IncompatibleError as none:
            laws[method] = None
            print(f"{method}: {none}")
    worth = scores.new_full((len(graph),), -torch.inf).index_put((graph.objects,), scores)
    log_z = float(graph.log_reward().logsumexp(0))
    best = float(minimax(graph, worth)[0])
    return Problem(alpha, graph, scores, laws, graph.log_target(), log_z, best)


def exact_lines(known: Problem) -> Iterator[list[str]]:
    """The solutions themselves."""
    for name, law in known.laws.items():
        if law is not None:
            yield [f"{known.alpha:g}", f"exact {name}", *known.cells(law, None), "", ""]
    yield [f"{known.alpha:g}", "exact R/Z", *known.cells(known.proportional, None), "", ""]
    yield [f"{known.alpha:g}", "exact best mean", f"{known.best:.4f}", "", "", "", "", ""]


def objective_of(method: str, env: WithNoise, width: int) -> Objective:
    """The objective, with a network for the kernel where that is learned."""
    name, _, learned = method.partition("-")
    kernel: Literal["known", "learned"] = "learned" if learned else "known"
    match name:
        case "edb":
            return ExpectedDetailedBalance.build(env, kernel=kernel, width=width)
        case "sgfn":
            return StochasticFlow.build(env, kernel=kernel, width=width)
        case "naive_realised":
            return NaiveRealised()
    return NaiveIntended()


def line(known: Problem, method: str, seed: int, args: argparse.Namespace) -> list[str]:
    """Train one method and measure what it has learned."""
    env = known.graph.env
    assert isinstance(env, WithNoise)
    torch.manual_seed(seed)
    began = time.process_time()
    objective = objective_of(method, env, args.width // 2)
    policy: Policy = MLPPolicy(env, args.width, args.depth, log_flow=True)
    if args.policy == "table":
        policy = TabularPolicy(known.graph)
    config = TrainConfig(
        args.steps,
        args.batch,
        lr=args.lr,
        ema=args.ema,
        lr_half_life=args.lr_half_life,
        epsilon=args.epsilon,
        seed=seed,
    )
    trainer = Trainer(env, policy, objective, config)
    trainer.train()
    seconds = time.process_time() - began
    with torch.no_grad():
        log_flow = trainer.evaluated_policy(env, env.initial(1)).log_flow
    assert log_flow is not None
    law = known.graph.terminal_distribution(trainer.evaluated_policy)
    return [
        f"{known.alpha:g}",
        method,
        *known.cells(law, known.laws[method.partition("-")[0]]),
        f"{float(log_flow) - known.log_z:+.3f}",
        f"{seconds:.0f}",
    ]


def main() -> None:
    """Parse the command line, train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="", help="file of E-scores; made up if empty")
    parser.add_argument("--alphas", nargs="+", type=float, default=ALPHAS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--beta", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--lr-half-life", type=int, default=0)
    parser.add_argument("--policy", choices=("network", "table"), default="network")
    parser.add_argument("--ema", type=float, default=0.99, help="average of the weights")
    parser.add_argument("--epsilon", type=float, default=0.01)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the lines to this CSV file, too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    values = load_e_scores(args.table) if args.table else motif_scores()
    rows = [list(HEAD)]
    for alpha in args.alphas:
        known = problem(values, alpha, args.beta)
        print(f"alpha {alpha:g}  log Z {known.log_z:.5f}", flush=True)
        rows += exact_lines(known)
        for seed in range(args.seeds):
            for method in args.methods:
                rows.append(line(known, method, seed, args))
                print("  " + "  ".join(rows[-1]), flush=True)
    table(rows)
    if args.out:
        with args.out.open("w", newline="") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()

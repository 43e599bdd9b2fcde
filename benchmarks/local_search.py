"""Local search against its base objective at equal numbers of reward calls.

Run:   python benchmarks/local_search.py --table SIX6_REF_R1_8mers.txt
       without --table on RNA alone, with --tasks tfbind on TF binding alone
Takes: about ten minutes on one core; --rounds 0.1 trains a tenth of that.
Shows: for TF binding (8-mers, R = 10 y^3) and RNA binding (L14_RNA1, y^8) the modes found while
       training and the accuracy 100 min(1, E_p[R] / E_pi[R]) of trajectory balance alone, with a
       greedy local search and with a Metropolis one: mean and spread over seeds, a picture of both
       against reward calls, and whether the order is the published one.

Every round scores 32 objects: 32 fresh ones, or 4 fresh ones and 7 revisions of each, which undo 4
of 8 letters (RNA: 7 of 14) by P_B, as in Kim et al., Local Search GFlowNets, 2024,
https://arxiv.org/abs/2310.02710. Each round also trains on 32 remembered trajectories, sampled in
proportion to the reward among the best; they cost no reward call. Smaller than the paper: fewer
rounds, one gradient step a round at ten times its learning rates, a perceptron of 2 x 128 units.

Modes are the best 0.5 % of all sequences; for RNA, where these are 1.3 million, those of them
without a better neighbour at Hamming distance 1. E_pi[R] is exact for TF binding, and for RNA the
ratio of mean R^2 to mean R over uniform sequences, with its standard error.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import MLPPolicy, Sampler, Trajectories, enumerate_states
from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.local_search import LocalSearch
from gflow.envs.sequences.env import SequenceEnvironment
from gflow.envs.sequences.rewards import TableReward
from gflow.envs.sequences.rna import rna_binding
from gflow.envs.sequences.tfbind import load_e_scores, tf_binding
from gflow.exact.graph import StateGraph
from gflow.metrics import mean_reward_accuracy, total_variation
from gflow.objectives import TrajectoryBalance
from gflow.tasks.pictures import pyplot
from gflow.training.trainer import Record, TrainConfig, Trainer

SHARE = 0.005
CALLS = 32
METHODS = ("TB", "TB + greedy search", "TB + Metropolis search")


@dataclass
class Task:
    """One landscape and what is known of it.

    Attributes:
        name: For people.
        env: Strings that grow at both ends.
        steps: Transitions that the search undoes.
        rounds: Rounds of 32 reward calls.
        log_z: Initial estimate.
        mean: E_pi[R].
        mean_error: Its standard error.
        threshold: Least log R of the best 0.5 %.
        local: Whether modes must be better than their neighbours.
        graph: All states, where the exact distribution is wanted.
    """

    name: str
    env: SequenceEnvironment
    steps: int
    rounds: int
    log_z: float
    mean: float
    mean_error: float
    threshold: float
    local: bool = False
    graph: StateGraph[Tensor] | None = None


def tfbind(table: Path, scale: float) -> Task:
    """Everything is known of it."""
    env = tf_binding(load_e_scores(table))
    reward = env.reward
    assert isinstance(reward, TableReward)
    log_reward = reward.log_reward.double()
    mean = float((2 * log_reward).logsumexp(0).sub(log_reward.logsumexp(0)).exp())
    limit = float(log_reward.quantile(1 - SHARE))
    graph = enumerate_states(env)
    return Task("TF binding", env, 4, int(1000 * scale), 9.0, mean, 0.0, limit, graph=graph)


def rna(scale: float, size: int) -> Task:
    """What is known of it comes from uniform sequences."""
    env = rna_binding()
    generator = torch.Generator().manual_seed(0)
    value = env.log_reward(torch.randint(4, (size, env.length), generator=generator)).double()
    weight = value.softmax(0)
    mean = float((weight * value.exp()).sum())
    error = float((weight * (value.exp() - mean)).square().sum().sqrt())
    limit = float(value.quantile(1 - SHARE))
    log_z = float(value.exp().mean().log() + env.length * torch.tensor(4.0).log())
    return Task("RNA binding", env, 7, int(400 * scale), log_z, mean, error, limit, local=True)


def behaviour(method: str, task: Task) -> Behaviour:
    """What collects 32 trajectories."""
    if method == METHODS[0]:
        return OnPolicy()
    accept = "greedy" if method == METHODS[1] else "metropolis"
    return LocalSearch(7, task.steps, accept, "resampled")


@dataclass
class Outcome:
    """What one run has shown.

    Attributes:
        calls: Reward calls at each point.
        found: Distinct sequences of the best 0.5 % seen until then.
        accuracy: Per cent, there.
        acceptance: Mean share of accepted candidates, if there are candidates.
        modes: Modes at the end.
        distinct: Per cent of the objects scored that were new.
        seen: Mean R of the objects scored.
        tv: Total variation to the target at the end, where known.
        seconds: CPU time of training.
    """

    calls: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    acceptance: list[float] = field(default_factory=list)
    modes: int = 0
    distinct: float = 0.0
    seen: float = 0.0
    tv: float | None = None
    seconds: float = 0.0


class Seen:
    """What has been scored for training; a callback of the trainer."""

    def __init__(self, task: Task) -> None:
        self.task, self.good = task, torch.zeros(0, task.env.length, dtype=torch.int64)
        self.acceptance: list[float] = []
        self.keys: set[int] = set()
        self.calls, self.total = 0, 0.0

    def __call__(self, trainer: Trainer, batch: Trajectories[Any], record: Record) -> None:
        scored = len(batch) if trainer.step == 1 else CALLS  # the others are remembered
        objects, value = batch.final_states[:scored], batch.log_reward[:scored]
        self.calls += scored
        self.total += float(value.double().exp().sum())
        self.keys.update(self.task.env.key(objects).tolist())
        good = objects[value >= self.task.threshold]
        self.good = torch.unique(torch.cat([self.good, good]), dim=0)
        if "acceptance" in record:
            self.acceptance.append(record["acceptance"])


def local_maxima(env: SequenceEnvironment, sequences: Tensor) -> Tensor:
    """Those without a strictly better sequence at Hamming distance 1."""
    value = env.log_reward(sequences)
    generator = torch.Generator().manual_seed(0)
    places = torch.randperm(env.length * (env.num_symbols - 1), generator=generator)
    for number in places.tolist():
        if not len(sequences):
            break
        place, shift = number // (env.num_symbols - 1), 1 + number % (env.num_symbols - 1)
        other = sequences.clone()
        other[:, place] = (other[:, place] + shift) % env.num_symbols
        keep = env.log_reward(other) <= value
        sequences, value = sequences[keep], value[keep]
    return sequences


def run(method: str, task: Task, seed: int, points: int = 10) -> Outcome:
    """One training run, measured at some points; what measuring costs is not counted."""
    torch.manual_seed(seed)
    policy = MLPPolicy(task.env, width=128, depth=2)
    seen, outcome = Seen(task), Outcome()
    config = TrainConfig(
        task.rounds, 2 * CALLS, lr=1e-3, log_z_lr=0.1, epsilon=0.01, seed=seed,
        replay=1000, replay_keep="best",
    )  # fmt: skip
    trainer = Trainer(
        task.env,
        policy,
        TrajectoryBalance(task.log_z),
        config,
        behaviour=behaviour(method, task),
        callbacks=[seen],
    )
    for point in range(1, points + 1):
        start = time.process_time()
        trainer.train(round(task.rounds * point / points) - trainer.step)
        outcome.seconds += time.process_time() - start
        generator = torch.Generator().manual_seed(seed)
        size = 2048 if point == points or not task.local else 256
        sample = Sampler(task.env).forward(policy, size, generator=generator)
        mean = sample.log_reward.double().exp().mean()
        outcome.calls.append(seen.calls)
        outcome.found.append(len(seen.good))
        outcome.accuracy.append(float(mean_reward_accuracy(mean, task.mean)))
    outcome.acceptance = seen.acceptance
    outcome.distinct = 100 * len(seen.keys) / seen.calls
    outcome.seen = seen.total / seen.calls
    outcome.modes = len(local_maxima(task.env, seen.good) if task.local else seen.good)
    if task.graph is not None:
        learned, target = task.graph.terminal_distribution(policy), task.graph.log_target()
        outcome.tv = float(total_variation(learned, target))
    return outcome


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) if values[1:] else 0:.1f}"


def table(task: Task, outcomes: dict[str, list[Outcome]]) -> str:
    """One line a method."""
    calls = next(iter(outcomes.values()))[0].calls[-1]
    known = f" ± {task.mean_error:.2g}" if task.mean_error else " (exact)"
    lines = [
        f"{task.name}: {calls:,} reward calls a run, E_pi[R] = {task.mean:.4g}{known}",
        f"{'':24}{'modes':>15}{'best 0.5 %':>16}{'accuracy %':>13}{'TV':>7}{'accepted':>10}"
        f"{'new %':>7}{'mean R':>9}{'CPU s':>7}",
    ]
    for method, runs in outcomes.items():
        tv = [r.tv for r in runs if r.tv is not None]
        accepted = [statistics.mean(r.acceptance) for r in runs if r.acceptance]
        lines.append(
            f"{method:24}{spread([r.modes for r in runs]):>15}"
            f"{spread([r.found[-1] for r in runs]):>16}"
            f"{spread([r.accuracy[-1] for r in runs]):>13}"
            f"{f'{statistics.mean(tv):.3f}' if tv else '':>7}"
            f"{f'{statistics.mean(accepted):.2f}' if accepted else '':>10}"
            f"{statistics.mean(r.distinct for r in runs):7.0f}"
            f"{statistics.mean(r.seen for r in runs):9.3g}"
            f"{statistics.mean(r.seconds for r in runs):7.0f}"
        )
    return "\n".join(lines)


def verdict(task: Task, outcomes: dict[str, list[Outcome]]) -> str:
    """Whether the order of the methods is the published one: local search ahead of its base."""
    base, *searches = outcomes.values()
    told = []
    metrics: dict[str, Callable[[Outcome], float]] = {
        "modes": lambda r: r.modes,
        "best 0.5 %": lambda r: r.found[-1],
        "accuracy": lambda r: r.accuracy[-1],
    }
    for name, metric in metrics.items():
        before = [metric(r) for r in base]
        for method, runs in zip(METHODS[1:], searches, strict=True):
            after = [metric(r) for r in runs]
            gap = statistics.mean(after) - statistics.mean(before)
            noise = max(statistics.stdev(v) if v[1:] else 0.0 for v in (before, after))
            word = "agrees" if gap > noise else "disagrees" if gap < -noise else "unclear"
            told.append(f"{name}, {method[5:]}: {word} ({gap:+.1f})")
    scored = "; ".join(
        f"{method} {statistics.mean(r.distinct for r in runs):.0f} % new, mean R "
        f"{statistics.mean(r.seen for r in runs):.3g}"
        for method, runs in outcomes.items()
    )
    return (
        f"published: local search is better. Here on {task.name}: {'; '.join(told)}\n"
        f"why: modes come from scoring new and better objects ({scored}); a Metropolis chain "
        f"samples R / Z and need not climb; accuracy is the policy's own, without a search"
    )


def picture(results: list[tuple[Task, dict[str, list[Outcome]]]], path: Path) -> None:
    """Good sequences found and accuracy against reward calls, mean and spread over seeds."""
    plt = pyplot()
    figure, axes = plt.subplots(len(results), 2, figsize=(10, 3.6 * len(results)), squeeze=False)
    for row, (task, outcomes) in zip(axes, results, strict=True):
        for method, runs in outcomes.items():
            for axis, name in zip(row, ("found", "accuracy"), strict=True):
                values = torch.tensor([getattr(r, name) for r in runs], dtype=torch.float64)
                mean, std = values.mean(0), values.std(0, correction=min(1, len(runs) - 1))
                axis.plot(runs[0].calls, mean, label=method)
                axis.fill_between(runs[0].calls, mean - std, mean + std, alpha=0.2)
        row[0].set_ylabel("sequences of the best 0.5 % found")
        row[1].set_ylabel("accuracy, %")
        for axis in row:
            axis.set_title(task.name)
            axis.set_xlabel("reward calls")
        row[0].legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Parse the command line, train, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--table", type=Path, help="E-scores of all 8-mers; see gflow.envs.sequences.tfbind"
    )
    parser.add_argument("--tasks", nargs="+", choices=("tfbind", "rna"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=float, default=1.0, help="share of the default rounds")
    parser.add_argument("--out", type=Path, default=Path("runs/local_search.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    wanted = args.tasks or (["tfbind"] if args.table else []) + ["rna"]
    if "tfbind" in wanted and args.table is None:
        parser.error("tfbind needs --table, a file of E-scores such as SIX6_REF_R1_8mers.txt")
    results = []
    for name in wanted:
        if name == "tfbind":
            task = tfbind(args.table, args.rounds)
        else:
            task = rna(args.rounds, size=max(2000, int(30_000 * min(1.0, args.rounds))))
        outcomes = {
            method: [run(method, task, seed) for seed in range(args.seeds)] for method in METHODS
        }
        results.append((task, outcomes))
        print(f"{table(task, outcomes)}\n{verdict(task, outcomes)}\n", flush=True)
    picture(results, args.out)
    print(f"picture: {args.out}; {time.process_time():.0f} s of CPU time")


if __name__ == "__main__":
    main()

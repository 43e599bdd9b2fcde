"""Samplers of outcomes turned to rewards: success, distances to the reward, modes against steps.

Run:   python benchmarks/outcomes.py --only grid16        pre-training and conversion on a grid
       python benchmarks/outcomes.py --only tfbind --tasks 30 --seeds 3
Shows: how often pre-trained samplers build what they are told; how far the samplers that follow for
       three rewards are from them, converted without training and amortised; and for bit strings,
       30 landscapes of 8-mers and four of RNA the modes found by steps, from scratch, converted,
       amortised and by Metropolis, with and without the steps of pre-training; a picture of it in
       --out. Every run is kept there in results.jsonl and not repeated.

After Pan et al., Pre-Training and Fine-Tuning Generative Flow Networks, 2023,
https://arxiv.org/abs/2310.03419, whose settings are not known: these are our own. The landscapes
of 8-mers are a closed form with 30 phases and stand for no transcription factor; those of RNA are
the four usual ones of length 14 (ViennaRNA). Pre-training walks back from objects that are drawn
evenly; its steps ask for no reward.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gflow
from gflow import DiscreteEnvironment, LogReward, MLPPolicy, Sampler, enumerate_states
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch
from gflow.bounds import Positive
from gflow.cli.main import main as command
from gflow.environment.rewarded import with_reward
from gflow.envs.grids.rewards import Corners, Cosine, Deceptive
from gflow.envs.sequences.bits import NearModes, bit_sequences, plant_modes
from gflow.envs.sequences.motif_scores import motif_scores
from gflow.envs.sequences.rna import rna_binding
from gflow.envs.sequences.tfbind import tf_binding
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import TrajectoryBalance
from gflow.outcomes import Amortised, MonteCarlo, PairTable, SequencePosterior, wander
from gflow.outcomes.flows import OutcomeFlows
from gflow.policies.base import Policy, PolicyOutput
from gflow.runs.folder import RunFolder
from gflow.tasks.task import Task
from gflow.training.config import TrainConfig
from gflow.training.trainer import Trainer

PARTS = ("grid16", "grid32", "bits", "tfbind", "rna")
METHODS = ("scratch", "amortised", "converted", "metropolis")
BATCH, EVERY = 32, 10
PRETRAIN = {
    "grid16": ["hypergrid", "--side=16", "--steps=3000", "--lr-half-life=600"],
    "grid32": [
        "hypergrid",
        "--side=32",
        "--steps=3600",
        "--lr=0.006",
        "--lr-half-life=700",
        "--ema=0.995",
        "--regression=huber",
        "--flow-weight=8",
        "--leak=0",
    ],
    "bits": [
        "bits",
        "--bits=40",
        "--word=4",
        "--batch-size=64",
        "--lr=0.005",
        "--steps=5000",
        "--lr-half-life=1000",
        "--width=512",
    ],
    "tfbind": ["tfbind", "--order=left_to_right", "--steps=600", "--lr=0.01", "--lr-half-life=150"],
    "rna": ["{file}:Rna14Task", "--steps=800", "--lr=0.01", "--lr-half-life=200"],
}
AMORTISED = {
    "grid16": ["--steps=1600", "--lr-half-life=400"],
    "grid32": ["--steps=3500", "--lr-half-life=700"],
}
REWARDS: dict[str, Callable[[int], LogReward[Tensor]]] = {
    "corners": Corners,
    "cosine": Cosine,
    "deceptive": Deceptive,
}
Run = dict[str, Any]


@dataclass(frozen=True)
class Rna14Task(Task[DiscreteEnvironment[Tensor]]):
    """RNAs of 14 nucleotides, from left to right, by how they bind to a target.

    Attributes:
        target: One of RNA1 ... RNA4, or an RNA.
        beta: Exponent.
    """

    target: str = "RNA1"
    beta: Positive = 8.0

    def environment(self) -> DiscreteEnvironment[Tensor]:
        """The RNAs."""
        return rna_binding(14, (self.target,), "left_to_right", self.beta)


# ---------------------------------------------------------------------- pre-training


def pretrained(part: str, out: Path) -> Any:
    """The pre-trained sampler of a part; trained, or trained to its end, if need be."""
    folder = out / f"pretrain-{part}"
    files, flags = RunFolder(folder), [w.format(file=__file__) for w in PRETRAIN[part]]
    if files.finished_at < 0:
        words = ["resume", str(folder)]
        if not files.has_results:
            words = ["pretrain", *flags, "--eval-every=600", f"--out={folder}"]
        command(words)
    return gflow.load(folder)


def run_grid(part: str, out: Path) -> Iterator[Run]:
    """Success, and the distance to three rewards, converted and amortised."""
    trained, side = pretrained(part, out), int(part.removeprefix("grid"))
    numbers = json.loads((out / f"pretrain-{part}" / "summary.json").read_text())
    for name in ("success_visited", "success_even"):
        yield {"part": part, "what": name, "value": numbers["metrics"][name]}
    flows = trained.outcome_flows
    graph = enumerate_states(flows.env.reward.env)
    table = PairTable(graph, flows, graph.states)
    for name, kind in REWARDS.items():
        target = with_reward(graph.env, kind(side))
        yield {
            "part": part,
            "what": f"converted {name}",
            "value": distance(replace(graph, env=target), table.policy(target)),
        }
        folder = out / f"amortised-{part}-{name}"
        words = ["finetune", str(out / f"pretrain-{part}"), f"--reward={name}", f"--out={folder}"]
        words += [*AMORTISED[part], "--batch-size=64", "--lr=0.005"]
        if RunFolder(folder).finished_at < 0:
            again = RunFolder(folder).has_results
            command(["resume", str(folder)] if again else [*words, "--ema=0.95"])
        found = json.loads((folder / "summary.json").read_text())["metrics"]
        yield {"part": part, "what": f"amortised {name}", "value": found["tv"]}


def distance(graph: StateGraph[Any], policy: Policy) -> float:
    """Exact total variation of what a policy samples from the reward of the graph."""
    return float(total_variation(graph.terminal_distribution(policy), graph.log_target()))


# ---------------------------------------------------------------------- modes


@dataclass(frozen=True)
class Contest:
    """One reward, and what counts as a mode of it.

    Attributes:
        env: The environment.
        modes: B objects to the numbers of the modes that they have found.
    """

    env: DiscreteEnvironment[Tensor]
    modes: Callable[[Tensor], list[int]]


class Counted(LogReward[Tensor]):
    """A reward that counts the different objects that it was asked about."""

    def __init__(self, env: DiscreteEnvironment[Tensor]) -> None:
        self.env, self.reward, self.seen = env, env.reward, set[int]()

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        self.seen.update(self.env.key(states).tolist())
        return self.reward(states)


@cache
def contest(part: str, task: int) -> Contest:
    """A reward of a part by its number."""
    if part == "bits":
        reward = NearModes(plant_modes(40, 60, task), 4, 2.0)
        return Contest(
            bit_sequences(reward),
            lambda x: (reward.distances(x) <= 4).any(0).nonzero().flatten().tolist(),
        )
    if part == "tfbind":
        env = tf_binding(motif_scores(0.37 * task), "left_to_right", beta=10.0)
        value: Any = env.reward
        limit = value.log_reward.quantile(0.995)
        return Contest(env, lambda x: env.key(x[value(x) >= limit]).tolist())
    env = rna_binding(14, (f"RNA{task + 1}",), "left_to_right")
    some = env.reward(wander(env, 5000, torch.Generator().manual_seed(0)))
    best = some.quantile(0.999)
    return Contest(env, lambda x: env.key(x[env.reward(x) >= best]).tolist())


class Even(Policy):
    """Every move is equally likely."""

    backward = "uniform"

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        """(N, A) zeros."""
        return PolicyOutput(self.nothing.expand(len(states), env.num_actions))


def guess(env: DiscreteEnvironment[Tensor]) -> float:
    """Log of the sum of rewards, from random objects."""
    log_r = env.reward(wander(env, 256, torch.Generator().manual_seed(1))).double()
    length, symbols = len(env.feature_sizes), env.feature_sizes[0] - 1
    return float(log_r.logsumexp(0) - math.log(256) + length * math.log(symbols))


def batches(
    method: str, env: Any, flows: OutcomeFlows, table: PairTable | None, seed: int, steps: int
) -> Iterator[tuple[Tensor, Policy | None]]:
    """The objects of each step of a method, and the policy that it has learned."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    config = TrainConfig(
        steps=steps, batch_size=BATCH, lr=2e-3, log_z_lr=0.1, epsilon=0.02, seed=seed
    )
    if method in ("scratch", "amortised"):
        policy = MLPPolicy(env, 128, 2, "uniform", log_flow=int(method == "amortised"))
        objective: Any = TrajectoryBalance(guess(env))
        if method == "amortised":
            with torch.no_grad():
                policy.head.bias[-1] = guess(env)
            objective = Amortised(flows, SequencePosterior(env, 128), draws=1)
        seen: list[Tensor] = []
        callback = lambda trainer, batch, record: seen.append(batch.final_states)  # noqa: E731
        trainer = Trainer(env, policy, objective, config, callbacks=[callback])
        for _ in range(steps):
            trainer.train_step()
            yield seen.pop(), policy
        return
    if method == "converted":
        chosen: Policy = MonteCarlo(flows, env, 16, seed) if table is None else table.policy(env)
        for _ in range(steps):
            yield Sampler(env).forward(chosen, BATCH, generator=generator).final_states, chosen
        return
    sampling = Sampling(Even(), Sampler(env), generator=generator)
    chains, search = sampling.fresh(BATCH), LocalSearch(1, "random", accept="metropolis")
    for _ in range(steps):
        revision = search.revise(sampling, chains)
        yield revision.candidate.final_states, None
        chains = revision.following


def run_modes(
    part: str, task: int, method: str, seed: int, steps: int, flows: OutcomeFlows, table: Any
) -> Run:
    """The number of modes found after so many steps, and what was asked of the reward."""
    made = contest(part, task)
    reward, began = Counted(made.env), time.process_time()
    env = with_reward(made.env, reward)
    found: set[int] = set()
    curve: list[int] = []
    policy: Policy | None = None
    for step, batch in enumerate(batches(method, env, flows, table, seed, steps), 1):
        objects, policy = batch
        found.update(made.modes(objects))
        if step % EVERY == 0:
            curve.append(len(found))
    run: Run = {"part": part, "task": task, "method": method, "seed": seed, "curve": curve}
    run |= {"calls": len(reward.seen), "seconds": time.process_time() - began}
    if table is not None and policy is not None and seed == 0:
        run["tv"] = distance(replace(table.graph, env=made.env), policy)
    return run


def steps_of(part: str, method: str, steps: int) -> int:
    """Fewer draws where each asks for many rewards of RNA."""
    return max(EVERY, steps // 10) if part == "rna" and method == "converted" else steps


def print_modes(part: str, runs: list[Run], before: int) -> None:
    """The table of one part."""
    print(f"\n{part}: modes found, mean over tasks and seeds (pre-training: {before} steps)")
    head = ("method", "steps", "modes", "± seeds", "rewards asked", "TV", "CPU s")
    print(f"{head[0]:<12}" + "".join(f"{word:>15}" for word in head[1:]))
    for method in METHODS:
        mine = [run for run in runs if run["method"] == method]
        if not mine:
            continue
        means = [
            statistics.fmean(r["curve"][-1] for r in mine if r["seed"] == seed)
            for seed in sorted({r["seed"] for r in mine})
        ]
        tv = [r["tv"] for r in mine if "tv" in r]
        cells = (
            str(len(mine[0]["curve"]) * EVERY),
            f"{statistics.fmean(means):.1f}",
            f"{statistics.stdev(means):.1f}" if len(means) > 1 else "-",
            f"{statistics.fmean(r['calls'] for r in mine):.0f}",
            f"{statistics.fmean(tv):.4f}" if tv else "-",
            f"{statistics.fmean(r['seconds'] for r in mine):.1f}",
        )
        print(f"{method:<12}" + "".join(f"{cell:>15}" for cell in cells))


def picture(results: list[Run], path: Path) -> None:
    """Modes against steps, as they are and with the steps of pre-training."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    parts = [part for part in PARTS if any(r["part"] == part and "curve" in r for r in results)]
    figure, axes = plt.subplots(
        len(parts), 2, figsize=(9, 2.6 * len(parts)), squeeze=False, constrained_layout=True
    )
    for row, part in zip(axes, parts, strict=True):
        before = next(int(w.partition("=")[2]) for w in PRETRAIN[part] if w.startswith("--steps"))
        for charged, axis in enumerate(row):
            for method in METHODS:
                mine = [r for r in results if r["part"] == part and r.get("method") == method]
                if not mine:
                    continue
                size = min(len(r["curve"]) for r in mine)
                mean = torch.tensor([r["curve"][:size] for r in mine]).double().mean(0)
                shift = before if charged and method in ("amortised", "converted") else 0
                steps = shift + EVERY * torch.arange(1, size + 1)
                axis.plot(steps, mean, "o" if size == 1 else "-", label=method, markersize=4)
            axis.set(xlabel="steps", ylabel=f"{part}: modes")
            axis.set_title("with pre-training" if charged else "without pre-training", fontsize=9)
    axes[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run what is missing, then print all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--tasks", type=int, default=30, help="landscapes of 8-mers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of each method, for modes")
    parser.add_argument("--out", type=Path, default=Path("runs/outcomes"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "results.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    results: list[Run] = [json.loads(line) for line in lines]

    def keep(run: Run) -> None:
        results.append(run)
        with kept.open("a") as file:
            file.write(json.dumps(run) + "\n")

    for part in args.only:
        if part.startswith("grid"):
            if not any(r["part"] == part and r["what"] == "amortised deceptive" for r in results):
                results[:] = [r for r in results if r["part"] != part]
                for run in run_grid(part, args.out):
                    keep(run)
            continue
        flows, table = pretrained(part, args.out).outcome_flows, None
        numbers = json.loads((args.out / f"pretrain-{part}" / "summary.json").read_text())
        print(f"{part}: success {numbers['metrics']['success_even']:.4f} on outcomes drawn evenly")
        count = {"bits": 1, "rna": 4}.get(part, args.tasks)
        for seed in range(args.seeds):
            for task in range(count):
                for method in args.methods:
                    done = {"part": part, "task": task, "method": method, "seed": seed}
                    if any(all(r.get(k) == v for k, v in done.items()) for r in results):
                        continue
                    if part == "tfbind" and table is None:
                        graph = enumerate_states(contest(part, 0).env)
                        table = PairTable(graph, flows, graph.states[graph.objects])
                    steps = steps_of(part, method, args.steps)
                    keep(run_modes(part, task, method, seed, steps, flows, table))
    for part in args.only:
        mine = [run for run in results if run["part"] == part]
        if part.startswith("grid"):
            print(f"\n{part}")
            for run in mine:
                print(f"  {run['what']:<24}{run['value']:.4f}")
        elif mine:
            before = next(w for w in PRETRAIN[part] if w.startswith("--steps"))
            print_modes(part, mine, int(before.partition("=")[2]))
    if any("curve" in run for run in results):
        picture(results, args.out / "modes.png")
        print(f"\nsee {args.out / 'modes.png'}")


if __name__ == "__main__":
    main()

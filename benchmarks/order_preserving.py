"""Order-preserving objectives against exponents and preferences: Pareto fronts, architectures.

Run:   python benchmarks/order_preserving.py                      about 12 minutes on one core
       python benchmarks/order_preserving.py --only architecture --table FILE --judge COLUMN
Shows: for two or three test functions on a 32 x 32 grid, how 1280 samples of each method cover the
       exact Pareto front (mean and standard deviation over seeds); for cells of neural networks the
       best accuracy after so many queries; whether the published order of methods is found; and a
       picture of both in --out. Every run is kept in results.jsonl there and not repeated.

Settings of Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386: grids
with a network of 3 x 64, batches of 128, 1000 steps at a rate of 0.01 with weight decay 1e-4, one
per cent of random actions, uniform backward policy; preferences from Dirichlet(1.5) with inverse
temperatures from Gamma(16, 1). The architecture search is theirs at a tenth of its length: 64 cells
to begin with, 20 rounds of 10 queries, a new network every 10 rounds; all methods learn from
backward trajectories of the cells seen, half of them from the best tenth.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import DiscreteEnvironment, MLPPolicy, Objective, Sampler, enumerate_states
from gflow.conditions.preferences import DirichletPreferences, PreferenceEncoder
from gflow.conditions.temperatures import GammaBeta
from gflow.envs.architectures.data import (
    ArchitectureTable,
    all_cells,
    cell_index,
    load_architectures,
    synthetic_architectures,
)
from gflow.envs.architectures.env import ArchitectureReward, Architectures
from gflow.envs.grids.landscapes import landscape_grid
from gflow.errors import MissingExtraError
from gflow.memory.pareto import exact_front
from gflow.metrics import gd_plus, hypervolume, igd_plus, pc_entropy
from gflow.objectives import OBJECTIVES, TrajectoryBalance
from gflow.rewards.scalarizations import LogSum, Preferences
from gflow.training.trainer import TrainConfig, Trainer

GRIDS = (
    ("branin", "currin"),
    ("branin", "shubert"),
    ("currin", "shubert"),
    ("branin", "currin", "shubert"),
)
METHODS = {
    "optb": "order-preserving TB",
    "opdb": "order-preserving DB",
    "exponent": "TB, mean score to the 16th",
    "preferences": "TB, told preferences",
}
SAMPLES = 1280
# Key, heading, and whether more is better.
COLUMNS = (
    ("on_front", "on front", True),
    ("gd_plus", "GD+", False),
    ("igd_plus", "IGD+", False),
    ("hypervolume", "HV ratio", True),
    ("pc_entropy", "PC-ent", True),
)
START, ROUNDS, QUERIES, RENEW = 64, 20, 10, 10
SEARCHES = {"optb": "order-preserving TB", "exponent": "TB, accuracy^8", "random": "random cells"}

Run = dict[str, Any]


# ---------------------------------------------------------------------- fronts on grids


@dataclass(frozen=True)
class Contestant:
    """A method set up for one grid."""

    env: DiscreteEnvironment[Tensor]
    objective: Objective
    condition: Any = None
    encoder: Any = None


def contestant(method: str, names: tuple[str, ...]) -> Contestant:
    """A method by name."""
    if method == "exponent":
        return Contestant(landscape_grid(names, scalarization=LogSum(beta=16)), TrajectoryBalance())
    if method != "preferences":
        env = landscape_grid(names)
        return Contestant(env, OBJECTIVES[method].build(env, order="listwise"))
    env = landscape_grid(names, scalarization=Preferences(None))
    encoder = PreferenceEncoder(len(names), beta=True, high=32.0)
    objective = TrajectoryBalance(condition_dim=env.condition_dim, condition_encoder=encoder)
    condition = DirichletPreferences(len(names), 1.5, GammaBeta(16.0))
    return Contestant(env, objective, condition, encoder)


def run_grid(method: str, names: tuple[str, ...], seed: int, steps: int) -> Run:
    """Train one method on one grid and measure its samples."""
    torch.manual_seed(seed)
    made = contestant(method, names)
    env, began = made.env, time.process_time()
    policy = MLPPolicy(
        env, 64, 3, "uniform", made.objective.needs.log_flow, condition_encoder=made.encoder
    )
    config = TrainConfig(
        steps=steps,
        batch_size=128,
        lr=1e-2,
        log_z_lr=1e-2,
        weight_decay=1e-4,
        epsilon=0.01,
        seed=seed,
    )
    Trainer(env, policy, made.objective, config, condition=made.condition).train()
    seconds = time.process_time() - began
    generator = torch.Generator().manual_seed(1000 + seed)
    told = made.condition(SAMPLES, generator) if made.condition else None
    batch = Sampler(env).forward(policy, SAMPLES, condition=told, generator=generator)
    objects, front = exact_front(enumerate_states(env))
    found: Run = {
        "on_front": float(torch.isin(env.key(batch.final_states), env.key(objects)).double().mean())
    }
    assert batch.scores is not None
    found["gd_plus"] = float(gd_plus(batch.scores, front))
    found["igd_plus"] = float(igd_plus(batch.scores, front))
    found["pc_entropy"] = float(pc_entropy(batch.scores, front))
    try:
        found["hypervolume"] = float(hypervolume(batch.scores) / hypervolume(front))
    except MissingExtraError:
        found["hypervolume"] = float("nan")
    found["seconds"] = seconds
    found["scores"] = [[round(v, 4) for v in row] for row in batch.scores.tolist()]
    return found


def print_grid(names: tuple[str, ...], runs: list[Run]) -> None:
    """The table of one grid."""
    front = exact_front(enumerate_states(landscape_grid(names)))[1]
    print(f"\n{' + '.join(names)}: {len(front)} cells on the exact front of 1023")
    print(f"{'method':<28}" + "".join(f"{head:>18}" for _, head, _ in COLUMNS) + f"{'CPU s':>8}")
    for method, title in METHODS.items():
        mine = [run for run in runs if run["method"] == method]
        if mine:
            cells = [f"{mean(mine, key):.4f} ± {spread(mine, key):.4f}" for key, _, _ in COLUMNS]
            print(
                f"{title:<28}"
                + "".join(f"{cell:>18}" for cell in cells)
                + f"{mean(mine, 'seconds'):8.0f}"
            )


def mean(runs: list[Run], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


def spread(runs: list[Run], key: str) -> float:
    return statistics.stdev(run[key] for run in runs) if len(runs) > 1 else 0.0


def verdict(results: list[Run]) -> None:
    """Whether order-preserving balance comes out ahead, as published."""
    print("\nPublished: order-preserving ahead of told preferences at approximating fronts.")
    for key, head, more in COLUMNS:
        wins, ties, count = 0, 0, 0
        for names in GRIDS:
            pair = []
            for method in ("optb", "preferences"):
                runs = [r for r in results if r["task"] == "+".join(names)]
                runs = [r for r in runs if r["method"] == method]
                pair.append((mean(runs, key), spread(runs, key)) if runs else None)
            if pair[0] is None or pair[1] is None or pair[0][0] != pair[0][0]:
                continue
            count += 1
            gain = (pair[0][0] - pair[1][0]) * (1 if more else -1)
            even = abs(gain) <= pair[0][1] + pair[1][1]
            wins, ties = wins + (gain > 0 and not even), ties + even
        print(f"  {head:<9} ahead on {wins}, within the spread on {ties}, of {count} grids")
    volumes = [run["hypervolume"] for run in results if "hypervolume" in run]
    full = sum(volume > 0.999 for volume in volumes)
    print(
        f"{SAMPLES} samples of 1023 cells often hold a whole front, whoever takes them: "
        f"{full} of {len(volumes)}\nruns have an HV ratio above 0.999, where IGD+ and HV cannot "
        f"tell methods apart. The share of\nsamples on the front and GD+ can."
    )


# ---------------------------------------------------------------------- architectures


def run_search(
    method: str, table: ArchitectureTable, column: str, judge: str, seed: int, scale: float
) -> Run:
    """Search for a good cell; the best accuracy by `judge` among those queried so far."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    env = Architectures(
        ArchitectureReward(table, column, beta=8.0 if method == "exponent" else 1.0)
    )
    cells, judged = all_cells(), table.column(judge)
    seen = torch.randperm(len(cells), generator=generator)[:START]
    curve, policy, objective, optimizer = [float(judged[seen].max())], None, None, None
    began = time.process_time()
    for turn in range(ROUNDS):
        fresh: Tensor = torch.zeros(0, dtype=torch.int64)
        if method != "random":
            if policy is None or turn % RENEW == 0:
                policy = MLPPolicy(env, 256, 2, "uniform")
                objective = OBJECTIVES["optb" if method == "optb" else "tb"].build(env)
                groups = [{"params": policy.parameters()}]
                if list(objective.parameters()):
                    groups.append({"params": objective.parameters(), "lr": 0.1})  # type: ignore[dict-item]
                optimizer = torch.optim.Adam(groups, lr=1e-3)
            assert objective is not None
            assert optimizer is not None
            for _ in range(round((500 if turn % RENEW == 0 else 50) * scale)):
                batch = learn_from(env, policy, cells, seen, table.column(column), generator)
                optimizer.zero_grad()
                objective(objective.evaluate(env, policy, batch)).backward()
                optimizer.step()
            batch = Sampler(env).forward(policy, 10 * QUERIES, generator=generator)
            fresh = cell_index(batch.final_states)
        spare = torch.randperm(len(cells), generator=generator)[: 4 * QUERIES]
        new = [i for i in dict.fromkeys([*fresh.tolist(), *spare.tolist()]) if i not in seen]
        seen = torch.cat([seen, torch.tensor(new[:QUERIES])])
        curve.append(float(judged[seen].max()))
    return {
        "curve": curve,
        "final": curve[-1],
        "mean_queried": float(judged[seen[START:]].mean()),
        "seconds": time.process_time() - began,
    }


def learn_from(
    env: DiscreteEnvironment[Tensor],
    policy: MLPPolicy,
    cells: Tensor,
    seen: Tensor,
    accuracy: Tensor,
    generator: torch.Generator,
) -> Any:
    """64 backward trajectories of cells that were queried, half of them of the best tenth."""
    best = seen[accuracy[seen].argsort(descending=True)][: max(2, len(seen) // 10)]
    top = best[torch.randint(len(best), (32,), generator=generator)]
    rest = seen[torch.randint(len(seen), (32,), generator=generator)]
    return Sampler(env).backward(policy, cells[torch.cat([top, rest])], generator=generator)


def print_search(runs: list[Run], column: str, judge: str, best: float) -> None:
    """The table of the search."""
    at = [0, 5, 10, 20]
    print(f"\narchitectures: rewarded by {column}, judged by {judge} (best of all {best:.2f})")
    heads = [f"after {START + QUERIES * t}" for t in at]
    print(f"{'method':<28}" + "".join(f"{head:>16}" for head in [*heads, "mean queried"]))
    for method, title in SEARCHES.items():
        mine = [run for run in runs if run["method"] == method]
        if not mine:
            continue
        cells = []
        for t in at:
            values = [run["curve"][t] for run in mine]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.fmean(values):.2f} ± {deviation:.2f}")
        cells.append(f"{mean(mine, 'mean_queried'):.2f} ± {spread(mine, 'mean_queried'):.2f}")
        print(f"{title:<28}" + "".join(f"{cell:>16}" for cell in cells))
    found = []
    for turn in at[1:]:
        ours, theirs = (
            [run["curve"][turn] for run in runs if run["method"] == method]
            for method in ("optb", "exponent")
        )
        if not ours or not theirs:
            return
        gap = statistics.fmean(ours) - statistics.fmean(theirs)
        noise = sum(statistics.stdev(v) if len(v) > 1 else 0.0 for v in (ours, theirs))
        word = "level" if abs(gap) <= noise else "ahead" if gap > 0 else "behind"
        found.append(f"{word} after {START + QUERIES * turn} queries")
    print(f"Published: order-preserving ahead of exponents. Here it is {', '.join(found)}.")
    print(
        "(Level: within the sum of the deviations. Once the best cells are found, queries are spent"
    )
    print("on cells not seen before, however bad: the mean of what is queried says little.)")


# ---------------------------------------------------------------------- the script


def picture(results: list[Run], path: Path) -> None:
    """Samples over the exact fronts of the pairs, and the curves of the search."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pairs = [n for n in GRIDS if len(n) == 2 and any(r["task"] == "+".join(n) for r in results)]
    methods = [m for m in METHODS if any(r["method"] == m and "scores" in r for r in results)]
    searches = [r for r in results if r["task"].startswith("architecture")]
    rows, columns = len(pairs) + bool(searches), max(1, len(methods))
    figure = plt.figure(figsize=(3.4 * columns, 3.1 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    for row, names in enumerate(pairs):
        front = exact_front(enumerate_states(landscape_grid(names)))[1]
        for column, method in enumerate(methods):
            axes = figure.add_subplot(grid[row, column])
            mine = [r for r in results if r["task"] == "+".join(names) and r["method"] == method]
            if mine:
                x, y = zip(*mine[0]["scores"], strict=True)
                axes.scatter(x, y, s=9, alpha=0.15, lw=0)
            axes.scatter(front[:, 0], front[:, 1], s=16, facecolors="none", edgecolors="k", lw=0.6)
            axes.set(xlim=(-0.02, 1.04), ylim=(-0.02, 1.04), xlabel=names[0], ylabel=names[1])
            if row == 0:
                axes.set_title(METHODS[method], fontsize=10)
    if searches:
        axes = figure.add_subplot(grid[len(pairs), :])
        queried = [START + QUERIES * t for t in range(ROUNDS + 1)]
        for method, title in SEARCHES.items():
            curves = torch.tensor([r["curve"] for r in searches if r["method"] == method])
            if len(curves):
                (line,) = axes.plot(queried, curves.mean(0), label=title)
                low, high = curves.amin(0), curves.amax(0)
                axes.fill_between(queried, low, high, alpha=0.15, color=line.get_color(), lw=0)
        axes.set(xlabel="cells queried", ylabel="best accuracy so far")
        axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def jobs(args: argparse.Namespace, table: ArchitectureTable) -> Iterator[tuple[Run, Any]]:
    """Name and call of every run that was asked for."""
    for seed in range(args.seeds):
        for names in GRIDS if args.only in ("all", "grids") else ():
            for method in args.methods:
                key = {"task": "+".join(names), "method": method, "seed": seed, "steps": args.steps}
                yield key, (run_grid, method, names, seed, args.steps)
        for method in SEARCHES if args.only in ("all", "architecture") else ():
            task = f"architecture {args.column}, {args.judge}"
            key = {"task": task, "method": method, "seed": seed, "steps": args.scale}
            yield key, (run_search, method, table, args.column, args.judge, seed, args.scale)


def main() -> None:
    """Run what is missing, print tables, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["all", "grids", "architecture"], default="all")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["optb", "exponent", "preferences"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="on grids")
    parser.add_argument("--scale", type=float, default=1.0, help="of steps per search round")
    parser.add_argument("--table", default="synthetic", help="accuracies of all cells, a file")
    parser.add_argument("--column", default="", help="accuracy that is rewarded")
    parser.add_argument("--judge", default="", help="accuracy that is reported")
    parser.add_argument("--out", type=Path, default=Path("runs/order_preserving"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    made_up = args.table == "synthetic"
    table = synthetic_architectures() if made_up else load_architectures(args.table)
    args.column, args.judge = args.column or table.columns[0], args.judge or table.columns[-1]
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "results.jsonl"
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    results = []
    for key, (function, *given) in jobs(args, table):
        run = next((r for r in known if all(r[k] == v for k, v in key.items())), None)
        if run is None:
            run = key | function(*given)
            with log.open("a") as file:
                file.write(json.dumps(run) + "\n")
            print(f"{key['task']}, {key['method']}, seed {key['seed']}: done", flush=True)
        results.append(run)
    for names in GRIDS:
        runs = [run for run in results if run["task"] == "+".join(names)]
        if runs:
            print_grid(names, runs)
    if args.only != "architecture":
        verdict(results)
    searches = [run for run in results if run["task"].startswith("architecture")]
    if searches:
        print_search(searches, args.column, args.judge, float(table.column(args.judge).max()))
    picture(results, args.out / "order_preserving.png")
    print(f"\npicture in {args.out / 'order_preserving.png'}")


if __name__ == "__main__":
    main()

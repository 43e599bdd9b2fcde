"""Compare backward policies under detailed, trajectory and sub-trajectory balance on a hypergrid.

Run:   python benchmarks/backward_policies.py
       python benchmarks/backward_policies.py --steps 200 --seeds 2    quickly
Takes: seven minutes on one core.
Shows: for each objective and backward policy the exact total variation between the trained sampler
       and its target at the end, mean and standard deviation over seeds; and in a picture how it
       falls while training.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from gflow import MLPPolicy, enumerate_states
from gflow.backward.choice import own_backward, with_backward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import MissingExtraError
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES
from gflow.training.trainer import TrainConfig, Trainer

KINDS = ["uniform", "maxent", "learned", "pessimistic", "tlm"]
EXTRA = ["separate", "learned_maxent"]
NAMES = ["db", "tb", "subtb"]
COLOURS = {
    "uniform": "#888888",
    "maxent": "#222222",
    "learned": "#1f77b4",
    "pessimistic": "#d62728",
    "tlm": "#2ca02c",
    "separate": "#9467bd",
    "learned_maxent": "#e6a100",
}


def main() -> None:
    """Parse the command line, train everything, print the table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*KINDS, *EXTRA], default=KINDS)
    parser.add_argument("--objectives", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--side", type=int, default=8)
    parser.add_argument("--r0", type=float, default=0.01, help="reward between the corners")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--points", type=int, default=15, help="evaluations per run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("runs") / "backward_policies")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[list[float]]]] = {}
    began = time.monotonic()
    for name in args.objectives:
        found[name] = {}
        for kind in args.only:
            runs = [train(name, kind, seed, args) for seed in range(args.seeds)]
            found[name][kind] = runs
            print(f"{name:6} {kind:15} {summary(runs)}", flush=True)
    text = table(found, args)
    print(f"\n{text}\n\n{time.monotonic() - began:.0f} s")
    (args.out / "table.md").write_text(text + "\n")
    (args.out / "curves.json").write_text(json.dumps({"side": args.side, "tv": found}))
    picture(found, args, args.out / "backward_policies.png")
    print(f"see {args.out}")


def train(name: str, kind: Any, seed: int, args: argparse.Namespace) -> list[float]:
    """Exact total variation before training and after each share of the steps."""
    env = HyperGrid(2, args.side, Corners(args.side, args.r0))
    graph = enumerate_states(env)
    target = graph.log_target()
    torch.manual_seed(seed)
    objective = OBJECTIVES[name].build(env)
    policy, learners = with_backward(
        kind,
        env,
        MLPPolicy(env, args.width, backward=own_backward(kind), log_flow=objective.needs.log_flow),
    )
    config = TrainConfig(batch_size=16, lr=1e-3, log_z_lr=0.1, seed=seed)
    trainer = Trainer(env, policy, objective, config, learners=learners)
    values = [float(total_variation(graph.terminal_distribution(policy), target))]
    for point in range(args.points):
        trainer.train(args.steps * (point + 1) // args.points - trainer.step)
        values.append(float(total_variation(graph.terminal_distribution(policy), target)))
    return values


def summary(runs: list[list[float]]) -> str:
    """Mean and standard deviation of the last values."""
    last = [run[-1] for run in runs]
    spread = statistics.stdev(last) if len(last) > 1 else 0.0
    return f"{statistics.mean(last):.3f} ± {spread:.3f}"


def table(found: dict[str, dict[str, list[list[float]]]], args: argparse.Namespace) -> str:
    """A table in Markdown, the smallest mean of each objective in bold."""
    lines = [
        f"Total variation on the {args.side}x{args.side} grid, R0 = {args.r0:g}, after "
        f"{args.steps} steps of 16 trajectories; mean ± standard deviation of {args.seeds} seeds.",
        "",
        "| backward policy | " + " | ".join(found) + " |",
        "| --- |" + " --- |" * len(found),
    ]
    best = {
        name: min(rows, key=lambda k: statistics.mean(r[-1] for r in rows[k]))
        for name, rows in found.items()
    }
    for kind in args.only:
        cells = [summary(rows[kind]) for rows in found.values()]
        cells = [
            f"**{cell}**" if best[name] == kind else cell
            for name, cell in zip(found, cells, strict=True)
        ]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(
    found: dict[str, dict[str, list[list[float]]]], args: argparse.Namespace, path: Path
) -> None:
    """One panel per objective: mean over seeds, and the band of one standard deviation."""
    try:
        import matplotlib as mpl
    except ImportError:
        sys.exit(f"no picture: {MissingExtraError('matplotlib', 'plot', 'One')}")
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    steps = [args.steps * k // args.points for k in range(args.points + 1)]
    figure, axes = plt.subplots(
        1, len(found), figsize=(4.2 * len(found), 3.6), sharey=True, squeeze=False
    )
    for axis, (name, rows) in zip(axes[0], found.items(), strict=True):
        for kind, runs in rows.items():
            values = torch.tensor(runs)
            mean = values.mean(0)
            spread = values.std(0) if len(runs) > 1 else torch.zeros_like(mean)
            low = (mean - spread).clamp(min=1e-3)
            axis.plot(steps, mean, color=COLOURS[kind], label=kind, linewidth=1.6)
            axis.fill_between(steps, low, mean + spread, color=COLOURS[kind], alpha=0.15, lw=0)
        axis.set_title(name.upper())
        axis.set_xlabel("gradient steps")
        axis.set_yscale("log")
        axis.grid(alpha=0.3, which="both", linewidth=0.5)
    axes[0][0].set_ylabel("total variation to the target")
    axes[0][0].legend(frameon=False, fontsize=9)
    figure.suptitle(
        f"{args.side}x{args.side} grid, R0 = {args.r0:g}: mean and standard deviation of "
        f"{args.seeds} seeds",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()

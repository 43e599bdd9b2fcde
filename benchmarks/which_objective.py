"""Which objective for what: objectives, behaviours and backward policies at equal reward calls.

Run:   python benchmarks/which_objective.py                          the star, 3 seeds
       python benchmarks/which_objective.py --design product         every triple that can train
       python benchmarks/which_objective.py --seconds 1800           some of it; run again to go on
       python benchmarks/which_objective.py --page docs/topics/which_objective.md
Takes: the star 1,400 runs of 2 to 60 CPU seconds, the product some twelve times as many.
Shows: on six environments whose exact law is known how far each sampler is from it (total
       variation), and on three large ones the mean reward of its samples and the best that it saw,
       after equal numbers of reward calls, and in CPU seconds. Every run is a line of runs.jsonl
       in --out and is not repeated; tables and pictures are made of what is there.

A star varies one thing at a time: every objective with fresh trajectories, under the uniform and
under a learned backward policy; every behaviour with tb, subtb and db; every backward policy with
these. What does not go together is left out. Objectives whose solution is not R / Z (those of
orders, posteriors, games and chance) are not compared by their distance from it.

A reward call is one object, or one state where an objective reads energies of unfinished objects;
equal ones in a batch count once. Nothing is tuned for any method: the same network, rates, batch
and exploration for all.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gflow.backward.choice import BACKWARD_POLICIES
from gflow.errors import GFlowError
from gflow.objectives import PROPORTIONAL
from gflow.runs.build import build_context
from gflow.tasks.measure import evaluate_run
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS
from gflow.tasks.task import Context
from gflow.training.trainer import TrainConfig

EXACT: dict[str, tuple[str, dict[str, Any]]] = {
    "grid 8x8": ("hypergrid", {"side": 8, "width": 64}),
    "bits 8": ("bits", {"bits": 8, "word": 1, "modes": 4, "order": "any", "width": 64}),
    "sets 10 of 5": ("sets", {"width": 64}),
    "bags": ("bags", {"task": "published_small", "width": 64}),
    "spins 3x3": ("spins", {"hidden": 64}),
    "dags 4": ("dags", {"variables": 4, "edges": 4.0, "width": 64}),
}
"""Small environments: name of the task and its options."""

LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "grid 16^4": ("hypergrid", {"dim": 4, "side": 16, "width": 64}),
    "bits 64": ("bits", {"bits": 64, "word": 8, "modes": 16, "order": "any", "width": 64}),
    "molecules": ("molecules", {"workers": 0}),
}
"""Large ones, which only samples are judged of."""

SHARE_OF = {"molecules": 0.25}
"""What part of the reward calls an environment gets whose calls take long."""

ALSO = ("led", "gafn")
"""Objectives beside the self-contained ones that end in R / Z."""

SAME = ("edb", "sgfn", "naive_intended", "naive_realised")
"""Those for chance, which without it are detailed balance."""

BEHAVIOURS: dict[str, dict[str, Any]] = {
    "on_policy": {},
    "branching": {},
    "incomplete": {},
    "local_search": {},
    "refreshed": {"initial": 512, "added": 256, "every": 16, "capacity": 4096},
    "searchers": {"searchers_workers": 0},
}
"""Behaviours and their settings; memories that fit into the budget."""

CENTRES = ("tb", "subtb", "db")
"""Around which behaviours and backward policies are varied."""

KEPT = (
    "tv",
    "mean_reward",
    "mean_log_reward",
    "log_z_error",
    "modes_in_sample",
    "mode_regions",
)
"""Numbers of an evaluation that are kept."""

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the reward calls, at which samplers are judged."""


@dataclass(frozen=True)
class Run:
    """One training, by the names of its parts."""

    environment: str
    objective: str
    behaviour: str
    backward: str
    seed: int


def objectives() -> list[str]:
    """Names of the objectives compared."""
    names = [name for name in PROPORTIONAL if name not in SAME]
    return sorted([*names, *ALSO])


def runs(design: str, environments: list[str], seeds: int) -> Iterator[Run]:
    """All runs, one seed after the other, so that what is done first is even."""
    triples = []
    for objective in objectives():
        for behaviour in BEHAVIOURS:
            for backward in BACKWARD_POLICIES:
                plain = behaviour == "on_policy" and backward in ("uniform", "learned")
                centre = objective in CENTRES and (
                    behaviour == "on_policy" or backward == "uniform"
                )
                if design == "product" or plain or centre:
                    triples.append((objective, behaviour, backward))
    for seed in range(seeds):
        for triple in triples:
            for environment in environments:
                yield Run(environment, *triple, seed)


class Calls:
    """Counts the states whose reward an environment is asked for."""

    def __init__(self, env: Any) -> None:
        self.number, self._checked = 0, env._checked
        env._checked = self._counted  # all rewards pass there, those of unfinished objects too

    def _counted(self, value: Any, *rest: Any) -> Any:
        self.number += len(value)
        return self._checked(value, *rest)


def settings(run: Run, lr: float, batch_size: int) -> RunConfig:
    """What a run is trained with.

    Raises:
        GFlowError: If its parts do not go together.
    """
    name, options = (EXACT | LARGE)[run.environment]
    parts = {"objective": run.objective, "behaviour": run.behaviour, "backward": run.backward}
    flags = {**options, **parts, **BEHAVIOURS[run.behaviour]}
    config = RunConfig.from_flags(TASKS[name], flags, "gflow list")
    train = TrainConfig(
        batch_size=batch_size, lr=lr, log_z_lr=0.1, epsilon=0.05, seed=run.seed, grad_clip=10.0
    )
    return replace(config, train=train)


def trained(run: Run, calls: int, lr: float, batch_size: int) -> dict[str, Any]:
    """Train one and judge it at `SHARES` of the calls; or say why it cannot be."""
    torch.manual_seed(run.seed)
    try:
        config = settings(run, lr, batch_size)
        context = build_context(config)
    except GFlowError as error:
        return asdict(run) | {"refused": str(error)}
    trainer, counter = context.trainer, Calls(context.trainer.env)
    trainer._sharing = None  # rewards that are looked up in a list of all states are not asked for
    curve, seconds = [], 0.0
    for share in SHARES:
        began = time.process_time()
        while counter.number < share * calls:
            trainer.train(16)
        seconds, spent = seconds + time.process_time() - began, counter.number
        curve.append({"calls": spent, "seconds": round(seconds, 2), **judged(context)})
        counter.number = spent  # judging is free
    config.task.close(context.env)
    return asdict(run) | {"budget": calls, "curve": curve}


def judged(context: Context) -> dict[str, float]:
    """The numbers of an evaluation that the page shows."""
    found = evaluate_run(context, 256)
    kept = (
        "tv",
        "mean_reward",
        "mean_log_reward",
        "log_z_error",
        "modes_in_sample",
        "mode_regions",
    )
    numbers = {name: found[name] for name in kept if name in found}
    best = context.best
    if best is not None and len(best):
        numbers["best_log_reward"] = float(best.log_reward[: min(10, len(best))].double().mean())
    return {name: round(value, 5) for name, value in numbers.items()}


def done(path: Path) -> dict[Run, dict[str, Any]]:
    """The runs that are there; a line that was cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[Run(*(row[name] for name in Run.__dataclass_fields__))] = row
    return found


def main() -> None:
    """Train what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [*EXACT, *LARGE]
    parser.add_argument("--design", choices=("star", "product"), default="star")
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="ENVIRONMENT")
    parser.add_argument("--calls", type=int, default=8000, help="reward calls of a run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--out", type=Path, default=Path("runs") / "which_objective")
    parser.add_argument("--page", type=Path, help="where to write the page, beside its pictures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    file, began = args.out / "runs.jsonl", time.monotonic()
    known = done(file)
    wanted = list(runs(args.design, args.only, args.seeds))
    for number, run in enumerate(wanted):
        if run in known:
            continue
        if time.monotonic() - began > args.seconds:
            print(f"{len(wanted) - number} of {len(wanted)} runs are left; run it again to go on")
            break
        share = SHARE_OF.get(run.environment, 1.0)
        known[run] = trained(run, round(share * args.calls), args.lr, args.batch_size)
        with file.open("a") as out:
            out.write(json.dumps(known[run]) + "\n")
        print(f"{number + 1}/{len(wanted)} {line(known[run])}", flush=True)
    rows = [row for row in known.values() if "curve" in row]
    if args.page is not None and rows:
        from which_objective_page import write

        write(rows, args.page, args.calls)
        print(f"see {args.page}")


def line(row: dict[str, Any]) -> str:
    """A run in a line."""
    name = f"{row['environment']:13} {row['objective']:8} {row['behaviour']:13} {row['backward']}"
    if "refused" in row:
        return f"{name}: {row['refused'].splitlines()[0][:90]}"
    last = row["curve"][-1]
    what = "tv" if "tv" in last else "mean_log_reward"
    return f"{name}: {what} {last[what]:.3f}, {last['calls']} calls, {last['seconds']:.1f} s"


if __name__ == "__main__":
    main()

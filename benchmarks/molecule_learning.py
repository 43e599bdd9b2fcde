"""What a sampler of molecules has learned after so many molecules, and after so much CPU time.

Run:   python benchmarks/molecule_learning.py --seh FILE [--fragments FILE] [--seeds 3]
       python benchmarks/molecule_learning.py --seh FILE --reactions --seconds 1200 --seeds 1
Takes: for each line as long as 20,000 molecules do: one to four minutes of one core each; what is
       in --out is not done again.
Shows: the sEH task of the fragment papers (up to nine fragments, batches of 64): after 1,000,
       2,000, 5,000, 10,000 and 20,000 molecules the mean reward of the latest 1,000 of them, the
       mean of the hundred best, modes (Tanimoto below 0.7) with scores above 7 and 8, distinct
       scaffolds of the former, and CPU seconds of the process. Rewards are scores over eight,
       which are not clipped; molecules are drawn in proportion to reward^beta. Mean and standard
       deviation over seeds.

`seh` is the network of the first GFlowNet paper (Bengio et al. 2021, arXiv 2106.04399). Its
weights are not part of this library, see `gflow.envs.molecules.proxy`; nor are its building
blocks, which --fragments names: without it fragments are the library's own. With --reactions
molecules are built by reactions. Settings by which learning is compared (--settings): `usual`, what
`gflow train molecules` does (vargrad, rate 5e-3, three layers of 64); `slow` and `fast`, other
rates; `wide`, four layers of 128; `averaged`, half of the batches by averaged weights; `replay`,
half of each batch from memory; `tb`, `tb_slow` and `tb_wide`, the same by trajectory balance, which
learns log Z; `peer`, objective, rates and size of the reference (recursionpharma/gflownet).
"""

import argparse
import json
import statistics
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gflow.envs.molecules.modes import Modes
from gflow.runs.build import build_context
from gflow.tasks.measure import evaluate_run
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS
from gflow.trajectories import Trajectories

MARKS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
SETTINGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "slow": {"lr": 2e-3},
    "fast": {"lr": 1e-2},
    "wide": {"width": 128, "depth": 4},
    "averaged": {"ema": 0.95, "ema_sampling": 0.5},
    "replay": {"replay": 6_400, "replay_fraction": 0.5},
    "tb": {"objective": "tb"},
    "tb_slow": {"objective": "tb", "lr": 2e-3},
    "tb_wide": {"objective": "tb", "width": 128, "depth": 4},
    "peer": {
        "objective": "tb",
        "lr": 1e-4,
        "log_z_lr": 1e-3,
        "lr_half_life": 20_000,
        "width": 128,
        "depth": 4,
    },
}
SIZE = {"max_fragments": 9, "min_fragments": 2}


@dataclass(frozen=True)
class Row:
    """What there was after so many molecules."""

    settings: str
    beta: float
    seed: int
    molecules: int
    seconds: float
    mean: float
    top100: float
    modes_7: int
    modes_8: int
    scaffolds: int


class Watch:
    """A callback that keeps score.

    Args:
        env: The environment.
        latest: Molecules whose mean reward is told.
    """

    def __init__(self, env: Any, latest: int = 1_000) -> None:
        self.env, self.began = env, time.process_time()
        self.high, self.highest = Modes(7 / 8, 0.7), Modes(1.0, 0.7)
        self.latest: deque[float] = deque(maxlen=latest)
        self.best: dict[str, float] = {}
        self.found: list[dict[str, Any]] = []

    def __call__(self, trainer: Any, batch: Trajectories[Any], record: Any) -> None:
        """See a batch, and note what there is at a mark."""
        records = self.env.records(batch.final_states)
        smiles, rewards = [r.smiles for r in records], [r.value for r in records]
        before = self.high.drawn
        self.high.see(smiles, rewards)
        self.highest.see(smiles, rewards)
        self.latest.extend(rewards)
        self.best.update(zip(smiles, rewards, strict=True))
        if len(self.best) > 5_000:
            self.best = dict(sorted(self.best.items(), key=lambda item: -item[1])[:100])
        if any(before < mark <= self.high.drawn for mark in MARKS):
            self.found.append(self.numbers())

    def numbers(self) -> dict[str, Any]:
        """All that a row says of now."""
        top = sorted(self.best.values(), reverse=True)[:100]
        return {
            "molecules": self.high.drawn,
            "seconds": round(time.process_time() - self.began, 1),
            "mean": round(statistics.mean(self.latest), 4),
            "top100": round(statistics.mean(top), 4),
            "modes_7": len(self.high.modes),
            "modes_8": len(self.highest.modes),
            "scaffolds": len(self.high.scaffolds),
        }


def run(args: argparse.Namespace, settings: str, beta: float, seed: int) -> list[Row]:
    """Train one sampler."""
    torch.manual_seed(seed)
    name = "reactions" if args.reactions else "molecules"
    flags = {"properties": (f"seh:{args.seh}",), "beta": beta, "workers": 0, "batch_size": 64}
    if not args.reactions:
        flags |= {**SIZE, "fragments": args.fragments}
    flags |= {"seed": seed, **SETTINGS[settings]}
    context = build_context(RunConfig.from_flags(TASKS[name], flags, "gflow train"))
    trainer, watch = context.trainer, Watch(context.env)
    trainer.callbacks = tuple(seer for seer in (context.best, watch) if seer is not None)
    while watch.high.drawn < args.molecules:
        if time.process_time() - watch.began > args.seconds:
            watch.found.append(watch.numbers())
            break
        trainer.train(1)
    if args.reactions:
        numbers = evaluate_run(context, 256)
        names = ("valid", "unique", "mean_reactions", "templates_used", "top100_diversity")
        print("  ".join(f"{name} {numbers[name]:.3f}" for name in names), flush=True)
    context.task.close(context.env)
    return [Row(settings, beta, seed, **found) for found in watch.found]


def file_name(args: argparse.Namespace, settings: str, beta: float, seed: int) -> str:
    """Where the rows of a sampler are kept: different for whatever changes them."""
    kind = "reactions-" if args.reactions else "" if args.fragments else "own-"
    limit = "" if args.seconds == float("inf") else f"-{args.seconds:g}s"
    return f"{kind}{settings}-{beta:g}-{seed}-{args.molecules}{limit}.json"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seh", required=True, help="weights of the sEH network")
    parser.add_argument("--fragments", default="", help="building blocks")
    parser.add_argument("--reactions", action="store_true", help="build by reactions")
    parser.add_argument("--beta", type=float, nargs="+", default=[32.0, 96.0])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["usual"])
    parser.add_argument("--molecules", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="CPU time of a run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/molecule_learning"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for beta in args.beta:
        for settings in args.settings:
            for seed in range(args.seeds):
                file = args.out / file_name(args, settings, beta, seed)
                if not file.exists():
                    made = [asdict(row) for row in run(args, settings, beta, seed)]
                    file.write_text(json.dumps(made, indent=1))
                rows += [Row(**row) for row in json.loads(file.read_text())]
            print(table([r for r in rows if (r.settings, r.beta) == (settings, beta)]), flush=True)


def table(rows: list[Row]) -> str:
    """Means and standard deviations over seeds, a line for each mark."""
    lines = [f"{rows[0].settings}, beta {rows[0].beta:g}, {len({r.seed for r in rows})} seeds"]
    names = ("molecules", "seconds", "mean", "top100", "modes_7", "modes_8", "scaffolds")
    lines.append("".join(f"{name:>20}" for name in names))
    places = max(sum(r.seed == seed for r in rows) for seed in {r.seed for r in rows})
    by_seed = [[r for r in rows if r.seed == seed] for seed in sorted({r.seed for r in rows})]
    for place in range(places):
        same = [mine[place] for mine in by_seed if place < len(mine)]
        lines.append("".join(f"{told([getattr(r, n) for r in same]):>20}" for n in names))
    return "\n".join(lines)


def told(values: list[float]) -> str:
    """Mean and standard deviation."""
    mean = statistics.mean(values)
    form = ".3f" if abs(mean) < 10 and any(v % 1 for v in values) else ".0f"
    spread = f" +- {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{mean:{form}}{spread}"


if __name__ == "__main__":
    main()

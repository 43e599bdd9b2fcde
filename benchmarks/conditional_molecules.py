"""Molecules asked for by ranges that were never trained on, and molecules on a fixed scaffold.

Run:   python benchmarks/conditional_molecules.py [--steps 1800] [--minutes 0] [--out runs/asked]
       python benchmarks/conditional_molecules.py --of core [--steps 200] [--out runs/core]
Takes: about 12 minutes of one core, and 2 with --of core; what was stopped goes on where it was.
Shows: the share of 500 molecules inside each of five asked ranges (logP, weight), with their
       distinct share and mean QED, beside that of the same sampler when nothing is asked;
       and of fifty distinct molecules on an aminoquinazoline, how many RDKit finds it in, with
       their rewards before and after training, and how much they differ.
"""

import argparse
import json
from pathlib import Path

import torch

import gflow
from gflow.cli.main import main as command
from gflow.conditions import RangeConditions
from gflow.envs.molecules.drawn import properties_of
from gflow.envs.molecules.report import similarities
from gflow.runs.trained import Trained

ASKED = (
    ("logP 1..2", "weight 220..270"),
    ("logP 2..3", "weight 270..320"),
    ("logP 3..4", "weight 300..350"),
    ("logP 0.5..1.2", "weight ..260"),
    ("logP 2.2..2.8", "weight 330..400"),
)
"""Ranges are drawn from a continuum in training, so that none of these was seen."""

SAMPLES = 500


CORE, DESIGNS = "*Nc1ncnc2cc(*)ccc12", 50

FLAGS = {
    "ranges": [
        *("--condition", "ranges", "--beta", "8", "--lr-half-life", "600"),
        *("--condition-of", "logP 0..5 width 0.25", "weight 200..400 width 12"),
        *("--eval-every", "250", "--eval-samples", "200"),
    ],
    "core": ["--core", CORE, "--beta", "32", "--eval-samples", "200"],
}


def train(of: str, out: Path, steps: int, minutes: float, more: list[str]) -> Trained:
    """The sampler, trained from where it was."""
    if (out / "checkpoints" / "last.pt").exists():
        code = command(["resume", str(out), "--steps", str(steps)])
    else:
        words = ["train", "molecules", *FLAGS[of], "--steps", str(steps), "--workers", "0"]
        words += ["--minutes", str(minutes), "--out", str(out), *more]
        code = command(words)
    if code not in (0, 130):
        raise SystemExit(code)
    return gflow.load(out)


def hits(trained: Trained, asked: tuple[str, ...], told: bool) -> tuple[float, float, float]:
    """Shares of a sample inside the ranges and of distinct molecules, and the mean QED.

    Args:
        trained: The sampler.
        asked: The ranges.
        told: Whether the sampler is told them, or nothing.
    """
    condition = trained.ranges(*asked)
    batch = trained.trajectories(SAMPLES, 1, condition if told else trained.ranges())
    conditions = trained.context.conditions
    assert conditions is not None
    assert isinstance(conditions.conditioning, RangeConditions)
    wanted = condition.expand(SAMPLES, -1)
    inside = conditions.conditioning.inside(trained.env, batch.final_states, wanted)
    smiles = trained.context.env.smiles(batch.final_states)
    qed = torch.tensor(properties_of(smiles)["QED"]).mean()
    return float(inside.double().mean()), len(set(smiles)) / SAMPLES, float(qed)


def ranges(trained: Trained) -> None:
    """The table of hits."""
    print("| asked | inside | when nothing is asked | distinct | mean QED |")
    print("| --- | --- | --- | --- | --- |")
    for asked in ASKED:
        share, distinct, qed = hits(trained, asked, True)
        before = hits(trained, asked, False)[0]
        print(f"| {', '.join(asked)} | {share:.2f} | {before:.2f} | {distinct:.2f} | {qed:.2f} |")


def designs(trained: Trained, before: dict[str, float]) -> None:
    """What is true of fifty distinct molecules with the core."""
    from rdkit import Chem

    rows = trained.table(20 * DESIGNS)
    distinct = {row["object"]: row["reward"] for row in rows}
    chosen = list(distinct)[:DESIGNS]
    core = Chem.MolFromSmarts(CORE)
    held = sum(Chem.MolFromSmiles(text).HasSubstructMatch(core) for text in chosen)
    alike = similarities(chosen)
    apart = 1 - float((alike.sum() - len(chosen)) / (len(chosen) * (len(chosen) - 1)))
    reward = sum(distinct[text] for text in chosen) / len(chosen)
    print(f"{held} of {len(chosen)} distinct molecules hold {CORE}")
    print(f"distinct share of {len(rows)} samples: {len(distinct) / len(rows):.2f}")
    print(f"mean reward {reward:.3f}, untrained {before['mean_reward']:.3f}; diversity {apart:.2f}")
    print("\n".join(chosen[:5]))


def main() -> None:
    """Train, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=tuple(FLAGS), default="ranges")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--out", type=Path)
    args, more = parser.parse_known_args()
    steps = args.steps or {"ranges": 1800, "core": 200}[args.of]
    out = args.out or Path("runs") / {"ranges": "asked", "core": "core"}[args.of]
    trained = train(args.of, out, steps, args.minutes, more)
    print(f"\nafter {trained.step} steps")
    if args.of == "ranges":
        ranges(trained)
    else:
        designs(trained, json.loads((out / "summary.json").read_text())["untrained"])


if __name__ == "__main__":
    main()

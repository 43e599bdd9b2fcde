"""What runs on molecules tell, whether these grow by fragments or by atoms."""

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.extras import parse_smiles, rdkit
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.judge import judge_of
from gflow.envs.molecules.modes import fingerprint, scaffold_of, similar
from gflow.metrics import diversity
from gflow.tasks.task import Context


def metrics_of(context: Context, objects: Any, goal: Goal) -> dict[str, float]:
    """Distinctness of a sample, its properties, and the best seen in the whole run.

    `hits` is the share of the sample that meets all ranges and has no alerts, if such are asked.
    """
    records = _records(context, objects)
    numbers = {"unique": len({r.smiles for r in records}) / len(records)}
    for i, name in enumerate(goal.names):
        numbers[f"mean_{name}"] = sum(r.properties[i] for r in records) / len(records)
    if goal.factors:
        numbers["hits"] = sum(r.factor == 1.0 for r in records) / len(records)
    top = best_molecules(context, 100)
    if len(top) > 1:
        numbers["top10_mean_reward"] = sum(r.value for r in top[:10]) / len(top[:10])
        numbers["top100_diversity"] = float(diversity(similarities([r.smiles for r in top])))
    judge = judge_of(context.trainer)
    if judge is not None:
        numbers |= judge.novelty([r.smiles for r in records], [r.smiles for r in top])
    return numbers


def write_best(context: Context, folder: Path, names: tuple[str, ...]) -> None:
    """Two tables: the best molecules, molecules.csv, and when modes were found, modes.csv.

    The first has the Bemis-Murcko scaffold of each molecule, and how near it is to known ones
    where a file of these is given.
    """
    judge = judge_of(context.trainer)
    known = None if judge is None else judge.known
    with (folder / "molecules.csv").open("w", newline="") as file:
        table = csv.writer(file)
        also = ["scaffold"] if known is None else ["scaffold", "nearest_known"]
        table.writerow(["smiles", "reward", *names, *also])
        for r in best_molecules(context, 100):
            near = [] if known is None else [f"{known.nearest(r.smiles):.4f}"]
            frame = scaffold_of(parse_smiles(r.smiles, "molecules.csv"))
            table.writerow([r.smiles, f"{r.value:.6f}", *r.properties, frame, *near])
    if judge is not None:
        with (folder / "modes.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["modes", "molecules", "cpu_seconds"])
            rows = judge.modes.reached.items()
            table.writerows([count, drawn, f"{spent:.2f}"] for count, (drawn, spent) in rows)


def report_best(context: Context, names: tuple[str, ...]) -> str:
    """The ten best molecules, and what was found in all."""
    widths = [max(8, len(name)) for name in names]
    heads = (f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = ["best molecules", "  reward  " + "  ".join(heads) + "  SMILES"]
    for r in best_molecules(context, 10):
        values = zip(r.properties, widths, strict=True)
        row = "  ".join(f"{value:{width}.3f}" for value, width in values)
        lines.append(f"  {r.value:.4f}  {row}  {r.smiles}")
    judge = judge_of(context.trainer)
    return "\n".join(lines if judge is None else [*lines, judge.report()])


def best_molecules(context: Context, count: int) -> list[Any]:
    """Records of the best distinct molecules of the run, best first."""
    assert context.best is not None
    if not len(context.best):
        return []
    by_smiles = {record.smiles: record for record in _records(context, context.best.states)}
    return sorted(by_smiles.values(), key=lambda r: (-r.value, r.smiles))[:count]


def similarities(smiles: list[str]) -> Tensor:
    """(n, n) Tanimoto similarities of Morgan fingerprints."""
    prints = [fingerprint(rdkit().MolFromSmiles(text)) for text in smiles]
    return torch.tensor([similar(one, prints) for one in prints])


def _records(context: Context, objects: Any) -> list[Any]:
    env: Any = context.env
    records: list[Any] = env.records(objects)
    return records

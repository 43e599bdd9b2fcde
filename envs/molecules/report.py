"""What runs on molecules tell, whether these grow by fragments or by atoms."""

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.goal import Goal
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
    return numbers


def write_best(context: Context, folder: Path, names: tuple[str, ...]) -> None:
    """The best molecules as a table, molecules.csv."""
    with (folder / "molecules.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["smiles", "reward", *names])
        table.writerows(
            [r.smiles, f"{r.value:.6f}", *r.properties] for r in best_molecules(context, 100)
        )


def report_best(context: Context, names: tuple[str, ...]) -> str:
    """The ten best molecules."""
    widths = [max(8, len(name)) for name in names]
    heads = (f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = ["best molecules", "  reward  " + "  ".join(heads) + "  SMILES"]
    for r in best_molecules(context, 10):
        values = zip(r.properties, widths, strict=True)
        row = "  ".join(f"{value:{width}.3f}" for value, width in values)
        lines.append(f"  {r.value:.4f}  {row}  {r.smiles}")
    return "\n".join(lines)


def best_molecules(context: Context, count: int) -> list[Any]:
    """Records of the best distinct molecules of the run, best first."""
    assert context.best is not None
    if not len(context.best):
        return []
    by_smiles = {record.smiles: record for record in _records(context, context.best.states)}
    return sorted(by_smiles.values(), key=lambda r: (-r.value, r.smiles))[:count]


def similarities(smiles: list[str]) -> Tensor:
    """(n, n) Tanimoto similarities of Morgan fingerprints."""
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    return torch.tensor([DataStructs.BulkTanimotoSimilarity(p, prints) for p in prints])


def _records(context: Context, objects: Any) -> list[Any]:
    env: Any = context.env
    records: list[Any] = env.records(objects)
    return records

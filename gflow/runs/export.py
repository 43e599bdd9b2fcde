"""Sampled objects for other programs: JSON, CSV, SMILES and SD files, all or a diverse choice."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from gflow.errors import ConfigError, IncompatibleError, MissingExtraError
from gflow.metrics import greedy_modes
from gflow.runs.objects import rows_of
from gflow.state import take
from gflow.training.json_lines import to_json

if TYPE_CHECKING:
    from gflow.runs.trained import Trained

Format = Literal["jsonl", "json", "csv", "smi", "sdf"]
FORMATS: tuple[str, ...] = get_args(Format)
MOLECULES = ("smi", "sdf")
Rows = list[dict[str, Any]]


def format_of(chosen: str, out: str) -> str:
    """The format that is named, or that the name of a file says; JSON lines without either.

    Raises:
        ConfigError: There is no such format.
    """
    suffix = Path(out).suffix.lower().removeprefix(".")
    found = chosen or suffix or "jsonl"
    if found not in FORMATS:
        what = f"--format {found}" if chosen else f"the name {out!r}"
        raise ConfigError(
            f"{what} says no format that is written here: give --format, one of "
            f"{', '.join(FORMATS)}, or a name that ends in one of these."
        )
    return found


def drawn(
    trained: "Trained",
    number: int,
    seed: int = 0,
    condition: Tensor | None = None,
    diverse: int = 0,
    alike: float = 0.5,
) -> tuple[Rows, list[str] | None]:
    """Sampled objects in words with what is known of them, and their SMILES, if they have any.

    Args:
        trained: The sampler.
        number: How many are drawn.
        seed: Of the random numbers.
        condition: As of `Trained.trajectories`.
        diverse: Most that are kept of them, the best first, each unlike all before it; 0 keeps all.
        alike: Similarity from which two are alike, in [0, 1].

    Raises:
        IncompatibleError: A diverse choice where nothing says how alike objects are.
    """
    batch = trained.trajectories(number, seed, condition)
    context, objects = trained.context, batch.final_states
    rows = rows_of(context, trained.env, batch)
    smiles = context.task.object_smiles(context.env, objects)
    if not diverse:
        return rows, smiles
    name = "reward" if "reward" in rows[0] else "log_reward"
    values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
    first = _distinct([row["object"] for row in rows])
    near = similarity(trained, take(objects, torch.tensor(first)))
    kept = [first[i] for i in greedy_modes(values[first], float("-inf"), near, alike)]
    if len(kept) < diverse:
        print(
            f"Of {number} samples {len(first)} are distinct and {len(kept)} differ enough "
            f"(similarity below {alike:g}): draw more by -n, or raise --alike.",
            file=sys.stderr,
        )
    kept = kept[:diverse]
    return [rows[i] for i in kept], None if smiles is None else [smiles[i] for i in kept]


def similarity(trained: "Trained", objects: Any) -> Tensor:
    """(B, B) how alike objects are: as the task says, or the share of equal places of a row.

    Raises:
        IncompatibleError: Objects are neither.
    """
    context = trained.context
    found = context.task.object_similarity(context.env, objects)
    if found is not None:
        return found
    if isinstance(objects, Tensor) and objects.dim() == 2 and not objects.is_floating_point():
        return (objects[:, None] == objects[None]).double().mean(-1)
    raise IncompatibleError(
        f"--diverse: nothing says how alike two objects of {context.env.name} are. Write a Task "
        f"whose `object_similarity(env, objects)` does, (B, B) with 1 for equal ones."
    )


def text_of(rows: Rows, smiles: Sequence[str] | None, form: str) -> str:
    """Objects in a format.

    Args:
        rows: As of `drawn`.
        smiles: Likewise.
        form: One of `FORMATS`.

    Raises:
        ConfigError: SMILES or structures are asked for of what is no molecule.
        MissingExtraError: SD files without RDKit.
    """
    if form in MOLECULES and smiles is None:
        raise ConfigError(
            f"--format {form} is for molecules, and these objects have no SMILES: use json, jsonl "
            f"or csv. A Task of molecules says them by `smiles(env, objects)`."
        )
    match form:
        case "json":
            return to_json(rows, indent=2) + "\n"
        case "csv":
            return _csv(rows)
        case "smi":
            assert smiles is not None
            return "".join(
                f"{text} sample-{number}{_facts(row)}\n"
                for number, (text, row) in enumerate(zip(smiles, rows, strict=True), 1)
            )
        case "sdf":
            assert smiles is not None
            return _sdf(rows, smiles)
    return "".join(to_json(row) + "\n" for row in rows)


def _csv(rows: Rows) -> str:
    heads = list(dict.fromkeys(head for row in rows for head in row))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        values = [row.get(head, "") for head in heads]
        writer.writerow([v if isinstance(v, str | int | float) else to_json(v) for v in values])
    return file.getvalue()


def _facts(row: dict[str, Any]) -> str:
    return "".join(f" {k}={_plain(v)}" for k, v in row.items() if k != "object")


def _sdf(rows: Rows, smiles: Sequence[str]) -> str:
    try:
        from rdkit import Chem
        from rdkit.Chem import rdDepictor
    except ImportError as error:
        raise MissingExtraError("rdkit", "mol", "gflow sample --format sdf") from error
    file = io.StringIO()
    writer = Chem.SDWriter(file)
    for number, (text, row) in enumerate(zip(smiles, rows, strict=True), 1):
        molecule = Chem.MolFromSmiles(text)
        rdDepictor.Compute2DCoords(molecule)
        molecule.SetProp("_Name", f"sample-{number}")
        molecule.SetProp("SMILES", text)
        for key, value in row.items():
            if key != "object":
                molecule.SetProp(key, _plain(value))
        writer.write(molecule)
    writer.close()
    return file.getvalue()


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _distinct(texts: Sequence[str]) -> list[int]:
    """The first row of each text."""
    found: dict[str, int] = {}
    for number, text in enumerate(texts):
        found.setdefault(text, number)
    return list(found.values())

"""SMILES out of files of molecules: SMI, CSV and TSV, SDF; each compressed or not."""

import importlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError, MissingExtraError
from gflow.readers.rows import Rows, read_rows
from gflow.readers.text import name_without_packing, read_bytes, read_text

STRUCTURES = (".sdf", ".sd", ".mol")
TABLES = (".csv", ".tsv", ".tab")


@dataclass(frozen=True)
class Entry:
    """A molecule of a file.

    Attributes:
        place: File and line, for messages.
        smiles: What stands there; of structures, what RDKit writes for them.
        fault: Why there are no SMILES, or empty.
    """

    place: str
    smiles: str
    fault: str = ""


def read_molecules(
    path: str | Path, is_smiles: Callable[[str], bool], encoding: str | None = None
) -> Iterator[Entry]:
    """The molecules of a file.

    Names that end in .sdf, .sd or .mol hold structures. Of a table (.csv, .tsv, .tab, or a first
    line with a column called smiles) the column called smiles is read, failing that the only one
    with smiles in its name, failing that the first one, if what stands on top of it is SMILES. Of
    other files each line begins with SMILES; lines that begin with ``#`` are comments.

    Args:
        path: The file, compressed or not.
        is_smiles: Whether a word is SMILES, which tells lines from headers.
        encoding: See `read_text`.

    Raises:
        ConfigError: If the file cannot be read, holds no molecule, or no one column of SMILES.
    """
    name = name_without_packing(path)
    if name.endswith(STRUCTURES):
        yield from _structures(path)
        return
    table = name.endswith(TABLES)
    if not table:
        text = read_text(path, encoding=encoding)
        first = next((x for x in text.split("\n") if x.strip() and not x.startswith("#")), "")
        table = any(cell.strip(' "').lower() == "smiles" for cell in re.split(r"[\t;, ]", first))
    if table:
        yield from _table(read_rows(path, encoding=encoding), is_smiles)
        return
    if "M  END" in text:
        raise ConfigError(f"{path} holds structures of MDL; let its name end in .sdf.")
    if re.search(r'^[^\s]*[,;"]', first):
        raise ConfigError(
            f"{path}: {first[:40]!r} looks like a row of a table, for SMILES have neither commas, "
            f"semicolons nor quotation marks. Let the name of the file end in .csv."
        )
    empty = True
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            empty = False
            yield Entry(f"{path}, line {number}", line.split()[0])
    if empty:
        raise ConfigError(f"{path} is empty: it holds no molecule.")


def _table(rows: Rows, is_smiles: Callable[[str], bool]) -> Iterator[Entry]:
    first = rows.cells[0]
    column = _smiles_column(rows)
    header = column is not None
    if column is None:
        column = 0
        if not is_smiles(first[0]):
            raise ConfigError(
                f"{rows.at(0)}: no column is called smiles, and {first[0]!r} is no SMILES; the "
                f"columns are {', '.join(map(repr, first))}. Call the column of SMILES 'smiles' in "
                f"the first line."
            )
    if len(rows.cells) == header:
        raise ConfigError(f"{rows.path} has a header and no molecule below it.")
    for at, row in enumerate(rows.cells):
        if at == 0 and header:
            continue
        if header and len(row) != len(first):
            raise ConfigError(
                f"{rows.at(at)}: this row has {len(row)} cells and the header {len(first)}. Fill "
                f"in what is missing, or quote cells that contain the separator."
            )
        yield Entry(f"{rows.at(at)}", row[column])


def _smiles_column(rows: Rows) -> int | None:
    names = [cell.lower() for cell in rows.cells[0]]
    for fits in ([i for i, n in enumerate(names) if n == "smiles"], _like_smiles(names)):
        if len(fits) > 1:
            raise ConfigError(
                f"{rows.at(0)}: the columns {', '.join(repr(rows.cells[0][i]) for i in fits)} may "
                f"all be the SMILES. Call the one that is meant 'smiles'."
            )
        if fits:
            return fits[0]
    return None


def _like_smiles(names: list[str]) -> list[int]:
    return [i for i, name in enumerate(names) if "smiles" in name or name == "smi"]


def _structures(path: str | Path) -> Iterator[Entry]:
    chem = _rdkit()
    log = importlib.import_module("rdkit.rdBase")
    data = read_bytes(path)
    count = 0
    with log.BlockLogs():
        for molecule in chem.ForwardSDMolSupplier(io.BytesIO(data), sanitize=True, removeHs=True):
            count += 1
            place = f"{path}, molecule {count}"
            if molecule is None:
                yield Entry(place, "", "RDKit cannot read the structure")
            elif molecule.GetNumAtoms() == 0:
                yield Entry(place, "", "the structure has no atoms")
            else:
                yield Entry(place, str(chem.MolToSmiles(molecule)))
    if count == 0:
        raise ConfigError(f"{path} holds no molecule in the format of MDL (SDF).")


def _rdkit() -> Any:
    try:
        return importlib.import_module("rdkit.Chem")
    except ImportError as error:
        raise MissingExtraError("rdkit", "mol", "Reading structures") from error

"""Building blocks out of files: SMILES with attachment points, or with the atoms that may bond."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError
from gflow.readers.molecules import read_molecules
from gflow.readers.text import name_without_packing, read_text

FORMS = (
    'JSON of fragments is a list of SMILES with attachment points, ["*C", "*c1ccc(*)cc1"]; a list '
    'of SMILES with the numbers of the atoms that may bond, [["c1ccccc1", [0, 3]]]; these by their '
    'SMILES, {"c1ccccc1": [0, 3]}; or a table of columns "block_smi" and "block_r"'
)


@dataclass(frozen=True)
class Block:
    """A building block of a file.

    Attributes:
        place: File and line or entry, for messages.
        smiles: What stands there.
        atoms: Numbers of the atoms that may bond, as often as they may; None where the SMILES has
            attachment points (``*``).
    """

    place: str
    smiles: str
    atoms: tuple[int, ...] | None = None


def read_blocks(path: str | Path, is_smiles: Callable[[str], bool]) -> list[Block]:
    """The building blocks of a file, in its order.

    Names that end in .json hold one of the forms of `FORMS`; what stands there several times with
    different atoms is one block with all of them. Other files are read as `read_molecules` does.

    Args:
        path: The file, compressed or not.
        is_smiles: Whether a word is SMILES, which tells lines from headers.

    Raises:
        ConfigError: If the file cannot be read, or holds something else, or nothing.
    """
    if not name_without_packing(path).endswith(".json"):
        entries = list(read_molecules(path, is_smiles))
        for entry in entries:
            if entry.fault:
                raise ConfigError(f"{entry.place}: {entry.fault}.")
        return [Block(entry.place, entry.smiles) for entry in entries]
    text = read_text(path)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}.") from error
    blocks: dict[str, Block] = {}
    for block in _entries(path, data):
        known = blocks.setdefault(block.smiles, block)
        if known.atoms is not None and block.atoms is not None:
            more = tuple(atom for atom in block.atoms if atom not in known.atoms)
            blocks[block.smiles] = Block(known.place, known.smiles, known.atoms + more)
    if not blocks:
        raise ConfigError(f"{path} holds no fragment. {FORMS}.")
    return list(blocks.values())


def _entries(path: str | Path, data: Any) -> Iterator[Block]:
    if isinstance(data, dict) and {"block_smi", "block_r"} <= set(data):
        smiles, atoms = data["block_smi"], data["block_r"]
        if isinstance(smiles, list) and isinstance(atoms, list):
            smiles, atoms = dict(enumerate(smiles)), dict(enumerate(atoms))
        if not isinstance(smiles, dict) or not isinstance(atoms, dict) or set(smiles) != set(atoms):
            raise ConfigError(f"{path}: 'block_smi' and 'block_r' must have the same rows.")
        data = [[smiles[row], atoms[row]] for row in smiles]
    elif isinstance(data, dict):
        data = [[smiles, atoms] for smiles, atoms in data.items()]
    if not isinstance(data, list):
        raise ConfigError(f"{path} holds {type(data).__name__}, and no fragments. {FORMS}.")
    for number, row in enumerate(data, 1):
        yield _block(f"{path}, entry {number}", row)


def _block(place: str, row: Any) -> Block:
    if isinstance(row, str):
        return Block(place, row)
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str):
        atoms = row[1]
        if isinstance(atoms, list) and atoms and all(type(a) is int and a >= 0 for a in atoms):
            return Block(place, row[0], tuple(atoms))
        raise ConfigError(
            f"{place}: the atoms of {row[0]!r} that may bond must be a list of numbers from 0, got "
            f"{json.dumps(atoms)[:60]}."
        )
    raise ConfigError(f"{place}: {json.dumps(row)[:60]} is no fragment. {FORMS}.")

"""Building blocks out of files."""

from dataclasses import dataclass
from pathlib import Path

from gflow.envs.molecules.extras import MoleculeError, is_smiles, oddity, parse_smiles, rdkit
from gflow.errors import ConfigError
from gflow.readers.molecules import read_molecules

SHIPPED = Path(__file__).with_name("blocks.smi")
"""Simple blocks that come with the library."""


@dataclass(frozen=True)
class Block:
    """A molecule that can be bought.

    Attributes:
        smiles: Canonical, without stereo.
        place: Where it stood, for messages.
    """

    smiles: str
    place: str = ""


def read_blocks(path: str | Path = SHIPPED, skip_invalid: bool = False) -> tuple[Block, ...]:
    """The blocks of a file of molecules (SMI, CSV, TSV, SDF), each once.

    Stereo is left out, so blocks that differ by it alone are one.

    Args:
        path: The file.
        skip_invalid: Pass over what is no molecule of one part.

    Raises:
        ConfigError: With the line, the value and the rule that it breaks.
    """
    found: dict[str, Block] = {}
    for entry in read_molecules(path, is_smiles):
        try:
            if entry.fault:
                raise MoleculeError(f"{entry.place}: {entry.fault}.")
            block = make_block(entry.smiles, entry.place)
        except MoleculeError as error:
            if skip_invalid:
                continue
            raise ConfigError(
                f"{error} Mend the line, or pass over such lines with skip_invalid."
            ) from error
        found.setdefault(block.smiles, block)
    if not found:
        raise ConfigError(f"{path} holds no block that RDKit reads.")
    return tuple(found.values())


def make_block(smiles: str, where: str) -> Block:
    """A block out of SMILES.

    Raises:
        MoleculeError: If it is no molecule of one part.
    """
    molecule = parse_smiles(smiles, where)
    odd = oddity(molecule)
    if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
        odd = "it has an open place (*); blocks of reactions are whole molecules"
    if odd:
        raise MoleculeError(f"{where}: {smiles!r} is no block: {odd}.")
    return Block(str(rdkit().CanonSmiles(rdkit().MolToSmiles(molecule))), where)

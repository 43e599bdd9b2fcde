"""RDKit, imported when it is first needed and never before, and what is refused about molecules."""

import importlib
from functools import cache
from typing import Any

from gflow.errors import GFlowError, MissingExtraError


class MoleculeError(GFlowError, ValueError):
    """No SMILES of a molecule, or a molecule that the fragments at hand cannot build."""


@cache
def rdkit(name: str = "rdkit.Chem") -> Any:
    """A part of RDKit by its dotted name.

    Raises:
        MissingExtraError: If RDKit is not installed.
    """
    try:
        importlib.import_module("rdkit.Chem")
    except ImportError as error:
        raise MissingExtraError("rdkit", "mol", "Generating molecules") from error
    return importlib.import_module(name)


def parse_smiles(smiles: str, where: str) -> Any:
    """The molecule that a SMILES string describes, without stereo marks.

    Raises:
        MoleculeError: With the caller `where`, the string and RDKit's reason.
    """
    chem = rdkit()
    molecule, reason = None, "it is empty"
    if smiles.strip():
        reason = "RDKit cannot parse it"
        with rdkit("rdkit.rdBase").BlockLogs():
            molecule = chem.MolFromSmiles(smiles, sanitize=False)
            if molecule is not None:
                try:
                    chem.SanitizeMol(molecule)
                except ValueError as error:
                    molecule, reason = None, str(error).strip().splitlines()[0]
    if molecule is None:
        raise MoleculeError(f"{where}: {smiles!r} is not a valid SMILES ({reason.rstrip('.')}).")
    chem.RemoveStereochemistry(molecule)
    return molecule

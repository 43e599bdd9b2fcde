"""RDKit, imported when it is first needed and never before, and what is refused about molecules."""

import importlib
from collections.abc import Sequence
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


def several(texts: Sequence[str], where: str) -> Sequence[str]:
    """`texts`, unless it is one text, the letters of which would be read one by one.

    Raises:
        MoleculeError: If it is.
    """
    if isinstance(texts, str):
        raise MoleculeError(f"{where}: a list of SMILES is needed, got {texts!r}: [{texts!r}].")
    return texts


def parse_smiles(smiles: str, where: str, flat: bool = False) -> Any:
    """The molecule that a SMILES string describes.

    Stereo marks and numbers of atoms (``[CH3:1]``) are left out, hydrogens that are written out
    belong to their atoms.

    Args:
        smiles: The string.
        where: Who asks, for messages.
        flat: Refuse stereo marks instead, where the molecule is meant as it stands.

    Raises:
        MoleculeError: With the caller `where`, the string and RDKit's reason.
    """
    chem = rdkit()
    if not isinstance(smiles, str):
        raise MoleculeError(f"{where}: {smiles!r} is no text, so it is no SMILES.")
    molecule, reason = None, "it is empty"
    if len(smiles.split()) > 1:
        reason = "a blank stands in it; give the SMILES alone"
    elif smiles.strip():
        reason = "RDKit cannot parse it"
        with rdkit("rdkit.rdBase").BlockLogs():
            molecule = chem.MolFromSmiles(smiles, sanitize=False)
            if molecule is not None:
                try:
                    chem.SanitizeMol(molecule)
                    molecule = chem.RemoveHs(molecule) if "[H" in smiles else molecule
                except ValueError as error:
                    molecule, reason = None, str(error).strip().splitlines()[0]
    if molecule is None:
        raise MoleculeError(f"{where}: {smiles!r} is not a valid SMILES ({reason.rstrip('.')}).")
    if flat and _has_stereo(molecule):
        chem.RemoveStereochemistry(molecule)
        raise MoleculeError(
            f"{where}: {smiles!r} has stereo marks, and molecules are built here without stereo: "
            f"what is made stands for all isomers. Leave the marks out: "
            f"{chem.MolToSmiles(molecule)!r}."
        )
    chem.RemoveStereochemistry(molecule)
    for atom in molecule.GetAtoms() if ":" in smiles else ():
        atom.SetAtomMapNum(0)
    return molecule


def _has_stereo(molecule: Any) -> bool:
    """Whether a molecule as read, before anything was removed, has marks of stereo."""
    chem = rdkit()
    marked = (chem.BondDir.ENDUPRIGHT, chem.BondDir.ENDDOWNRIGHT)
    return any(
        a.GetChiralTag() != chem.ChiralType.CHI_UNSPECIFIED for a in molecule.GetAtoms()
    ) or any(bond.GetBondDir() in marked for bond in molecule.GetBonds())


def is_smiles(text: str) -> bool:
    """Whether RDKit takes a word for SMILES."""
    try:
        parse_smiles(text, "")
    except MoleculeError:
        return False
    return True


def oddity(molecule: Any) -> str:
    """Why a molecule is none that single, double and triple bonds of elements make; or empty.

    Dummy atoms and their isotopes are left to the caller.
    """
    bonds = rdkit().BondType
    plain = (bonds.SINGLE, bonds.DOUBLE, bonds.TRIPLE, bonds.AROMATIC)
    if len(rdkit().GetMolFrags(molecule)) > 1:
        return "it has several parts, as a salt or a mixture; give the one that is meant"
    for atom in molecule.GetAtoms():
        if atom.GetIsotope() and atom.GetAtomicNum():
            return f"its atom {atom.GetIdx()} ({atom.GetSmarts()}) is an isotope"
    for bond in molecule.GetBonds():
        if bond.GetBondType() not in plain:
            ends = f"{bond.GetBeginAtomIdx()} and {bond.GetEndAtomIdx()}"
            return f"its bond between the atoms {ends} is {str(bond.GetBondType()).lower()}"
    return ""

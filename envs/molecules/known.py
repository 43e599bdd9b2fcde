"""A file of molecules that are known already, against which others are new."""

from functools import cached_property
from typing import Any

from gflow.envs.molecules.extras import MoleculeError, is_smiles, parse_smiles, rdkit
from gflow.envs.molecules.modes import fingerprint, similar
from gflow.readers.molecules import read_molecules


class Known:
    """Molecules of a file, without stereo marks, read when first asked about.

    Args:
        path: SMI, CSV, TSV or SDF, compressed or not; see `gflow.readers.molecules`.

    Raises:
        ConfigError: When it is read (`read`): the file cannot be read, or holds no molecules.
        MoleculeError: Likewise, with file and line: RDKit does not take something for a molecule.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._nearest: dict[str, float] = {}

    @cached_property
    def _molecules(self) -> dict[str, Any]:
        """Fingerprints by canonical SMILES."""
        found = {}
        for entry in read_molecules(self.path, is_smiles):
            if entry.fault:
                raise MoleculeError(f"{entry.place}: {entry.fault}. Correct or remove it.")
            molecule = parse_smiles(entry.smiles, entry.place)
            found[str(rdkit().MolToSmiles(molecule))] = fingerprint(molecule)
        return found

    def read(self) -> None:
        """Read the file now, so that what is wrong with it is said now."""
        len(self)

    def __len__(self) -> int:
        return len(self._molecules)

    def __contains__(self, smiles: str) -> bool:
        return smiles in self._molecules

    def nearest(self, smiles: str) -> float:
        """The largest Tanimoto similarity of a molecule to a known one; 1 for these themselves."""
        if smiles not in self._nearest:
            own = fingerprint(parse_smiles(smiles, "Known"))
            self._nearest[smiles] = max(similar(own, list(self._molecules.values())))
        return self._nearest[smiles]

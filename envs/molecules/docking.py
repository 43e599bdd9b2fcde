"""Binding energies by docking with AutoDock Vina; needs the extra `dock`. No tensors here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from gflow.envs.molecules.extras import MoleculeError, rdkit
from gflow.errors import ConfigError, MissingExtraError

Triple = tuple[float, float, float]

CUTOFF = 8.0
"""Vina's atoms do not feel each other beyond so many Angstrom."""

FORM = "dock:FILE:X:Y:Z:DX:DY:DZ"


@dataclass(frozen=True)
class Docking:
    r"""How well a molecule docks into a rigid receptor, :math:`\max(-E, 0)` / `scale`.

    E, in kcal/mol, is the energy of the best pose that AutoDock Vina finds within a box; good
    binders have -9 and less, so about 1 with the default scale, and more is possible. A molecule
    that cannot be docked (no conformer, an element that Vina lacks) has 0.

    The molecule is built anew from its canonical SMILES and conformer and search have fixed seeds,
    so E is a function of the molecule: equal in every process and however the atoms are numbered.
    Where stereo marks are missing, the seed picks one isomer. One docking takes one to six seconds
    of one core, and the maps of the receptor a few seconds more, once per process. So let workers
    compute, and few steps suffice: an hour of one core is about a thousand molecules.

    Energies depend on how the receptor was prepared: keep the file with the results.

    Attributes:
        receptor: PDBQT file of the receptor, without ligands.
        center: Centre of the box, in Angstrom.
        size: Edges of the box, in Angstrom.
        exhaustiveness: Independent searches per molecule.
        seed: Of conformers and searches.
        scale: kcal/mol per unit of the value.

    Raises:
        ConfigError: The receptor is missing or is no PDBQT, the box holds none of it, or a number
            is out of range.
        MissingExtraError: Vina or Meeko is not installed.

    Reference:
        Trott and Olson, AutoDock Vina, Journal of Computational Chemistry 31, 2010,
        https://doi.org/10.1002/jcc.21334; Eberhardt et al., AutoDock Vina 1.2.0, Journal of
        Chemical Information and Modeling 61, 2021, https://doi.org/10.1021/acs.jcim.1c00203
    """

    receptor: str
    center: Triple
    size: Triple
    exhaustiveness: int = 1
    seed: int = 1
    scale: float = 10.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense and receptors that are none."""
        object.__setattr__(self, "receptor", str(self.receptor))
        for name in ("center", "size"):
            values = tuple(map(float, getattr(self, name)))
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise ConfigError(f"Docking: {name} must be three numbers, got {values}.")
            object.__setattr__(self, name, values)
        if min(self.size) <= 0 or not self.scale > 0 or self.exhaustiveness < 1 or self.seed < 1:
            raise ConfigError(
                f"Docking: size, scale, exhaustiveness and seed must be positive, got "
                f"size={self.size}, scale={self.scale}, exhaustiveness={self.exhaustiveness}, "
                f"seed={self.seed}."
            )
        gap = min(self._outside(atom) for atom in read_atoms(self.receptor))
        if gap > CUTOFF:
            raise ConfigError(
                f"Docking: the box of size {self.size} around {self.center} is {gap:.1f} Angstrom "
                f"away from the nearest atom of {self.receptor}, where nothing binds. Take the "
                f"centre of a known ligand, in the coordinates of this file."
            )
        _vina(), _meeko()

    @classmethod
    def read(cls, text: str) -> "Docking":
        """From ``FILE:X:Y:Z:DX:DY:DZ``: receptor, centre and size of the box.

        Raises:
            ConfigError: It is not written like this.
        """
        path, *numbers = text.rsplit(":", 6)
        try:
            x, y, z, dx, dy, dz = map(float, numbers)
        except ValueError:
            raise ConfigError(
                f"The property 'dock:{text}' must be {FORM}: the PDBQT file of a receptor, and the "
                f"centre and the edges of the box in Angstrom."
            ) from None
        return cls(path, (x, y, z), (dx, dy, dz))

    @property
    def name(self) -> str:
        """``dock:`` and the name of the receptor's file."""
        return f"dock:{Path(self.receptor).stem}"

    def __call__(self, molecule: Any) -> float:
        """Not negative, of one RDKit molecule."""
        try:
            return max(-self.energy(molecule), 0.0) / self.scale
        except MoleculeError:
            return 0.0

    def energy(self, molecule: Any) -> float:
        """E in kcal/mol of one RDKit molecule; remembered in this process.

        Raises:
            MoleculeError: It cannot be docked, and why.
        """
        return _energy(self, str(rdkit().MolToSmiles(molecule)))

    def energies(self, smiles: Sequence[str]) -> list[float]:
        """E in kcal/mol of molecules, lower is better; NaN of what cannot be docked or read."""
        found = []
        for text in smiles:
            with rdkit("rdkit.rdBase").BlockLogs():
                molecule = rdkit().MolFromSmiles(text)
            try:
                found.append(math.nan if molecule is None else self.energy(molecule))
            except MoleculeError:
                found.append(math.nan)
        return found

    def _outside(self, atom: Triple) -> float:
        """Distance from an atom to the box."""
        sides = zip(atom, self.center, self.size, strict=True)
        return math.hypot(*(max(abs(x - c) - s / 2, 0.0) for x, c, s in sides))


def read_atoms(path: str) -> list[Triple]:
    """Coordinates of the atoms of a receptor.

    Raises:
        ConfigError: The file is missing or holds none, with how to make one.
    """
    how = (
        "Receptors are PDBQT files; Meeko makes them from PDB files without ligands: "
        "mk_prepare_receptor.py --read_pdb FILE.pdb -o NAME -p --default_altloc A --allow_bad_res."
    )
    if not Path(path).is_file():
        raise ConfigError(f"Docking: there is no receptor {path!r}. {how}")
    try:
        lines = Path(path).read_text().splitlines()
        rows = (line for line in lines if line.startswith(("ATOM", "HETATM")))
        found = [(float(r[30:38]), float(r[38:46]), float(r[46:54])) for r in rows]
    except ValueError as error:
        raise ConfigError(f"Docking: {path} cannot be read as PDBQT: {error}. {how}") from error
    if not found:
        raise ConfigError(f"Docking: {path} has no atoms. {how}")
    return found


def ligand_pdbqt(smiles: str, seed: int) -> str:
    """A molecule with hydrogens, one conformer and rotatable bonds, as Vina reads it.

    Raises:
        MoleculeError: RDKit finds no conformer, or Meeko has no type for an atom.
    """
    chem, embedding = rdkit(), rdkit("rdkit.Chem.rdDistGeom")
    parameters = embedding.ETKDGv3()
    parameters.randomSeed = seed
    with rdkit("rdkit.rdBase").BlockLogs():
        molecule = chem.MolFromSmiles(smiles)
        if molecule is None or not molecule.GetNumAtoms():
            raise MoleculeError(f"Docking: {smiles!r} is no molecule that RDKit can read.")
        molecule = chem.AddHs(molecule)
        if embedding.EmbedMolecule(molecule, parameters) != 0:
            raise MoleculeError(f"Docking: RDKit finds no conformer of {smiles}.")
        field = rdkit("rdkit.Chem.rdForceFieldHelpers")
        if field.MMFFHasAllMoleculeParams(molecule):
            field.MMFFOptimizeMolecule(molecule)
        meeko = _meeko()
        try:
            prepared = meeko.MoleculePreparation().prepare(molecule)[0]
            text, good, reason = meeko.PDBQTWriterLegacy.write_string(prepared)
        except Exception as error:  # Meeko raises whatever its lines stumble over
            raise MoleculeError(f"Docking: Meeko cannot prepare {smiles}: {error}") from error
    if not (good and text):  # Vina would end the process
        raise MoleculeError(f"Docking: Meeko cannot prepare {smiles}: {' '.join(reason.split())}")
    return str(text)


@lru_cache(maxsize=100_000)
def _energy(docking: Docking, smiles: str) -> float:
    ligand = ligand_pdbqt(smiles, docking.seed)
    engine = _engine(docking.receptor, docking.center, docking.size, docking.seed)
    try:
        engine.set_ligand_from_string(ligand)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MoleculeError(f"Docking: Vina cannot read {smiles}: {reason}") from error
    engine.dock(exhaustiveness=docking.exhaustiveness, n_poses=1)
    return float(engine.energies(n_poses=1)[0][0])


@lru_cache(maxsize=4)
def _engine(receptor: str, center: Triple, size: Triple, seed: int) -> Any:
    """Vina with the maps of a receptor; one thread, so that results repeat.

    Maps take 150 MB and more, so that only those of the last receptors are kept.
    """
    engine = _vina().Vina(sf_name="vina", cpu=1, seed=seed, verbosity=0)
    try:
        engine.set_receptor(receptor)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"Docking: Vina cannot read the receptor {receptor}: {reason}") from error
    engine.compute_vina_maps(center=list(center), box_size=list(size))
    return engine


@cache
def _vina() -> Any:
    try:
        import vina
    except ImportError as error:
        raise MissingExtraError("vina", "dock", "Docking") from error
    return vina


@cache
def _meeko() -> Any:
    try:
        import meeko
    except ImportError as error:
        raise MissingExtraError("meeko", "dock", "Docking") from error
    return meeko

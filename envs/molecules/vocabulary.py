"""Vocabularies of fragments, cut from real molecules by the BRICS rules.

BRICS gives each end of a bond that it cuts a label and says which labels may meet. The same piece
is often seen with different labels; here it is one fragment whose ports know *sets* of labels, so
that no molecule is built twice under two names of one fragment.

Reference:
    Degen et al., On the art of compiling and using "drug-like" chemical fragment spaces,
    ChemMedChem 3(10), 2008, https://doi.org/10.1002/cmdc.200800178
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gflow.envs.molecules.extras import (
    MoleculeError,
    is_smiles,
    oddity,
    parse_smiles,
    rdkit,
    several,
)
from gflow.envs.molecules.fragments import (
    MAX_PORTS,
    Fragment,
    make_fragment,
    may_bond,
    with_ports,
)
from gflow.errors import ConfigError
from gflow.readers.fragments import read_blocks
from gflow.readers.molecules import Entry, read_molecules

CACHE_FORMAT = 1
ELEMENTS = frozenset({1, 6, 7, 8, 9, 15, 16, 17, 35, 53})


@dataclass(frozen=True)
class CutOptions:
    """Which pieces of molecules become fragments.

    Attributes:
        size: Number of fragments wanted; the most frequent are taken. Removing fragments that
            cannot be used leaves a few less.
        min_count: How often a piece must have been seen.
        max_atoms: Heavy atoms of a fragment.
        max_ports: Attachment points of a fragment, at most 4.
    """

    size: int = 128
    min_count: int = 3
    max_atoms: int = 14
    max_ports: int = MAX_PORTS

    def __post_init__(self) -> None:
        """Refuse sizes that leave nothing."""
        if self.size < 1 or self.min_count < 1 or self.max_atoms < 1:
            raise ConfigError(
                f"CutOptions: size, min_count and max_atoms must be positive: {self}."
            )
        if not 1 <= self.max_ports <= MAX_PORTS:
            raise ConfigError(
                f"CutOptions: max_ports must be between 1 and {MAX_PORTS}, got {self.max_ports}."
            )


@dataclass(frozen=True)
class Vocabulary:
    """An ordered tuple of fragments.

    Attributes:
        fragments: Distinct as molecules with unlabelled ports.
    """

    fragments: tuple[Fragment, ...]

    def __post_init__(self) -> None:
        """Refuse an empty vocabulary and repeated fragments."""
        if not self.fragments:
            raise ConfigError(
                "Vocabulary: no fragment is left. Give more molecules, or ask for pieces seen less "
                "often (--fragment-count, min_count in Python)."
            )
        seen = Counter(f.smiles for f in self.fragments)
        twice = [smiles for smiles, n in seen.items() if n > 1]
        if twice:
            raise ConfigError(
                f"Vocabulary: the fragment {twice[0]!r} appears {seen[twice[0]]} times, so "
                f"molecules would be built under several names. Merge the labels of its ports."
            )

    def __len__(self) -> int:
        return len(self.fragments)

    @classmethod
    def default(cls, options: CutOptions | None = None, cache: bool = True) -> "Vocabulary":
        """Fragments of the 15,000 molecules that RDKit carries (NCI and WEHI screening sets).

        Cutting takes some seconds; the result is kept in the user's cache folder.
        """
        options = options or CutOptions()
        folder = Path(rdkit("rdkit.RDConfig").RDDataDir)
        files = [folder / "NCI" / "first_5K.smi", folder / "Pains" / "test_data" / "wehi_mols.csv"]
        path = _cache_path(options, rdkit("rdkit").__version__) if cache else None
        known = _load(path) if path else None
        if known is None:
            known = cls.from_files(files, options, skip_invalid=True).extensible()
            if path:
                _save(path, known)
        return known

    @classmethod
    def from_files(
        cls,
        paths: str | Path | Iterable[str | Path],
        options: CutOptions | None = None,
        skip_invalid: bool = False,
    ) -> "Vocabulary":
        """Fragments of the user's own molecules.

        The parts of salts and mixtures are cut one by one; pieces with charges, isotopes, radicals
        or rare elements become no fragments.

        Args:
            paths: A file or several: one SMILES at the start of each line (``.smi``, ``.txt``),
                tables (``.csv``, ``.tsv``) with a column named ``smiles``, or structures
                (``.sdf``), all compressed or not; see `gflow.readers.molecules`.
            options: Which pieces to keep.
            skip_invalid: Leave out molecules that RDKit cannot read instead of complaining.

        Raises:
            ConfigError: If a file cannot be read, or has no one column of SMILES.
            MoleculeError: With file, line number and string.
        """
        molecules = (
            molecule
            for path in ([paths] if isinstance(paths, str | Path) else paths)
            for entry in read_molecules(path, is_smiles)
            if (molecule := _parse(entry, skip_invalid)) is not None
        )
        return cls._cut(molecules, options or CutOptions())

    @classmethod
    def from_smiles(cls, smiles: Sequence[str], options: CutOptions | None = None) -> "Vocabulary":
        """Fragments of the molecules given as SMILES."""
        texts = several(smiles, "Vocabulary.from_smiles")
        molecules = (
            parse_smiles(s, f"Vocabulary.from_smiles, item {i}") for i, s in enumerate(texts)
        )
        return cls._cut(molecules, options or CutOptions())

    @classmethod
    def from_fragments(cls, smiles: Sequence[str]) -> "Vocabulary":
        """The fragments given, in this order, e.g. ``["*C", "*c1ccc(*)cc1", "[1*]C(=O)O[3*]"]``."""
        texts = several(smiles, "Vocabulary.from_fragments")
        return cls(tuple(make_fragment(s) for s in texts))

    @classmethod
    def from_fragment_file(cls, path: str | Path) -> "Vocabulary":
        """The fragments of a file, as they are; see `gflow.readers.fragments.read_blocks`.

        Of a building block with the atoms that may bond, each choice of up to four of them is a
        fragment. What stands there twice is taken once.

        Raises:
            ConfigError: With file, line or entry, and what is wrong.
        """
        found: dict[str, Fragment] = {}
        for block in read_blocks(path, is_smiles):
            pieces = [block.smiles]
            if block.atoms is not None:
                pieces = with_ports(block.smiles, block.atoms, block.place)
            for piece in pieces:
                try:
                    fragment = make_fragment(piece)
                except ConfigError as error:
                    raise ConfigError(f"{block.place}: {error}") from error
                found.setdefault(fragment.smiles, fragment)
        return cls(tuple(found.values()))

    def extensible(self) -> "Vocabulary":
        """Without fragments that cannot be followed by one with two ports.

        What is left can build molecules with any number of fragments from two, as
        ``Molecules(min_fragments=...)`` demands.
        """
        return Vocabulary(closed(self.fragments, (1, 2)))

    @classmethod
    def _cut(cls, molecules: Iterable[Any], options: CutOptions) -> "Vocabulary":
        seen: Counter[str] = Counter()
        for molecule in molecules:
            seen.update(cut(molecule))
        merged: dict[str, list[Fragment]] = {}
        for labelled, count in sorted(seen.items()):
            if count >= options.min_count and _usable(labelled, options):
                fragment = make_fragment(labelled, count=count)
                merged.setdefault(fragment.smiles, []).append(fragment)
        fragments = [_merge(same) for same in merged.values()]
        fragments.sort(key=lambda f: (-f.count, f.smiles))
        return cls(closed(fragments[: options.size]))


def cut(molecule: Any) -> list[str]:
    """Pieces between all BRICS bonds (the double-bond rule left out), as labelled SMILES."""
    chem = rdkit()
    bonds, labels = [], []
    for (a, b), (x, y) in rdkit("rdkit.Chem.BRICS").FindBRICSBonds(molecule):
        bond = molecule.GetBondBetweenAtoms(a, b)
        if bond.GetBondType() == chem.BondType.SINGLE and x.isdigit() and y.isdigit():
            # The dummy that replaces an atom carries the label of the end that stays.
            ends = (int(x), int(y)) if bond.GetBeginAtomIdx() == a else (int(y), int(x))
            bonds.append(bond.GetIdx())
            labels.append((ends[1], ends[0]))
    if not bonds:
        return []
    pieces = chem.FragmentOnBonds(molecule, bonds, dummyLabels=labels)
    return str(chem.MolToSmiles(pieces)).split(".")


def closed(fragments: Sequence[Fragment], sizes: Sequence[int] = (1,)) -> tuple[Fragment, ...]:
    """The fragments of which every port may bond to a fragment with one port.

    What violates this is removed until nothing does, so that no molecule gets stuck.

    Args:
        fragments: In the order to keep.
        sizes: Numbers of ports of which each port must have a partner.
    """
    left = list(fragments)
    while True:
        kept = [f for f in left if unmatched_port(f, left, sizes) is None]
        if len(kept) == len(left):
            return tuple(kept)
        left = kept


def unmatched_port(
    fragment: Fragment, fragments: Sequence[Fragment], sizes: Sequence[int] = (1,)
) -> tuple[int, int] | None:
    """(port, size): a port that may bond to no fragment with `size` ports, or None."""
    for size in sizes:
        ends = {x for f in fragments if f.ports == size for x in f.labels}
        for port, labels in enumerate(fragment.labels):
            if not any(may_bond(labels, other) for other in ends):
                return port, size
    return None


def _merge(same: Sequence[Fragment]) -> Fragment:
    """One fragment with the labels of several that differ in labels only."""
    first = same[0]
    labels = tuple(
        tuple(sorted({x for f in same for x in f.labels[i]})) for i in range(first.ports)
    )
    count = sum(f.count for f in same)
    return Fragment(first.smiles, labels, first.group, first.orbits, count)


def _usable(labelled: str, options: CutOptions) -> bool:
    """Whether a piece is a plain organic group of acceptable size."""
    if not 1 <= labelled.count("*") <= options.max_ports:
        return False
    molecule = rdkit().MolFromSmiles(labelled)
    if molecule is None:
        return False
    if oddity(molecule):
        return False
    heavy = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 0]
    return (
        1 <= len(heavy) <= options.max_atoms
        and all(a.GetAtomicNum() in ELEMENTS for a in heavy)
        and not any(a.GetNumRadicalElectrons() for a in heavy)
        and sum(a.GetFormalCharge() for a in heavy) == 0
    )


def _parse(entry: Entry, skip_invalid: bool) -> Any | None:
    try:
        if entry.fault:
            raise MoleculeError(f"{entry.place}: {entry.fault}.")
        return parse_smiles(entry.smiles, entry.place)
    except MoleculeError as error:
        if skip_invalid:
            return None
        raise MoleculeError(
            f"{error} Correct or remove it, or leave out all such molecules with --skip-invalid "
            f"(skip_invalid=True in Python)."
        ) from error


def _cache_path(options: CutOptions, version: str) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    mark = hashlib.sha256(
        json.dumps([CACHE_FORMAT, version, asdict(options)], sort_keys=True).encode()
    ).hexdigest()[:16]
    return root / "gflow" / f"fragments-{mark}.json"


def _load(path: Path) -> Vocabulary | None:
    """The vocabulary kept at `path`, or None if there is none or it cannot be read."""
    try:
        rows = json.loads(path.read_text())
        return Vocabulary(
            tuple(
                Fragment(
                    row["smiles"],
                    tuple(map(tuple, row["labels"])),
                    tuple(map(tuple, row["group"])),
                    tuple(row["orbits"]),
                    row["count"],
                )
                for row in rows
            )
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, vocabulary: Vocabulary) -> None:
    """Keep the vocabulary; a folder that cannot be written is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump([asdict(f) for f in vocabulary.fragments], file)
        Path(file.name).replace(path)
    except OSError:
        pass

"""A fragment: a piece of a molecule, its ports, and its symmetries."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gflow.envs.molecules.extras import MoleculeError, oddity, parse_smiles, rdkit
from gflow.errors import ConfigError

MAX_PORTS = 4
ANY_LABEL = 0


@dataclass(frozen=True)
class Fragment:
    """A piece of a molecule with at least one attachment point (*port*).

    Attributes:
        smiles: Canonical SMILES; its i-th ``*`` is port i.
        labels: Per port, the BRICS labels it may act as; equal on symmetric ports.
        group: Permutations of the ports that symmetries of the fragment induce, identity first:
            ``g[i]`` is the port to which g moves port i.
        orbits: Per port, the smallest port that a symmetry moves it to.
        count: How often it was seen in the molecules that the vocabulary was cut from.
    """

    smiles: str
    labels: tuple[tuple[int, ...], ...]
    group: tuple[tuple[int, ...], ...]
    orbits: tuple[int, ...]
    count: int = 0

    @property
    def ports(self) -> int:
        """Number of attachment points."""
        return len(self.labels)


def make_fragment(
    smiles: str, labels: Sequence[Iterable[int]] | None = None, count: int = 0
) -> Fragment:
    """A fragment from SMILES whose dummy atoms are its ports.

    Args:
        smiles: E.g. ``"*c1ccccc1*"``. Isotopes of dummies are read as BRICS labels (``[16*]``);
            a dummy without isotope may meet any other dummy without.
        labels: Per ``*`` of `smiles` from left to right, instead of isotopes.
        count: How often it was seen.

    Raises:
        ConfigError: If there is no port, too many, or a port that is not on a single bond; or if
            there are several parts, isotopes, stereo marks, or bonds that are neither single,
            double nor triple.
    """
    chem = rdkit()
    try:
        molecule = parse_smiles(smiles, "make_fragment", flat=True)
    except MoleculeError as error:
        raise ConfigError(str(error)) from error
    dummies = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]
    if not 1 <= len(dummies) <= MAX_PORTS or molecule.GetNumAtoms() == len(dummies):
        raise ConfigError(
            f"make_fragment: {smiles!r} has {len(dummies)} attachment points; a fragment needs "
            f"1 to {MAX_PORTS} dummy atoms '*' besides real atoms."
        )
    odd = oddity(molecule)
    if odd:
        raise ConfigError(f"make_fragment: {smiles!r} is no fragment: {odd}. One part is needed.")
    single = chem.BondType.SINGLE
    if any(a.GetDegree() != 1 or a.GetBonds()[0].GetBondType() != single for a in dummies):
        raise ConfigError(
            f"make_fragment: every '*' of {smiles!r} must hang on exactly one single bond, because "
            f"fragments are joined by single bonds only."
        )
    found = [list(x) for x in labels] if labels else [[a.GetIsotope()] for a in dummies]
    if len(found) != len(dummies):
        raise ConfigError(
            f"make_fragment: {smiles!r} has {len(dummies)} ports and `labels` has {len(found)}."
        )
    for atom in dummies:
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    # Canonical SMILES are not always a fixed point of writing and reading: iterate to one.
    canonical = ""
    for _ in range(4):
        written, order = canonical_with_ports(molecule)
        places = [a.GetIdx() for a in molecule.GetAtoms() if a.GetAtomicNum() == 0]
        found = [found[places.index(index)] for index in order]
        if written == canonical:
            break
        canonical, molecule = written, chem.MolFromSmiles(written)
    group = port_symmetries(canonical)
    orbits = tuple(min(g[i] for g in group) for i in range(len(dummies)))
    union = tuple(
        tuple(sorted({x for j, seen in enumerate(found) if orbits[j] == orbit for x in seen}))
        for orbit in orbits
    )
    return Fragment(canonical, union, group, orbits, count)


def with_ports(smiles: str, atoms: Sequence[int], where: str) -> list[str]:
    """SMILES of a building block with ports in place of hydrogens, for each choice of its atoms.

    Choices of up to `MAX_PORTS` atoms are made; those for which there is no hydrogen are none.

    Args:
        smiles: The block, without ports.
        atoms: Numbers of the atoms that may bond, as often as they may.
        where: Who asks, for messages.

    Raises:
        ConfigError: If there is no such atom, or no choice is left.
    """
    try:
        molecule = parse_smiles(smiles, where, flat=True)
    except MoleculeError as error:
        raise ConfigError(str(error)) from error
    size = molecule.GetNumAtoms()
    if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
        raise ConfigError(f"{where}: {smiles!r} has ports already; leave the atoms out.")
    if max(atoms) >= size:
        raise ConfigError(
            f"{where}: {smiles!r} has {size} atoms, counted from 0, and none is {max(atoms)}."
        )
    found: dict[str, None] = {}
    for count in range(1, min(MAX_PORTS, len(atoms)) + 1):
        for chosen in itertools.combinations(sorted(atoms), count):
            piece = _substituted(molecule, chosen)
            if piece:
                found.setdefault(piece)
    if not found:
        raise ConfigError(
            f"{where}: no atom of {smiles!r} among {sorted(atoms)} has a hydrogen to give away."
        )
    return list(found)


def _substituted(block: Any, atoms: Sequence[int]) -> str:
    """A block with a port in place of a hydrogen at each of the atoms; empty if impossible."""
    chem = rdkit()
    molecule = chem.RWMol(block)
    for index in atoms:
        port = molecule.AddAtom(chem.Atom(0))
        molecule.AddBond(index, port, chem.BondType.SINGLE)
        atom = molecule.GetAtomWithIdx(index)
        atom.SetNumExplicitHs(max(atom.GetNumExplicitHs() - 1, 0))
    with rdkit("rdkit.rdBase").BlockLogs():
        if chem.SanitizeMol(molecule, catchErrors=True):
            return ""
    radicals = any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    return "" if radicals else str(chem.MolToSmiles(molecule))


def canonical_with_ports(molecule: Any) -> tuple[str, list[int]]:
    """Canonical SMILES, and the atom numbers of its dummies from left to right."""
    written = rdkit().MolToSmiles(molecule)
    order = molecule.GetPropsAsDict(includePrivate=True, includeComputed=True)[
        "_smilesAtomOutputOrder"
    ]
    return written, [i for i in order if molecule.GetAtomWithIdx(i).GetAtomicNum() == 0]


def port_symmetries(smiles: str) -> tuple[tuple[int, ...], ...]:
    """Permutations of the dummies of a SMILES that its automorphisms induce, identity first.

    A permutation is a symmetry exactly if numbering the ports through it gives the same molecule,
    which canonical SMILES decide without enumerating the automorphisms of the rest.
    """
    chem = rdkit()
    molecule = chem.MolFromSmiles(smiles)
    dummies = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]

    def numbered(permutation: Sequence[int]) -> str:
        for atom, number in zip(dummies, permutation, strict=True):
            atom.SetIsotope(number + 1)
        return str(chem.MolToSmiles(molecule))

    identity = numbered(range(len(dummies)))
    return tuple(p for p in itertools.permutations(range(len(dummies))) if numbered(p) == identity)


@cache
def compatible_labels() -> frozenset[tuple[int, int]]:
    """Ordered pairs of BRICS labels between which a single bond may be made, and (0, 0)."""
    rules = rdkit("rdkit.Chem.BRICS").reactionDefs
    pairs = {
        (int(a), int(b))
        for group in rules
        for a, b, bond in group
        if bond == "-" and a.isdigit() and b.isdigit()
    }
    return frozenset(pairs | {(b, a) for a, b in pairs} | {(ANY_LABEL, ANY_LABEL)})


def may_bond(a: Iterable[int], b: Iterable[int]) -> bool:
    """Whether some label of one port may meet some label of the other."""
    allowed = compatible_labels()
    return any(pair in allowed for pair in itertools.product(a, b))

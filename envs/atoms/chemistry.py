"""From arrays of atoms and bonds to molecules of RDKit and their records; no tensors here."""

from collections.abc import Iterator, Sequence
from typing import Any

from gflow.envs.molecules.extras import MoleculeError, oddity, parse_smiles, rdkit
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.scoring import Record, records_of

KINDS = {
    "B": (5, 0, 3),
    "C": (6, 0, 4),
    "N": (7, 0, 3),
    "O": (8, 0, 2),
    "F": (9, 0, 1),
    "Si": (14, 0, 4),
    "P": (15, 0, 3),
    "S": (16, 0, 2),
    "Cl": (17, 0, 1),
    "Br": (35, 0, 1),
    "I": (53, 0, 1),
    "B-": (5, -1, 4),
    "C-": (6, -1, 3),
    "N+": (7, 1, 4),
    "N-": (7, -1, 2),
    "O+": (8, 1, 3),
    "O-": (8, -1, 1),
    "S+": (16, 1, 3),
    "S-": (16, -1, 1),
}
"""Atomic number, formal charge and valence by name; hydrogens fill what bonds leave free."""

GROUPS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "SO": ((8, 0, 2),),
    "SO2": ((8, 0, 2), (8, 0, 2)),
    "PO": ((8, 0, 2),),
    "NO2": ((8, 0, 2), (8, -1, 1)),
}
"""What hangs on the atom of a kind that is a group: atomic number, charge, order of the bond.

Sulfoxides, sulfones and sulfonamides, phosphates and phosphonates, nitro. A group is built at once
and counts as one atom, so that no sulfur with six hydrogens is ever made.
"""

CENTRES = {"SO": (16, 0, 2), "SO2": (16, 0, 2), "PO": (15, 0, 3), "NO2": (7, 1, 1)}
"""The atom of each group as in `KINDS`; the valence is what the group leaves free."""

KINDS |= CENTRES

NITRO = ("N+", "O", "O-")
"""Kinds that make nitro without the group: with all of them, one molecule would be two graphs."""

Bond = tuple[int, int, int]
Structure = tuple[tuple[str, ...], tuple[Bond, ...]]
"""A Kekulé structure: names of the kinds of the atoms, and bonds as (atom, atom, order)."""


def sanitised(structure: Structure) -> Any:
    """The RDKit molecule with the same numbers of atoms, what hangs on groups after these.

    Aromatic rings are marked.

    Raises:
        MoleculeError: If RDKit does not accept it, which would be a fault of the valences here.
    """
    chem = rdkit()
    orders = (None, chem.BondType.SINGLE, chem.BondType.DOUBLE, chem.BondType.TRIPLE)
    atoms, bonds = structure
    free = [KINDS[name][2] for name in atoms]
    for i, j, order in bonds:
        free[i] -= order
        free[j] -= order
    molecule = chem.RWMol()
    try:
        for name, hydrogens in zip(atoms, free, strict=True):
            molecule.AddAtom(_atom(*KINDS[name][:2], hydrogens))
        for i, j, order in bonds:
            molecule.AddBond(i, j, orders[order])
        for i, name in enumerate(atoms):
            for number, charge, order in GROUPS.get(name, ()):
                molecule.AddBond(i, molecule.AddAtom(_atom(number, charge, 0)), orders[order])
        chem.SanitizeMol(molecule)
    except (ValueError, OverflowError) as error:
        raise MoleculeError(f"{structure} is no valid molecule: {error}") from error
    return molecule


def _atom(number: int, charge: int, hydrogens: int) -> Any:
    """An atom with so many hydrogens and no others."""
    atom = rdkit().Atom(number)
    atom.SetFormalCharge(charge)
    atom.SetNoImplicit(True)
    atom.SetNumExplicitHs(hydrogens)
    return atom


def heavy_atoms(name: str) -> int:
    """Heavy atoms of a kind: one, or more of a group."""
    return 1 + len(GROUPS.get(name, ()))


def molecule_of(structure: Structure) -> Any:
    """The molecule as RDKit reads it from SMILES, with implicit hydrogens."""
    smiles = rdkit().MolToSmiles(sanitised(structure))
    molecule = rdkit().MolFromSmiles(smiles)
    if molecule is None:
        raise MoleculeError(f"RDKit wrote {smiles!r} for {structure}, and cannot read it.")
    return molecule


def canonical(structure: Structure) -> str:
    """Canonical SMILES; empty without atoms."""
    return str(rdkit().MolToSmiles(molecule_of(structure))) if structure[0] else ""


def resonance_forms(structure: Structure) -> list[Structure]:
    """All placings of the double bonds of aromatic rings, `structure` among them."""
    molecule = sanitised(structure)
    ring = {
        (min(ends), max(ends))
        for b in molecule.GetBonds()
        if b.GetIsAromatic()
        for ends in [(b.GetBeginAtomIdx(), b.GetEndAtomIdx())]
    }
    atoms, bonds = structure
    paired = {x for i, j, order in bonds if (i, j) in ring and order == 2 for x in (i, j)}
    forms = []
    for doubles in _pairings(sorted(paired), ring):
        placed = ((i, j, 1 + ((i, j) in doubles) if (i, j) in ring else o) for i, j, o in bonds)
        forms.append((atoms, tuple(placed)))
    return forms


def _pairings(left: list[int], bonds: set[tuple[int, int]]) -> Iterator[set[tuple[int, int]]]:
    """All splits of the atoms into bonded pairs i < j."""
    if not left:
        yield set()
        return
    first, *others = left
    for other in others:
        if (first, other) in bonds:
            rest = [x for x in others if x != other]
            for pairs in _pairings(rest, bonds):
                yield {(first, other), *pairs}


class AtomScorer:
    """Structures in; out come records, and the structures of the same molecule. Picklable.

    Args:
        goal: What to measure, or None for SMILES only.
    """

    def __init__(self, goal: Goal | None) -> None:
        self.goal = goal

    def __call__(self, given: list[Structure]) -> list[tuple[Record, list[Structure]]]:
        """One record per structure, which does not yet know how many others are distinct."""
        records = records_of([molecule_of(x) for x in given], self.goal, [1] * len(given))
        return [
            (record, _forms(structure, record.smiles))
            for record, structure in zip(records, given, strict=True)
        ]


def _forms(structure: Structure, smiles: str) -> list[Structure]:
    """All structures of the molecule that has this one and these canonical SMILES."""
    forms = resonance_forms(structure)
    return [form for form in forms if canonical(form) == smiles] if len(forms) > 1 else forms


def structure_of(smiles: str, kinds: Sequence[str], max_atoms: int) -> Structure:
    """A structure of a molecule given as SMILES.

    Raises:
        MoleculeError: If it is no SMILES, has stereo marks, or these kinds cannot make it.
    """
    where = "Atoms.states_from_smiles"
    molecule = parse_smiles(smiles, where, flat=True)
    odd = oddity(molecule)
    if odd:
        raise MoleculeError(f"{where}: {smiles!r} cannot be built: {odd}.")
    rdkit().Kekulize(molecule, clearAromaticFlags=True)
    names = {KINDS[name][:2]: name for name in kinds if name not in GROUPS}
    groups = _groups(molecule, [name for name in kinds if name in GROUPS])
    gone = {at for _, hung in groups.values() for at in hung}
    kept = [atom for atom in molecule.GetAtoms() if atom.GetIdx() not in gone]
    place = {atom.GetIdx(): at for at, atom in enumerate(kept)}
    bonds = tuple(
        (min(ends), max(ends), int(b.GetBondTypeAsDouble()))
        for b in molecule.GetBonds()
        if not {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} & gone
        for ends in [(place[b.GetBeginAtomIdx()], place[b.GetEndAtomIdx()])]
    )
    reason, atoms = "", []
    for at, atom in enumerate(kept):
        if atom.GetIdx() in groups:
            name = groups[atom.GetIdx()][0]
        else:
            name = names.get((atom.GetAtomicNum(), atom.GetFormalCharge()), "")
        used = sum(order for i, j, order in bonds if at in (i, j)) + atom.GetTotalNumHs()
        if not name:
            reason = f"its atom {at} ({atom.GetSmarts()}) is not among {', '.join(kinds)}"
        elif used != KINDS[name][2]:
            reason = f"its atom {at} ({name}) has {used} bonds, and would need {KINDS[name][2]}"
        atoms.append(name)
        more = [g for g, c in CENTRES.items() if c[0] == atom.GetAtomicNum() and g not in kinds]
        if reason and more:
            reason += f" (kinds that are groups may help: {', '.join(more)})"
            break
    if len(atoms) > max_atoms:
        reason = f"it has {len(atoms)} heavy atoms and max_atoms is {max_atoms}"
    if reason:
        raise MoleculeError(f"{where}: {smiles!r} cannot be built: {reason}.")
    return tuple(atoms), bonds


def _groups(molecule: Any, kinds: Sequence[str]) -> dict[int, tuple[str, list[int]]]:
    """The groups of a molecule by the number of their atom: the kind, and the atoms hanging on it.

    Args:
        molecule: Kekulé form.
        kinds: Groups to look for. One fits an atom at most, by its valence.
    """
    found: dict[int, tuple[str, list[int]]] = {}
    for name in kinds:
        for atom in molecule.GetAtoms():
            if (atom.GetAtomicNum(), atom.GetFormalCharge()) != CENTRES[name][:2]:
                continue
            bonds = sum(int(bond.GetBondTypeAsDouble()) for bond in atom.GetBonds())
            whole = CENTRES[name][2] + sum(order for _, _, order in GROUPS[name])
            if bonds + atom.GetTotalNumHs() != whole:
                continue
            hung = _hanging(atom, GROUPS[name])
            if hung is not None:
                found[atom.GetIdx()] = name, hung
    return found


def _hanging(atom: Any, wanted: Sequence[tuple[int, int, int]]) -> list[int] | None:
    """Numbers of atoms at the end of bonds of an atom that are what is wanted, each; or None."""
    free: dict[tuple[int, int, int], list[int]] = {}
    for bond in atom.GetBonds():
        other = bond.GetOtherAtom(atom)
        if other.GetDegree() == 1 and other.GetTotalNumHs() == 0:
            kind = other.GetAtomicNum(), other.GetFormalCharge(), int(bond.GetBondTypeAsDouble())
            free.setdefault(kind, []).append(other.GetIdx())
    try:
        return [free.get(kind, []).pop() for kind in wanted]
    except IndexError:
        return None


def structures(
    names: Sequence[str], kinds: Sequence[Sequence[int]], bonds: Sequence[Sequence[Sequence[int]]]
) -> list[Structure]:
    """Structures of arrays (B, N) and (B, N, N); kind k > 0 is ``names[k - 1]``."""
    out: list[Structure] = []
    for row, orders in zip(kinds, bonds, strict=True):
        atoms = tuple(names[k - 1] for k in row if k > 0)
        pairs = ((i, j) for j in range(len(atoms)) for i in range(j))
        out.append((atoms, tuple((i, j, orders[i][j]) for i, j in pairs if orders[i][j])))
    return out

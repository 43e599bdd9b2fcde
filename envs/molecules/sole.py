"""Assemblies that are the only ones of their molecules, told from their fragments alone."""

import math
from collections.abc import Sequence

from gflow.envs.molecules.assembly import OPEN_PORT, Assembly, Builder, molecule_of
from gflow.envs.molecules.decompose import Decomposer, atom_code
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.fragments import Fragment, make_fragment

CAP, ANY = "[Fr]", (-1,)
"""Stands for what lies behind a bond that is certainly cut, whatever its labels; no drug has it."""

REMEMBERED = 100_000


class Sole:
    r"""Whether a molecule can be cut into fragments of a vocabulary in one way only.

    Two assemblies of a molecule differ in the bonds that they cut, for a piece is one fragment.
    What a fragment says of its atoms (element, charge, hydrogens, number of bonds, aromaticity)
    stays true in any molecule that is built with it, since it is joined by acyclic single bonds.
    So a bond between two fragments can lie *inside* a fragment of another assembly only if some
    fragment of the vocabulary has an acyclic single bond between such atoms. All other bonds
    between fragments are cut in every assembly, and what they leave are parts that can be looked
    at one by one: if none of them can be cut otherwise, with any labels behind those bonds, or
    only into so many pieces that there would be too many, there is no other assembly.

    Parts are small and few, and remembered.

    Args:
        fragments: The vocabulary.
        limit: Largest number of fragments of an assembly.
    """

    def __init__(self, fragments: Sequence[Fragment], limit: int) -> None:
        self.limit = limit
        cap = make_fragment(f"*{CAP}", [ANY])
        self.builder = Builder(fragments)
        self.decomposer = Decomposer([cap, *fragments], limit)
        for pair in self.decomposer.meets:
            self.decomposer.meets[pair] |= ANY in pair
        self.ends: list[list[int]] = []
        self.inner: set[tuple[int, int]] = set()
        self.aromatic: list[int] = []
        for fragment in fragments:
            self._read(fragment)
        self.known: dict[Assembly, tuple[int, float]] = {}

    def _read(self, fragment: Fragment) -> None:
        """The atoms at its ports, and the bonds that could be cut elsewhere."""
        molecule = rdkit().MolFromSmiles(fragment.smiles)
        single = rdkit().BondType.SINGLE
        atoms = list(molecule.GetAtoms())
        codes = [atom_code(atom) for atom in atoms]
        self.aromatic.append(sum(atom.GetIsAromatic() for atom in atoms))
        self.ends.append([])
        for atom in atoms:
            if atom.GetAtomicNum() == 0:
                self.ends[-1].append(codes[atom.GetNeighbors()[0].GetIdx()])
        for bond in molecule.GetBonds():
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            real = atoms[i].GetAtomicNum() and atoms[j].GetAtomicNum()
            if real and bond.GetBondType() == single and not bond.IsInRing():
                self.inner |= {(codes[i], codes[j]), (codes[j], codes[i])}

    def __call__(self, assembly: Assembly) -> bool:
        """True if there is certainly no other assembly of the molecule; False says nothing."""
        sizes = [self._sizes(part) for part in self.parts(assembly)]
        least = sum(smallest for smallest, _ in sizes)
        return all(least - smallest + other > self.limit for smallest, other in sizes)

    def parts(self, assembly: Assembly) -> list[Assembly]:
        """What is left of an assembly without the bonds that are cut in every other one, too."""
        fragments = assembly.fragments
        held = [
            ((i, p), (j, q))
            for (i, p), (j, q) in assembly.bonds
            if (self.ends[fragments[i]][p], self.ends[fragments[j]][q]) in self.inner
        ]
        if not held:
            return [Assembly((f,), ()) for f in fragments]
        group = list(range(len(fragments)))
        for (i, _), (j, _) in held:
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
        out = []
        for name in dict.fromkeys(group):
            nodes = [i for i, g in enumerate(group) if g == name]
            number = {i: at for at, i in enumerate(nodes)}
            bonds = (
                ((number[i], p), (number[j], q)) for (i, p), (j, q) in held if group[i] == name
            )
            out.append(Assembly(tuple(fragments[i] for i in nodes), tuple(bonds)))
        return out

    def _sizes(self, part: Assembly) -> tuple[int, float]:
        """How few pieces a part can be cut into, and how few in another way than this one."""
        if part not in self.known:
            while len(self.known) >= REMEMBERED:
                del self.known[next(iter(self.known))]
            text = self.builder.write_assembly(part)
            caps = text.count(OPEN_PORT)
            capped = molecule_of(text.replace(OPEN_PORT, f"({CAP})"))
            found = [n - caps for n in self.decomposer.sizes(capped, self.limit + caps)]
            own = len(part.fragments)
            smallest = min(found, default=0)
            if own in found:
                found.remove(own)
            self.known[part] = smallest, min(found, default=math.inf if smallest else 0)
        return self.known[part]

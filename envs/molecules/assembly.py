"""From trees of fragments to molecules: plain Python and RDKit, no tensors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gflow.envs.molecules.extras import MoleculeError, rdkit
from gflow.envs.molecules.fragments import Fragment

End = tuple[int, int]
OPEN_PORT = "(*)"
# Numbers of ring closures that join fragments; smaller ones stay free for rings inside them.
FIRST_CLOSURE = 50


@dataclass(frozen=True)
class Assembly:
    """A tree of fragments.

    Attributes:
        fragments: Vocabulary index of each node.
        bonds: Pairs of ends (node, port).
    """

    fragments: tuple[int, ...]
    bonds: tuple[tuple[End, End], ...]


class Builder:
    """Joins fragments by writing SMILES: each bond is a ring closure between two components.

    The SMILES parser does the assembling and the sanitising at once, in C++.
    """

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        self.templates = [_template(f.smiles) for f in fragments]
        self.ports = [f.ports for f in fragments]

    def write(self, fragment: Sequence[int], link: Sequence[Sequence[int]], k: int) -> str:
        """One state as SMILES, valid but not canonical.

        Args:
            fragment: Vocabulary index per node, negative at the end for none.
            link: Per node and port ``neighbour * k + port of the neighbour``, or -1.
            k: Number of ports per node in `link`.
        """
        closures: dict[int, str] = {}
        parts = []
        for i, f in enumerate(fragment):
            if f < 0:
                break
            slots = []
            for p in range(self.ports[f]):
                other, own = link[i][p], i * k + p
                if other < 0:
                    slots.append(OPEN_PORT)
                else:
                    bond = min(own, other)
                    if bond not in closures:
                        closures[bond] = f"-%{FIRST_CLOSURE + len(closures)}"
                    slots.append(closures[bond])
            parts.append(self.templates[f].format(*slots))
        return ".".join(parts)

    def write_assembly(
        self, assembly: Assembly, mark: bool = False, core: int | None = None
    ) -> str:
        """An assembly as SMILES, valid but not canonical.

        Args:
            assembly: What to write; ports without a bond stay open.
            mark: Put a dummy atom into each bond, so that the bonds can be told from those inside
                fragments: the canonical form then stands for the assembly, not for the molecule.
            core: A fragment that is there once, the bonds of which get marks of their own.
        """
        slots = [[OPEN_PORT] * self.ports[f] for f in assembly.fragments]
        markers = []
        for index, ((i, p), (j, q)) in enumerate(assembly.bonds):
            a, b = FIRST_CLOSURE + 2 * index, FIRST_CLOSURE + 2 * index + mark
            slots[i][p], slots[j][q] = f"-%{a}", f"-%{b}"
            if mark:
                own = "1" if core in (assembly.fragments[i], assembly.fragments[j]) else ""
                markers.append(f"[{own}*]-%{a}-%{b}")
        pieces = zip(assembly.fragments, slots, strict=True)
        return ".".join([*(self.templates[f].format(*s) for f, s in pieces), *markers])


def molecule_of(written: str) -> Any:
    """The molecule that `Builder` wrote."""
    molecule = rdkit().MolFromSmiles(written)
    if molecule is None:
        raise MoleculeError(
            f"The fragments {written!r} do not make a valid molecule. Please report this: it is a "
            f"fault of the vocabulary, not of the policy."
        )
    return molecule


def canonical(written: str) -> str:
    """Canonical SMILES of what `Builder` wrote; empty for the empty tree."""
    return str(rdkit().MolToSmiles(molecule_of(written))) if written else ""


def _template(smiles: str) -> str:
    """SMILES with ``{i}`` at the place where the bond of port i is written.

    Written from a real atom, every dummy is a leaf behind its atom, so that it can be replaced by
    a ring closure of that atom.
    """
    chem = rdkit()
    molecule = chem.MolFromSmiles(smiles)
    root, port = None, 0
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum() == 0:
            port += 1
            atom.SetIsotope(port)
        elif root is None:
            root = atom.GetIdx()
    written = chem.MolToSmiles(molecule, rootedAtAtom=root, canonical=False)
    slots = re.sub(
        r"\(-?\[(\d+)\*\]\)|-?\[(\d+)\*\]", lambda m: f"{{{int(m[1] or m[2]) - 1}}}", written
    )
    return str(slots)

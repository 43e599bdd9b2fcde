"""All cuts of a molecule into fragments of a vocabulary."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from gflow.envs.molecules.assembly import Assembly, Builder, canonical
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.fragments import MAX_PORTS, Fragment, may_bond

# A part of a solution: its pieces as (fragment, {bond: port}).
Piece = tuple[int, dict[int, int]]
Solution = tuple[Piece, ...]
Match = tuple[int, dict[int, int]]
Cut = tuple[int, int]  # a bond, and the block behind it
_Branch = tuple[int, list[int], int, list[Cut], list[Cut]]
DUMMY = 85  # astatine stands for dummies while matching: atoms without number match anything


class Decomposer:
    """Finds the assemblies that make a molecule.

    Bonds that may be cut are acyclic single bonds. Contracting all others leaves a tree of blocks;
    pieces are connected parts of it, compared with the vocabulary first by a number that adds up
    over atoms and bonds, and only then by an isomorphism test.

    Args:
        fragments: The vocabulary.
        max_fragments: Largest number of pieces.
        min_fragments: Smallest number of pieces.
        has_core: Whether the last fragment is a core: exactly one piece is this one. It may equal
            another fragment of the vocabulary, and then any of several pieces may be the core.
    """

    def __init__(
        self,
        fragments: Sequence[Fragment],
        max_fragments: int,
        min_fragments: int = 2,
        has_core: bool = False,
    ) -> None:
        self.fragments = fragments
        self.core = len(fragments) - 1 if has_core else None
        self.max_fragments, self.min_fragments = max_fragments, min_fragments
        self.builder = Builder(fragments)
        self.by_signature: dict[int, list[int]] = {}
        self.patterns: list[_Pattern] = []
        self.max_atoms = 0
        for index, fragment in enumerate(fragments):
            molecule = rdkit().MolFromSmiles(fragment.smiles)
            self.by_signature.setdefault(_signature(molecule), []).append(index)
            heavy = molecule.GetNumAtoms() - fragment.ports
            self.max_atoms = max(self.max_atoms, heavy)
            self.patterns.append(_Pattern(molecule))
        kinds = sorted({x for f in fragments for x in f.labels})
        self.meets = {(a, b): may_bond(a, b) for a in kinds for b in kinds}  # by label sets

    def assemblies(self, molecule: Any) -> list[Assembly]:
        """Assemblies that make `molecule` (an RDKit molecule without stereo marks).

        Assemblies that a symmetry of the molecule maps to each other are one assembly.
        """
        search = _Search(self, molecule, self.max_fragments)
        found = [self._assembly(s) for s in search.below(0, None)]
        found = [a for a in found if self.min_fragments <= len(a.fragments)]
        if self.core is not None:
            found = [a for a in found if a.fragments.count(self.core) == 1]
        return self._distinct(found)

    def sizes(self, molecule: Any, limit: int) -> list[int]:
        """The numbers of pieces of all cuts into at most `limit`, symmetric ones apart."""
        return [len(solution) for solution in _Search(self, molecule, limit).below(0, None)]

    def _assembly(self, solution: Solution) -> Assembly:
        ends: dict[int, list[tuple[int, int]]] = {}
        for node, (_, ports) in enumerate(solution):
            for bond, port in ports.items():
                ends.setdefault(bond, []).append((node, port))
        return Assembly(
            tuple(piece[0] for piece in solution), tuple((a, b) for a, b in ends.values())
        )

    def _distinct(self, found: list[Assembly]) -> list[Assembly]:
        groups: dict[object, list[Assembly]] = {}
        for assembly in found:
            groups.setdefault(self._invariant(assembly), []).append(assembly)
        out: list[Assembly] = []
        for group in groups.values():
            if len(group) == 1:
                out += group
            else:
                forms = {
                    canonical(self.builder.write_assembly(a, True, self.core)): a for a in group
                }
                out += forms.values()
        return out

    def _invariant(self, assembly: Assembly) -> object:
        def end(node: int, port: int) -> tuple[int, int]:
            index = assembly.fragments[node]
            return index, self.fragments[index].orbits[port]

        bonds = sorted(tuple(sorted((end(*a), end(*b)))) for a, b in assembly.bonds)
        return tuple(sorted(assembly.fragments)), tuple(bonds)


class _Search:
    """The blocks of one molecule and the recursion over them."""

    def __init__(self, parent: Decomposer, molecule: Any, limit: int) -> None:
        self.parent, self.molecule = parent, molecule  # atoms do not keep it alive
        self.limit = limit
        atoms = self.atoms = list(molecule.GetAtoms())
        self.hydrogens = [a.GetTotalNumHs() for a in atoms]
        codes = [atom_code(a) for a in atoms]
        single = rdkit().BondType.SINGLE
        block = list(range(len(atoms)))

        def find(i: int) -> int:
            while block[i] != i:
                block[i] = block[block[i]]
                i = block[i]
            return i

        self.bonds: dict[int, tuple[int, int]] = {}
        # Per atom its bonds that begin there: number, other end, type.
        self.upward: list[list[tuple[int, int, Any]]] = [[] for _ in atoms]
        self.known: dict[int | None, list[Solution]] = {}
        kept: dict[int, int] = {}
        inner = []
        for bond in molecule.GetBonds():
            a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            self.upward[a].append((bond.GetIdx(), b, bond.GetBondType()))
            if bond.GetBondType() == single and not bond.IsInRing():
                self.bonds[bond.GetIdx()] = (a, b)
                kept[bond.GetIdx()] = _bond_code(bond, codes)
            else:
                block[find(a)] = find(b)
                inner.append((a, _bond_code(bond, codes)))
        roots = sorted({find(i) for i in range(len(atoms))})
        number = {root: i for i, root in enumerate(roots)}
        self.members: list[list[int]] = [[] for _ in roots]
        self.sums = [0] * len(roots)
        self.block = [number[find(i)] for i in range(len(atoms))]
        for i, code in enumerate(codes):
            self.members[self.block[i]].append(i)
            self.sums[self.block[i]] += code
        for a, code in inner:
            self.sums[self.block[a]] += code
        self.kept = kept
        self.severed = {
            (e, self.block[a]): _port_code(codes[a]) for e, ends in self.bonds.items() for a in ends
        }
        self.around: list[list[int]] = [[] for _ in roots]
        for e, (a, b) in self.bonds.items():
            self.around[self.block[a]].append(e)
            self.around[self.block[b]].append(e)

    def other(self, bond: int, block: int) -> int:
        a, b = (self.block[i] for i in self.bonds[bond])
        return b if a == block else a

    def below(self, top: int, above: int | None) -> list[Solution]:
        """Cuts of what hangs below bond `above`, starting at block `top`.

        The first piece of each is the one that holds `top`.
        """
        if above not in self.known:
            self.known[above] = self._below(top, above)
        return self.known[above]

    def _below(self, top: int, above: int | None) -> list[Solution]:
        limit = self.limit - (above is not None)
        out: list[Solution] = []
        for index, ports, cuts in self.tops(top, above):
            choices: list[list[Solution]] = []
            for bond, block in cuts:
                mine = self.parent.fragments[index].labels[ports[bond]]
                fitting = [
                    s
                    for s in self.below(block, bond)
                    if self.parent.meets[mine, self._labels(s[0], bond)]
                ]
                choices.append(fitting)
                if not fitting:
                    break
            else:
                for parts in product(*choices):
                    solution = ((index, ports), *(piece for part in parts for piece in part))
                    if len(solution) <= limit:
                        out.append(solution)
        return out

    def _labels(self, piece: Piece, bond: int) -> tuple[int, ...]:
        return self.parent.fragments[piece[0]].labels[piece[1][bond]]

    def tops(
        self, top: int, above: int | None
    ) -> list[tuple[int, dict[int, int], list[tuple[int, int]]]]:
        """Pieces that hold `top`: fragment, ports by bond, and the cuts with the blocks below."""
        out = []
        limit, max_atoms = MAX_PORTS - (above is not None), self.parent.max_atoms
        start = self.sums[top] + (self.severed[above, top] if above is not None else 0)
        frontier = [(e, top) for e in self.around[top] if e != above]
        stack: list[_Branch] = [(start, [top], len(self.members[top]), frontier, [])]
        while stack:
            signature, inside, size, frontier, cuts = stack.pop()
            if not frontier:
                if signature in self.parent.by_signature and (cuts or above is not None):
                    matches = self.matches(signature, inside, above, [e for e, _ in cuts])
                    out += [(*match, cuts) for match in matches]
                continue
            (bond, block), rest = frontier[0], frontier[1:]
            beyond = self.other(bond, block)
            if len(cuts) < limit:
                severed = signature + self.severed[bond, block]
                stack.append((severed, inside, size, rest, [*cuts, (bond, beyond)]))
            larger = size + len(self.members[beyond])
            if larger <= max_atoms:
                more = [(e, beyond) for e in self.around[beyond] if e != bond]
                joined = signature + self.sums[beyond] + self.kept[bond]
                stack.append((joined, [*inside, beyond], larger, rest + more, cuts))
        return out

    def matches(
        self, signature: int, inside: list[int], above: int | None, cuts: list[int]
    ) -> list[Match]:
        """The fragment that the blocks `inside` are, and the port at which each bond is cut.

        There is one or none, or two, if the core is a fragment of the vocabulary as well.
        """
        found: list[Match] = []
        wanted = [i for block in inside for i in self.members[block]]
        bonds = cuts if above is None else [above, *cuts]
        piece = self.piece(wanted, bonds)
        size = len(wanted) + len(bonds)
        for index in self.parent.by_signature[signature]:
            pattern = self.parent.patterns[index]
            if pattern.molecule.GetNumAtoms() != size:
                continue
            for image in piece.GetSubstructMatches(
                pattern.molecule, uniquify=False, maxMatches=10_000
            ):
                if all(self.hydrogens[wanted[image[i]]] == h for i, h in pattern.hydrogens):
                    ports = enumerate(pattern.dummies)
                    match = index, {bonds[image[i] - len(wanted)]: port for port, i in ports}
                    found.append(match)
                    break
        return found

    def piece(self, wanted: list[int], cuts: list[int]) -> Any:
        """The part of the molecule on atoms `wanted`, then one dummy per cut bond."""
        chem = rdkit()
        piece = chem.RWMol()
        number = {}
        for i in wanted:
            number[i] = piece.AddAtom(self.atoms[i])
        for i in wanted:
            for e, j, kind in self.upward[i]:
                if j in number and e not in cuts:
                    piece.AddBond(number[i], number[j], kind)
        for e in cuts:
            a, b = self.bonds[e]
            dummy = piece.AddAtom(chem.Atom(DUMMY))
            piece.AddBond(number[a if a in number else b], dummy, chem.BondType.SINGLE)
        return piece


class _Pattern:
    """A fragment as a substructure query.

    Attributes:
        molecule: The query, with astatine for dummies.
        dummies: Atom numbers of the ports, in order.
        hydrogens: (atom, number of hydrogens) of the other atoms, which the query does not see.
    """

    def __init__(self, molecule: Any) -> None:
        atoms = list(molecule.GetAtoms())
        self.dummies = [a.GetIdx() for a in atoms if a.GetAtomicNum() == 0]
        self.hydrogens = [(a.GetIdx(), a.GetTotalNumHs()) for a in atoms if a.GetAtomicNum()]
        for i in self.dummies:
            atoms[i].SetAtomicNum(DUMMY)
        self.molecule = molecule


def _signature(molecule: Any) -> int:
    """The number that a piece equal to this fragment has; see `Decomposer`."""
    codes = [atom_code(a) for a in molecule.GetAtoms()]
    total = 0
    for atom, code in zip(molecule.GetAtoms(), codes, strict=True):
        total += code if atom.GetAtomicNum() else 0
    for bond in molecule.GetBonds():
        a, b = bond.GetBeginAtom(), bond.GetEndAtom()
        if a.GetAtomicNum() and b.GetAtomicNum():
            total += _bond_code(bond, codes)
        else:
            total += _port_code(codes[(a if a.GetAtomicNum() else b).GetIdx()])
    return total


def atom_code(atom: Any) -> int:
    """What a fragment says of an atom, as a number; the same in every molecule built with it."""
    return hash(
        (
            atom.GetAtomicNum(),
            atom.GetFormalCharge(),
            atom.GetTotalNumHs(),
            atom.GetDegree(),
            int(atom.GetIsAromatic()),
        )
    )


def _bond_code(bond: Any, codes: list[int]) -> int:
    a, b = codes[bond.GetBeginAtomIdx()], codes[bond.GetEndAtomIdx()]
    return hash((int(bond.GetBondType()), a + b, a ^ b))


def _port_code(code: int) -> int:
    return hash((-1, code))

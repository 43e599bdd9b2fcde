"""What RDKit says of reactions, forward and back, each asked once; no tensors here."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from gflow.envs.molecules.extras import rdkit
from gflow.envs.reactions.templates import Template
from gflow.errors import ConfigError

X = TypeVar("X")
Y = TypeVar("Y")

NO_BLOCK = -1
"""The second block of a reaction that needs none."""

MOST = 1000
"""Ways of one reaction that RDKit looks at."""

MOLECULES = 20_000
"""RDKit's molecules that are kept: they are large, and soon read again."""


class Step(NamedTuple):
    """A way to a molecule by one reaction.

    Attributes:
        slot: Number of the template and of the place that the molecule takes in it.
        block: Number of the other reactant, `NO_BLOCK` if there is none.
        outcome: Number of the product among those of this reaction.
        before: SMILES of the molecule that reacts.
    """

    slot: int
    block: int
    outcome: int
    before: str


class Remembered(dict[X, Y]):
    """A function of one key whose values are kept, all dropped when there are too many."""

    def __init__(self, function: Callable[[X], Y], capacity: int) -> None:
        super().__init__()
        self.function, self.capacity = function, capacity

    def __missing__(self, key: X) -> Y:
        value = self.function(key)
        if len(self) >= self.capacity:
            self.clear()
        self[key] = value
        return value


class Chemist:
    """Reactions of molecules with blocks, and the ways back to blocks; picklable.

    Molecules are canonical SMILES. A *slot* is a template with the place in it that the molecule
    takes: those of template t follow those of template t - 1.

    **Which reactions there are.** A product counts if RDKit reads it as one molecule without
    radicals and if the template turned round takes it apart into the same reactants; equal products
    are one, and of different ones the first `max_outcomes` in the order of their SMILES count. So
    what leads to a molecule can be found from the molecule alone.

    **Which are possible is known before.** Whether a block can be a template's other reactant is
    decided once, and whether a molecule can be in a slot is decided with one small block (the
    *probe*) in the other place.

    Args:
        templates: The reactions.
        blocks: Canonical SMILES, all different.
        max_steps: Largest number of reactions of a route.
        max_outcomes: Largest number of products of one reaction that are told apart.
        capacity: Number of results kept of each kind.
    """

    def __init__(
        self,
        templates: Sequence[Template],
        blocks: Sequence[str],
        max_steps: int,
        max_outcomes: int = 8,
        capacity: int = 200_000,
    ) -> None:
        self.settings = tuple(templates), tuple(blocks), max_steps, max_outcomes, capacity
        self.templates, self.blocks = self.settings[:2]
        self.max_steps, self.max_outcomes = max_steps, max_outcomes
        self.slots = tuple(
            (t, s) for t, template in enumerate(templates) for s in range(template.reactants)
        )
        self.takes_block = tuple(templates[t].reactants == 2 for t, _ in self.slots)
        self.number = {smiles: i for i, smiles in enumerate(blocks)}
        self.molecules = Remembered[str, Any](rdkit().MolFromSmiles, min(capacity, MOLECULES))
        self.canonical = Remembered(self._canonical, capacity)
        self.products = Remembered(self._products, capacity)
        self.precursors = Remembered(self._precursors, capacity)
        self.open_slots = Remembered(self._open_slots, capacity)
        self.ways = Remembered(self._ways, capacity)
        self.counts = Remembered(self._count, capacity)

    def __reduce__(self) -> tuple[Any, ...]:
        return Chemist, self.settings

    # ------------------------------------------------------------------ one reaction

    def react(self, slot: int, molecule: str, block: int) -> tuple[str, ...]:
        """The different products of a molecule in a slot with a block, in order."""
        t, s = self.slots[slot]
        if block == NO_BLOCK:
            return self.products[t, (molecule,)]
        other = self.blocks[block]
        return self.products[t, (other, molecule) if s else (molecule, other)]

    def _products(self, key: tuple[int, tuple[str, ...]]) -> tuple[str, ...]:
        t, reactants = key
        found = self._run(self.templates[t].forward, reactants)
        sound = {p for p in found if reactants in self.precursors[t, p, False]}
        return tuple(sorted(sound)[: self.max_outcomes])

    def _precursors(self, key: tuple[int, str, bool]) -> frozenset[tuple[str, ...]]:
        """What the template turned round makes of a product, where enough of it are blocks.

        With True as the last of the key both reactants must be blocks, else one.
        """
        t, product, last = key
        template, molecule = self.templates[t], self.molecules[product]
        if not molecule.HasSubstructMatch(template.made):
            return frozenset()
        found = set()
        for back in template.backward:
            for made in back.RunReactants((molecule,), maxProducts=MOST):
                found.add(self._taken_apart(t, made, last))
        return frozenset(reactants for reactants in found if all(reactants))

    def _taken_apart(self, t: int, made: Sequence[Any], last: bool) -> tuple[str, ...]:
        """SMILES of reactants; an empty text where one is not sound or no block."""
        if len(made) == 1:
            return (self.sound(made[0]),)
        fits, places = self.fits[t], (0, 1)
        maybe = [s for s in places if made[s].GetNumAtoms() in self.sizes[t][s]]
        if len(maybe) < 1 + last:
            return ("",)
        known = [fits[s].get(composition(made[s]), ()) if s in maybe else () for s in places]
        texts = [self.sound(made[s]) if known[s] else "" for s in places]
        blocks = [bool(texts[s]) and texts[s] in known[s] for s in places]
        if sum(blocks) < 1 + last:
            return ("",)
        return tuple(texts[s] or self.sound(made[s]) for s in places)

    def _run(self, reaction: Any, reactants: tuple[str, ...]) -> set[str]:
        """Canonical SMILES of the sound products of a reaction."""
        molecules = tuple(self.molecules[smiles] for smiles in reactants)
        made = reaction.RunReactants(molecules, maxProducts=MOST)
        return {self.sound(product) for (product,) in made} - {""}

    def sound(self, product: Any) -> str:
        """Canonical SMILES of what a reaction made; empty if it is no one closed-shell molecule."""
        return self.canonical[rdkit().MolToSmiles(product)]

    def _canonical(self, written: str) -> str:
        chem = rdkit()
        with rdkit("rdkit.rdBase").BlockLogs():
            molecule = chem.MolFromSmiles(written)
        if molecule is None or "." in written or radicals(molecule):
            return ""
        return str(chem.MolToSmiles(molecule))

    @cached_property
    def fits(self) -> tuple[tuple[dict[Any, set[str]], ...], ...]:
        """For each template and place the blocks with the pattern, by composition."""
        return tuple(tuple(map(self._by_composition, t.patterns)) for t in self.templates)

    def _by_composition(self, pattern: Any) -> dict[Any, set[str]]:
        found: dict[Any, set[str]] = {}
        for b in self._fitting(pattern):
            smiles = self.blocks[b]
            found.setdefault(composition(self.molecules[smiles]), set()).add(smiles)
        return found

    @cached_property
    def sizes(self) -> tuple[tuple[frozenset[int], ...], ...]:
        """Numbers of atoms of these blocks."""
        return tuple(tuple(frozenset(map(len, fit)) for fit in fits) for fits in self.fits)

    # ------------------------------------------------------------------ what is possible

    @cached_property
    def partners(self) -> tuple[frozenset[int], ...]:
        """For each slot the blocks that can be the other reactant; none if there is no other."""
        found: list[frozenset[int]] = []
        for t, template in enumerate(self.templates):
            if template.reactants == 1:
                found.append(frozenset())
                continue
            fits = [self._fitting(pattern) for pattern in template.patterns]
            probes = self._probes(t, fits)
            for s in (0, 1):
                good = (b for b in fits[1 - s] if probes and self._meets(t, s, probes[s], b))
                found.append(frozenset(good))
        return tuple(found)

    @cached_property
    def probes(self) -> tuple[int, ...]:
        """For each slot the block in the other place by which molecules are tried."""
        size = [self.molecules[smiles].GetNumAtoms() for smiles in self.blocks]
        return tuple(
            min(blocks, key=lambda b: (size[b], b)) if blocks else NO_BLOCK
            for blocks in self.partners
        )

    def _fitting(self, pattern: Any) -> list[int]:
        """Blocks with the pattern, small ones first."""
        molecules = [self.molecules[smiles] for smiles in self.blocks]
        fits = [i for i, m in enumerate(molecules) if m.HasSubstructMatch(pattern)]
        return sorted(fits, key=lambda i: (molecules[i].GetNumAtoms(), i))

    def _probes(self, t: int, fits: Sequence[Sequence[int]]) -> tuple[int, int] | None:
        """The first pair of blocks that react."""
        for first in fits[0]:
            for second in fits[1]:
                if self.products[t, (self.blocks[first], self.blocks[second])]:
                    return first, second
        return None

    def _meets(self, t: int, s: int, molecule: int, block: int) -> bool:
        pair = (molecule, block) if s == 0 else (block, molecule)
        return bool(self.products[t, (self.blocks[pair[0]], self.blocks[pair[1]])])

    def _open_slots(self, molecule: str) -> tuple[int, ...]:
        """The slots that a molecule can take."""
        found = []
        for slot in range(len(self.slots)):
            if self.takes_block[slot] and not self.partners[slot]:
                continue
            if self._matches(slot, molecule) and self.react(slot, molecule, self.probes[slot]):
                found.append(slot)
        return tuple(found)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Blocks with which a route can begin: those that a reaction takes.

        Raises:
            ConfigError: If no block reacts.
        """
        found = tuple(i for i, smiles in enumerate(self.blocks) if self.open_slots[smiles])
        if not found:
            template = self.templates[0]
            fits = " and ".join(str(len(self._fitting(pattern))) for pattern in template.patterns)
            raise ConfigError(
                f"Reactions: none of the {len(self.blocks)} blocks reacts by any of the "
                f"{len(self.templates)} templates. The patterns of the first, {template.name!r}, "
                f"are in {fits} of the blocks. A product counts if the template turned round takes "
                f"it apart into the same reactants: lost atoms must be written out, with elements."
            )
        return found

    # ------------------------------------------------------------------ the ways back

    def _ways(self, key: tuple[str, int]) -> tuple[Step, ...]:
        """All last steps of routes with so many reactions to a molecule, in order."""
        molecule, steps = key
        found = set()
        for slot, (t, s) in enumerate(self.slots):
            for reactants in self.precursors[t, molecule, steps == 1] if steps else ():
                before, block = reactants[s], NO_BLOCK
                if len(reactants) == 2:
                    block = self.number.get(reactants[1 - s], NO_BLOCK)
                    if block not in self.partners[slot]:
                        continue
                if (
                    self._matches(slot, before)
                    and self.reached(before, steps - 1)
                    and slot in self.open_slots[before]
                ):
                    products = self.react(slot, before, block)
                    if molecule in products:
                        found.add(Step(slot, block, products.index(molecule), before))
        return tuple(sorted(found))

    def _matches(self, slot: int, molecule: str) -> bool:
        t, s = self.slots[slot]
        return bool(self.molecules[molecule].HasSubstructMatch(self.templates[t].patterns[s]))

    def reached(self, molecule: str, steps: int) -> bool:
        """Whether routes of so many reactions lead to a molecule."""
        if steps == 0:
            return self.number.get(molecule, NO_BLOCK) in self._starts
        return bool(self.ways[molecule, steps])

    @cached_property
    def _starts(self) -> frozenset[int]:
        return frozenset(self.starts)

    def lengths(self, molecule: str) -> tuple[int, ...]:
        """The numbers of reactions, at least one, by which a molecule is reached."""
        return tuple(d for d in range(1, self.max_steps + 1) if self.reached(molecule, d))

    def _count(self, key: tuple[str, int]) -> int:
        """The number of routes of so many reactions."""
        molecule, steps = key
        if steps == 0:
            return int(self.reached(molecule, 0))
        return sum(self.counts[step.before, steps - 1] for step in self.ways[key])


def composition(molecule: Any) -> tuple[int, ...]:
    """Atomic numbers in order."""
    atom = molecule.GetAtomWithIdx  # far quicker than GetAtoms
    return tuple(sorted([atom(i).GetAtomicNum() for i in range(molecule.GetNumAtoms())]))


def radicals(molecule: Any) -> bool:
    """Whether an atom has unpaired electrons."""
    atom = molecule.GetAtomWithIdx
    return any(atom(i).GetNumRadicalElectrons() for i in range(molecule.GetNumAtoms()))

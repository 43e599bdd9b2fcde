"""The part of the molecule environment that lives on the host: scoring, remembering, reading."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from gflow.envs.molecules.assembly import Assembly, Builder, canonical
from gflow.envs.molecules.decompose import Decomposer
from gflow.envs.molecules.extras import MoleculeError, oddity, parse_smiles, rdkit
from gflow.envs.molecules.factors import pattern
from gflow.envs.molecules.fragments import Fragment
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.scoring import Built, Record, Scorer
from gflow.envs.molecules.vocabulary import Vocabulary, cut
from gflow.rewards.pool import can_begin
from gflow.rewards.pools import Pool, open_pool

Rows = Sequence[Sequence[int]]


class Host:
    """Scores finished molecules, each once.

    Args:
        vocabulary: The fragments.
        goal: What to measure, or None.
        max_fragments: Limits of the environment.
        min_fragments: Limits of the environment.
        workers: Number of worker processes.
        capacity: Number of records kept; the oldest go first.
        timeout: Seconds that scoring one molecule may take; None for no limit.
        pool: Where workers are, or a pool.
        core: The fragment that every molecule holds once, numbered after the vocabulary; or None.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        goal: Goal | None,
        max_fragments: int,
        min_fragments: int,
        workers: int = 0,
        capacity: int = 200_000,
        timeout: float | None = None,
        pool: str | Pool = "local",
        core: Fragment | None = None,
    ) -> None:
        self.vocabulary, self.goal, self.capacity = vocabulary, goal, capacity
        self.max_fragments = max_fragments
        self.core = core
        fragments = vocabulary.fragments if core is None else (*vocabulary.fragments, core)
        self.max_ports = max(f.ports for f in fragments)
        self.builder = Builder(fragments)
        self.scorer = Scorer(fragments, goal, max_fragments, min_fragments, core is not None)
        self.pool = open_pool(pool, workers, timeout)
        self.memory: dict[int, Record] = {}
        self._ahead: tuple[list[int], Callable[[], list[Record]]] | None = None
        self.scored = 0

    def foresee(self, keys: Sequence[int], fragment: Rows, link: Sequence[Rows]) -> bool:
        """Have workers begin with the finished states that are new; whether there are any."""
        if not can_begin(self.pool):
            return False
        self._settle()
        fresh = self._fresh(keys)
        if fresh:
            given = [self.built(fragment[row], link[row]) for row in fresh.values()]
            pool: Any = self.pool
            self._ahead = list(fresh), pool.begin(self.scorer, given)
        return bool(fresh)

    def _fresh(self, keys: Sequence[int]) -> dict[int, int]:
        """Distinct keys that are not remembered, with the first row of each."""
        fresh: dict[int, int] = {}
        for row, key in enumerate(keys):
            if key not in self.memory:
                fresh.setdefault(key, row)
        return fresh

    def _settle(self) -> None:
        """Remember what was begun."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            keys, wait = ahead
            self.memory.update(zip(keys, wait(), strict=True))
            self.scored += len(keys)

    def records(self, keys: Sequence[int], fragment: Rows, link: Sequence[Rows]) -> list[Record]:
        """Records of finished states, given with their keys; new ones are scored together."""
        self._settle()
        fresh = self._fresh(keys)
        known: dict[int, Record] = {}
        if fresh:
            given = [self.built(fragment[row], link[row]) for row in fresh.values()]
            known = dict(zip(fresh, self.pool.map(self.scorer, given), strict=True))
            self.scored += len(fresh)
        out = [known[key] if key in known else self.memory[key] for key in keys]
        self.memory.update(known)
        while len(self.memory) > self.capacity:
            del self.memory[next(iter(self.memory))]
        return out

    def built(self, fragment: Sequence[int], link: Rows) -> Built:
        """One finished state for the scorer."""
        k = self.max_ports
        ends = ((i, p) for i, f in enumerate(fragment) if f >= 0 for p in range(k))
        bonds = tuple(((i, p), divmod(link[i][p], k)) for i, p in ends if link[i][p] > i * k + p)
        assembly = Assembly(tuple(f for f in fragment if f >= 0), bonds)
        return Built(self.builder.write(fragment, link, k), assembly)

    def smiles(self, fragment: Rows, link: Sequence[Rows]) -> list[str]:
        """Canonical SMILES of states, finished or not."""
        written = (
            self.builder.write(f, rows, self.max_ports)
            for f, rows in zip(fragment, link, strict=True)
        )
        return [canonical(text) for text in written]

    @property
    def decomposer(self) -> Decomposer:
        """The decomposer of this process."""
        return self.scorer.decomposer

    def decompose(self, smiles: str) -> list[Assembly]:
        """All assemblies of a molecule; none of a salt, a mixture or an isotope."""
        molecule = parse_smiles(smiles, "Molecules.decompose", flat=True)
        return [] if oddity(molecule) else self.decomposer.assemblies(molecule)

    def one_assembly(self, smiles: str) -> Assembly:
        """The first assembly of a molecule.

        Raises:
            MoleculeError: If there is none, saying why.
        """
        molecule = parse_smiles(smiles, "Molecules.states_from_smiles", flat=True)
        odd = oddity(molecule)
        found = [] if odd else self.decomposer.assemblies(molecule)
        if found:
            return found[0]
        pieces = [rdkit().CanonSmiles(_unlabelled(piece)) for piece in cut(molecule)]
        known = {f.smiles for f in self.vocabulary.fragments}
        missing = [piece for piece in dict.fromkeys(pieces) if piece not in known]
        if odd:
            reason = odd
        elif self.core is not None and not molecule.HasSubstructMatch(pattern(self.core.smiles)):
            reason = f"it does not hold the core {self.core.smiles}"
        elif not pieces:
            reason = "it has no bond that the BRICS rules cut, so it is no tree of fragments"
        elif missing:
            reason = (
                f"its piece{'s' * (len(missing) > 1)} {', '.join(missing)} "
                f"{'are' if len(missing) > 1 else 'is'} not among the {len(known)} fragments"
            )
        elif len(pieces) > self.max_fragments:
            reason = f"it needs {len(pieces)} fragments and max_fragments is {self.max_fragments}"
        else:
            reason = "its pieces are in the vocabulary, but their ports may not be bonded like this"
        raise MoleculeError(
            f"Molecules.states_from_smiles: {smiles!r} cannot be built: {reason}. Leave it out "
            f"(`decompose` returns an empty list for it), or cut a vocabulary from such molecules."
        )

    def close(self) -> None:
        """End the worker processes."""
        self.pool.close()


def _unlabelled(smiles: str) -> str:
    return re.sub(r"\[\d+\*\]", "*", smiles)

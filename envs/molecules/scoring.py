"""What is computed once per finished molecule, in this process or in a worker; no tensors here."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from gflow.envs.molecules.assembly import Assembly, molecule_of
from gflow.envs.molecules.decompose import Decomposer
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.fragments import Fragment
from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.sole import Sole


class Record(NamedTuple):
    """What is known of a finished molecule.

    Attributes:
        smiles: Canonical SMILES.
        value: Raw reward; NaN if the environment has a reward of its own.
        properties: In the order of the goal.
        assemblies: Number of assemblies, within the limits of the environment, that make it.
        factor: What the reward of the properties was multiplied by to give `value`.
    """

    smiles: str
    value: float
    properties: tuple[float, ...]
    assemblies: int
    factor: float = 1.0


def records_of(
    molecules: Sequence[Any], goal: Goal | None, assemblies: Sequence[int]
) -> list[Record]:
    """Records of RDKit molecules, each made by so many assemblies."""
    smiles = [str(rdkit().MolToSmiles(molecule)) for molecule in molecules]
    if goal is None:
        return [Record(s, math.nan, (), m) for s, m in zip(smiles, assemblies, strict=True)]
    measured = goal.measure(molecules, smiles)
    factors = map(goal.factor, molecules)
    return [
        Record(text, goal.value(row) * factor, row, m, factor)
        for text, row, m, factor in zip(smiles, measured, assemblies, factors, strict=True)
    ]


class Built(NamedTuple):
    """A finished state as it is sent to be scored.

    Attributes:
        written: SMILES by `Builder.write`.
        assembly: The same as a tree of fragments.
    """

    written: str
    assembly: Assembly

    def __repr__(self) -> str:
        return repr(self.written)  # in messages about molecules that fail


class Scorer:
    """Assemblies in, records out; picklable, and cheap to send to a worker.

    Args:
        fragments: The vocabulary.
        goal: What to measure, or None for SMILES and assemblies only.
        max_fragments: Limit within which assemblies are counted.
        min_fragments: As above.
        has_core: Whether the last fragment is a core, which every assembly holds exactly once.
    """

    def __init__(
        self,
        fragments: Sequence[Fragment],
        goal: Goal | None,
        max_fragments: int,
        min_fragments: int,
        has_core: bool = False,
    ) -> None:
        self.settings = (tuple(fragments), goal, max_fragments, min_fragments, has_core)

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}

    @cached_property
    def decomposer(self) -> Decomposer:
        """Built where it is used."""
        fragments, _, high, low, has_core = self.settings
        return Decomposer(fragments, high, low, has_core)

    @cached_property
    def sole(self) -> Sole:
        """Likewise."""
        return Sole(self.settings[0], self.settings[2])

    def __call__(self, given: list[Built]) -> list[Record]:
        """One record per assembly."""
        molecules = [molecule_of(built.written) for built in given]
        pairs = zip(molecules, given, strict=True)
        assemblies = [self.assemblies(molecule, built.assembly) for molecule, built in pairs]
        return records_of(molecules, self.settings[1], assemblies)

    def assemblies(self, molecule: Any, assembly: Assembly) -> int:
        """The number of assemblies of a molecule, of which one is known."""
        if self.settings[4]:  # which of several equal pieces is the core, only a search can tell
            return max(len(self.decomposer.assemblies(molecule)), 1)
        rings = sum(self.sole.aromatic[f] for f in assembly.fragments)
        if rings == len(molecule.GetAromaticAtoms()) and self.sole(assembly):
            return 1
        # At least 1: the assembly at hand, should RDKit see its aromatic rings in another light.
        return max(len(self.decomposer.assemblies(molecule)), 1)

"""What is computed once per finished molecule, in this process or in a worker; no tensors here."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from gflow.envs.molecules.assembly import molecule_of
from gflow.envs.molecules.decompose import Decomposer
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.fragments import Fragment
from gflow.envs.molecules.goal import Goal


class Record(NamedTuple):
    """What is known of a finished molecule.

    Attributes:
        smiles: Canonical SMILES.
        value: Raw reward; NaN if the environment has a reward of its own.
        properties: In the order of the goal.
        assemblies: Number of assemblies, within the limits of the environment, that make it.
    """

    smiles: str
    value: float
    properties: tuple[float, ...]
    assemblies: int


class Scorer:
    """Written assemblies in, records out; picklable, and cheap to send to a worker.

    Args:
        fragments: The vocabulary.
        goal: What to measure, or None for SMILES and assemblies only.
        max_fragments: Limit within which assemblies are counted.
        min_fragments: As above.
    """

    def __init__(
        self,
        fragments: Sequence[Fragment],
        goal: Goal | None,
        max_fragments: int,
        min_fragments: int,
    ) -> None:
        self.settings = (tuple(fragments), goal, max_fragments, min_fragments)

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}

    @cached_property
    def decomposer(self) -> Decomposer:
        """Built where it is used."""
        fragments, _, high, low = self.settings
        return Decomposer(fragments, high, low)

    def __call__(self, written: list[str]) -> list[Record]:
        """One record per assembly written by `Builder.write`."""
        return [self.score(text) for text in written]

    def score(self, written: str) -> Record:
        """The record of one assembly."""
        goal = self.settings[1]
        molecule = molecule_of(written)
        smiles = str(rdkit().MolToSmiles(molecule))
        # At least 1: the assembly at hand, should RDKit see its aromatic rings in another light.
        assemblies = max(len(self.decomposer.assemblies(molecule)), 1)
        if goal is None:
            return Record(smiles, float("nan"), (), assemblies)
        measured = goal.measure(molecule, smiles)
        return Record(smiles, goal.value(measured), measured, assemblies)

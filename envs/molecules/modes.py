"""Modes of a reward over molecules: good ones, no two of them alike, and their scaffolds."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from gflow.envs.molecules.extras import parse_smiles, rdkit

MARKS = (1, 10, 100, 1_000, 10_000)
"""Numbers of modes for which it is noted when they were there."""
BITS = 2048
"""Of a fingerprint."""


class Modes:
    """Molecules above a reward, and among them those that are unlike all modes before them.

    A molecule is a mode if its reward is above the threshold and its Tanimoto similarity (Morgan
    fingerprints, radius 2, 2,048 bits) to each mode so far is below the other; the first come, as
    in the papers on fragments and sEH (rewards above 7 and 8, similarities below 0.7). No more than
    the last of `MARKS` are sought.

    Args:
        reward: Rewards of modes are larger.
        similarity: Similarities of two modes are smaller.

    Attributes:
        drawn: Molecules seen, equal ones each time.
        seconds: Of the clock of `see`, in all.
        above: Distinct SMILES above the threshold, in the order in which they were seen.
        modes: Those of them that are modes.
        scaffolds: Distinct Bemis-Murcko scaffolds of all above; "" stands for those without rings.
        reached: For each of `MARKS` that was reached the molecules drawn and the seconds till then.
    """

    def __init__(self, reward: float, similarity: float) -> None:
        self.reward, self.similarity = reward, similarity
        self.drawn, self.seconds = 0, 0.0
        self.above: dict[str, None] = {}
        self.modes: list[str] = []
        self.scaffolds: dict[str, None] = {}
        self.reached: dict[int, tuple[int, float]] = {}
        self._prints = Prints()

    def see(self, smiles: Sequence[str], rewards: Iterable[float], seconds: float = 0.0) -> None:
        """See drawn molecules.

        Args:
            smiles: Canonical SMILES.
            rewards: One for each.
            seconds: That have passed since the last ones.
        """
        self.seconds += seconds
        for text, reward in zip(smiles, rewards, strict=True):
            self.drawn += 1
            if reward > self.reward and text not in self.above:
                self.above[text] = None
                self._look_at(text)

    def _look_at(self, smiles: str) -> None:
        molecule = parse_written(smiles)
        self.scaffolds[scaffold_of(molecule)] = None
        if len(self.modes) >= MARKS[-1]:
            return
        bits = list(fingerprint(molecule).GetOnBits())
        if self._prints.nearest(bits) >= self.similarity:
            return
        self.modes.append(smiles)
        self._prints.add(bits)
        if len(self.modes) in MARKS:
            self.reached[len(self.modes)] = (self.drawn, self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the thresholds, for a checkpoint."""
        return {
            "drawn": self.drawn,
            "seconds": self.seconds,
            "above": list(self.above),
            "modes": list(self.modes),
            "scaffolds": list(self.scaffolds),
            "reached": [[count, *when] for count, when in self.reached.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.drawn, self.seconds = state["drawn"], state["seconds"]
        self.above = dict.fromkeys(state["above"])
        self.modes, self.scaffolds = list(state["modes"]), dict.fromkeys(state["scaffolds"])
        self.reached = {count: (drawn, seconds) for count, drawn, seconds in state["reached"]}
        self._prints = Prints()
        for text in self.modes:
            self._prints.add(list(fingerprint(parse_written(text)).GetOnBits()))


class Prints:
    """Fingerprints, bit by bit, so that one is compared with all at the cost of its own bits."""

    def __init__(self) -> None:
        self.count = 0
        self._has = np.zeros((BITS, 64), np.uint8)
        self._sizes = np.zeros(64, np.int64)

    def add(self, bits: list[int]) -> None:
        """Take in a fingerprint, given as the numbers of its bits."""
        if self.count == len(self._sizes):
            self._has = np.concatenate([self._has, np.zeros_like(self._has)], 1)
            self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
        self._has[bits, self.count] = 1
        self._sizes[self.count] = len(bits)
        self.count += 1

    def nearest(self, bits: list[int]) -> float:
        """The largest Tanimoto similarity to one of them; below 0 if there is none."""
        if not self.count:
            return -1.0
        both = self._has[bits, : self.count].sum(0, dtype=np.uint16).astype(np.int64)
        return float((both / (len(bits) + self._sizes[: self.count] - both)).max())


def parse_written(smiles: str) -> Any:
    """A molecule from SMILES that RDKit wrote: what fingerprints and scaffolds read, no more.

    Aromatic atoms are told by their letters there, so that nothing is perceived anew.
    """
    chem = rdkit()
    molecule = chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None or not smiles:
        return parse_smiles(smiles, "Modes")  # which says why
    molecule.UpdatePropertyCache(False)
    chem.FastFindRings(molecule)
    return molecule


@cache
def _generator() -> Any:
    module = rdkit("rdkit.Chem.rdFingerprintGenerator")
    return module.GetMorganGenerator(radius=2, fpSize=BITS)


def fingerprint(molecule: Any) -> Any:
    """Morgan fingerprint of radius 2, of 2,048 bits."""
    return _generator().GetFingerprint(molecule)


def similar(one: Any, others: list[Any]) -> list[float]:
    """Tanimoto similarities of a fingerprint to others."""
    found: list[float] = rdkit("rdkit.DataStructs").BulkTanimotoSimilarity(one, others)
    return found


def scaffold_of(molecule: Any) -> str:
    """SMILES of the Bemis-Murcko scaffold: rings and what links them; "" without rings.

    Reference:
        Bemis & Murcko, The Properties of Known Drugs. 1. Molecular Frameworks, 1996,
        https://doi.org/10.1021/jm9602928
    """
    frame = rdkit("rdkit.Chem.Scaffolds.MurckoScaffold").GetScaffoldForMol(molecule)
    return str(rdkit().MolToSmiles(frame))

"""Modes of a reward over molecules: good ones, no two of them alike, and their scaffolds."""

from collections.abc import Iterable, Sequence
from typing import Any

from gflow.envs.molecules.extras import parse_smiles, rdkit

MARKS = (1, 10, 100, 1_000, 10_000)
"""Numbers of modes for which it is noted when they were there."""


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
        self._prints: list[Any] = []

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
        molecule = parse_smiles(smiles, "Modes")
        self.scaffolds[scaffold_of(molecule)] = None
        if len(self.modes) >= MARKS[-1]:
            return
        own = fingerprint(molecule)
        if self._prints and max(similar(own, self._prints)) >= self.similarity:
            return
        self.modes.append(smiles)
        self._prints.append(own)
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
        self._prints = [fingerprint(parse_smiles(text, "Modes")) for text in self.modes]


def fingerprint(molecule: Any) -> Any:
    """Morgan fingerprint of radius 2, of 2,048 bits."""
    made = rdkit("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2, fpSize=2048)
    return made.GetFingerprint(molecule)


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

"""Fragments of a vocabulary that bring a forbidden part into every molecule."""

from collections.abc import Sequence

from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.factors import pattern
from gflow.envs.molecules.fragments import Fragment
from gflow.envs.molecules.vocabulary import Vocabulary, closed
from gflow.errors import ConfigError

NEIGHBOURS = ("C", "N", "S", "F")
"""Elements that stand for what may hang on a port."""


def has_part(fragment: Fragment, smarts: str) -> bool:
    """Whether a part lies inside a fragment, whatever hangs on its ports.

    It is looked for without the ports, with several elements in their place: a part that says
    something of a neighbour (``[OH]``, ``C[!#6]``) is inside only if it is with each of these.
    """
    wanted, chem = pattern(smarts), rdkit()
    for element in NEIGHBOURS:
        molecule = chem.RWMol(chem.MolFromSmiles(fragment.smiles))
        ports = [a.GetIdx() for a in molecule.GetAtoms() if a.GetAtomicNum() == 0]
        for port in ports:
            molecule.GetAtomWithIdx(port).SetAtomicNum(chem.Atom(element).GetAtomicNum())
        molecule = molecule.GetMol()
        molecule.UpdatePropertyCache(strict=False)
        found = molecule.GetSubstructMatches(wanted)
        if not any(set(match).isdisjoint(ports) for match in found):
            return False
    return True


def without_parts(vocabulary: Vocabulary, forbidden: Sequence[str]) -> Vocabulary:
    """The vocabulary without fragments that have a forbidden part, and what they leave stuck.

    Raises:
        ConfigError: Nothing is left.
    """
    kept = [f for f in vocabulary.fragments if not any(has_part(f, smarts) for smarts in forbidden)]
    if len(kept) == len(vocabulary):
        return vocabulary
    left = closed(kept)
    if not left:
        raise ConfigError(
            f"Every fragment has one of the forbidden parts {', '.join(forbidden)}, or bonds to "
            f"such alone, so that no molecule is left: forbid less, or give other --fragments."
        )
    return Vocabulary(left)

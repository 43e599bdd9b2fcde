"""Small molecules that RDKit carries, and what it says of texts that should be molecules."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from functools import cache
from pathlib import Path

from gflow.envs.molecules.extras import rdkit

RARE = 10
"""Molecules with a symbol that fewer than so many have are left out, and the symbol with them."""


@cache
def bundled_smiles() -> tuple[str, ...]:
    """Canonical SMILES of the molecules of one part among 5,000 that RDKit carries, each once.

    They are the first of a screening collection of the National Cancer Institute.

    Raises:
        MissingExtraError: If RDKit is not installed.
    """
    file = Path(rdkit("rdkit.RDConfig").RDDataDir) / "NCI" / "first_5K.smi"
    found = (canonical(line.split()[0]) for line in file.read_text().splitlines() if line.strip())
    return tuple(dict.fromkeys(smiles for smiles in found if smiles and "." not in smiles))


def canonical(smiles: str) -> str | None:
    """How RDKit writes a molecule; None of what is no molecule, nor of nothing at all."""
    chem = rdkit()
    with rdkit("rdkit.rdBase").BlockLogs():
        molecule = chem.MolFromSmiles(smiles)
        return str(chem.MolToSmiles(molecule)) or None if molecule is not None else None


def log_p(smiles: str) -> float:
    """Crippen's estimate of the logarithm of the octanol-water partition coefficient.

    Reference:
        Wildman & Crippen, Prediction of physicochemical parameters by atomic contributions, 1999,
        https://doi.org/10.1021/ci990307l
    """
    return float(rdkit("rdkit.Chem.Crippen").MolLogP(rdkit().MolFromSmiles(smiles)))


def common(rows: Sequence[Sequence[str]], rare: int = RARE) -> list[Sequence[str]]:
    """Rows of symbols without those that hold a symbol which fewer than `rare` rows do."""
    met = Counter(symbol for row in rows for symbol in set(row))
    return [row for row in rows if all(met[symbol] >= rare for symbol in row)]


def symbols_of(rows: Iterable[Iterable[str]]) -> list[str]:
    """Every symbol of some rows once, sorted."""
    return sorted({symbol for row in rows for symbol in row})


def quality(smiles: Sequence[str | None], known: Container[str | None] = ()) -> dict[str, float]:
    """What is made of a sample of molecules.

    Args:
        smiles: Canonical SMILES, None of what is no molecule.
        known: Canonical SMILES that are not new.

    Returns:
        `valid`, the share of molecules; `unique`, the share of different ones among these; `new`,
        the share of the different ones that are not known.
    """
    valid = [text for text in smiles if text is not None]
    different = set(valid)
    new = sum(text not in known for text in different)
    return {
        "valid": len(valid) / max(1, len(smiles)),
        "unique": len(different) / max(1, len(valid)),
        "new": new / max(1, len(different)),
    }

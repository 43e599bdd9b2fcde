"""QED in fewer calls against RDKit's own."""

import itertools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rdkit")

from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem import QED

from gflow.envs.molecules import druglikeness
from gflow.envs.molecules.properties import Qed

FILES = ("NCI/first_5K.smi", "Pains/test_data/wehi_mols.csv")
ODD = [
    "O=C(O)[O-]",
    "[O-]S(=O)(=O)c1ccccc1[S-]",
    "CC[N+](=O)[O-]",
    "c1cc[o+]cc1",
    "[H]c1ccccc1",
    "[2H]C(C)O",
    "[H][H]",
    "F.F.F.F",
    "C1CCCCCCC1.C(=O)OC.C(=O)OC.C(=O)OC",
    "*c1ccccc1",
    "c1ccc2c(c1)Cc1ccccc1-2",
    "[18OH]C#N",
]


def molecules(count: int) -> list[Any]:
    """As many of each of RDKit's own files."""
    found = []
    for name in FILES:
        lines = (Path(RDConfig.RDDataDir) / name).read_text().splitlines()[::3]
        words = (line.split(",")[0].split()[0].strip('"') for line in lines)
        with rdBase.BlockLogs():
            read = (Chem.MolFromSmiles(word) for word in words)
            found += list(itertools.islice((m for m in read if m is not None), count))
    return found


def test_the_same_to_the_last_bit() -> None:
    checked = [*molecules(500), *(Chem.MolFromSmiles(smiles) for smiles in ODD)]
    assert len(checked) > 1000
    theirs = [QED.qed(Chem.Mol(molecule)) for molecule in checked]
    assert [Qed()(molecule) for molecule in checked] == theirs
    alerts = {QED.properties(molecule).ALERTS for molecule in checked[::10]}
    assert len(alerts) > 3, "most molecules have no alert, and these are not told apart"


def test_every_alert_and_every_kind_of_acceptor_is_asked_for() -> None:
    catalogue = druglikeness._alerts()
    assert catalogue.GetNumEntries() == len(QED.StructuralAlerts)
    texts = ["c1ccoc1", "CO", "COC", "C=O", "C[O-]", "CSC", "C=S", "C[S-]", "c1ccncc1", "CN(C)C"]
    texts += ["C#N", "CC(=O)N(C)C", "c1cc[nH]c1"]
    for text in texts:
        molecule = Chem.MolFromSmiles(text)
        asked = len(molecule.GetSubstructMatches(druglikeness._acceptors()))
        assert asked == QED.properties(molecule).HBA, text

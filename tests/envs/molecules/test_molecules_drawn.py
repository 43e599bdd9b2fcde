"""Molecules in the tables of a run: facts, drawings, and those that are far from each other."""

import xml.dom.minidom
from pathlib import Path

import pytest
from rdkit.Chem import QED, MolFromSmiles
from rdkit.Chem.rdMolDescriptors import CalcExactMolWt

from gflow.cli.main import main
from gflow.envs.molecules.drawn import drawings_of, properties_of
from gflow.envs.molecules.report import similarities
from gflow.runs.objects import ALIKE
from gflow.training.json_lines import read_objects

SMILES = ["Cc1ccc(S(=O)(=O)Nc2ccc(C)c(C)c2)cc1", "CCO", "O=C(O)Cc1ccccc1"]


def test_facts_are_those_of_rdkit() -> None:
    found = properties_of(SMILES)
    for number, text in enumerate(SMILES):
        molecule = MolFromSmiles(text)
        assert found["QED"][number] == pytest.approx(QED.qed(molecule), abs=1e-4)
        assert found["weight"][number] == pytest.approx(CalcExactMolWt(molecule), rel=0.01)
    assert found["logP"][1] == pytest.approx(-0.001, abs=0.002)
    assert all(1 < score < 3 for score in found["SA"]), "all three are easy to make"


def test_drawings_are_named_pictures() -> None:
    for text, svg in zip(SMILES, drawings_of(SMILES), strict=True):
        document = xml.dom.minidom.parseString(svg).documentElement
        assert document is not None
        assert document.getAttribute("aria-label") == text
        assert document.getElementsByTagName("path").length >= MolFromSmiles(text).GetNumBonds()
        assert len(svg) < 9000


@pytest.mark.slow
def test_different_molecules_come_best_first(tmp_path: Path) -> None:
    words = "--steps 12 --eval-every 12 --eval-samples 8 --batch-size 16 --quiet --width 16".split()
    assert main(["train", "molecules", *words, "--out", str(tmp_path / "run")]) == 0
    rows = read_objects(tmp_path / "run" / "objects.jsonl")
    best = [row for row in rows if row["set"] == "best"]
    apart = [row for row in rows if row["set"] == "diverse"]
    assert apart[0]["object"] == best[0]["object"]
    rewards = [row["reward"] for row in apart]
    assert rewards == sorted(rewards, reverse=True)
    alike = similarities([row["object"] for row in apart]).fill_diagonal_(0)
    assert float(alike.max()) < ALIKE
    assert 1 < len(apart) < len(best)
    assert all(row["drawing"].startswith("<svg") for row in best)

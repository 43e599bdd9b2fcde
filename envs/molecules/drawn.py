"""Molecules in tables: what chemists ask of each, and its drawing."""

import re
from typing import Any

from torch import Tensor

from gflow.envs.molecules.extras import parse_smiles, rdkit
from gflow.envs.molecules.report import similarities

SIZE = (220, 160)
"""Of a drawing, in pixels."""


class MoleculeTables:
    """What tables of objects say of molecules: for tasks whose environment writes SMILES."""

    def object_smiles(self, env: Any, objects: Any) -> list[str] | None:
        """Canonical SMILES."""
        found: list[str] = env.smiles(objects)
        return found

    def object_facts(self, env: Any, objects: Any) -> dict[str, list[Any]]:
        """QED, synthetic accessibility, logP and weight."""
        return properties_of(env.smiles(objects))

    def object_drawings(self, env: Any, objects: Any) -> list[str]:
        """Structures."""
        return drawings_of(env.smiles(objects))

    def object_similarity(self, env: Any, objects: Any) -> Tensor:
        """(B, B) Tanimoto similarities of Morgan fingerprints."""
        return similarities(env.smiles(objects))


def properties_of(smiles: list[str]) -> dict[str, list[Any]]:
    """QED, the synthetic accessibility score (1 is easy to make, 10 hard), logP and weight."""
    molecules = [parse_smiles(text, "A table of molecules") for text in smiles]
    qed, sa = rdkit("rdkit.Chem.QED"), rdkit("rdkit.Contrib.SA_Score.sascorer")
    crippen, descriptors = rdkit("rdkit.Chem.Crippen"), rdkit("rdkit.Chem.Descriptors")
    return {
        "QED": [round(float(qed.qed(m)), 4) for m in molecules],
        "SA": [round(float(sa.calculateScore(m)), 3) for m in molecules],
        "logP": [round(float(crippen.MolLogP(m)), 3) for m in molecules],
        "weight": [round(float(descriptors.MolWt(m)), 2) for m in molecules],
    }


def drawings_of(smiles: list[str]) -> list[str]:
    """An SVG of each molecule."""
    draw = rdkit("rdkit.Chem.Draw.rdMolDraw2D")
    found = []
    for text in smiles:
        canvas = draw.MolDraw2DSVG(*SIZE)
        canvas.drawOptions().clearBackground = False
        draw.PrepareAndDrawMolecule(canvas, parse_smiles(text, "A drawing"))
        canvas.FinishDrawing()
        found.append(_short(canvas.GetDrawingText(), text))
    return found


def _short(svg: str, name: str) -> str:
    """An SVG of RDKit for use inside a page: named, without what says nothing."""
    svg = re.sub(r"<!--.*?-->|\n", "", svg[svg.index("<svg") :])
    svg = re.sub(r" (?:class|version|baseProfile|xml:space|xmlns:?\w*)='[^']*'", "", svg)
    for idle in ("fill-rule:evenodd", "stroke-linecap:butt", "stroke-linejoin:miter"):
        svg = svg.replace(f"{idle};", "")
    svg = svg.replace(";stroke-opacity:1", "")
    return re.sub(r"  +", " ", svg).replace("<svg", f'<svg role="img" aria-label="{name}"', 1)

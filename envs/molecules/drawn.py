"""Molecules in tables and pictures: what chemists ask of each, and its drawing."""

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.extras import parse_smiles, rdkit
from gflow.envs.molecules.report import similarities
from gflow.metrics import greedy_modes
from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture, Shown

SIZE = (220, 160)
"""Of a drawing, in pixels."""
PANEL, ACROSS = 12, 4
"""Molecules in a picture, and in a row of it."""
CONSIDERED = 100
"""Best molecules among which the diverse ones are sought."""
ALIKE = 0.5
"""Tanimoto similarity from which two molecules are no different ones of a diverse panel."""
LONG = 44
"""Characters of SMILES that a picture shows."""


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

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """The best molecules of the run, and those of the best that are unlike each other."""
        found = shown.best(CONSIDERED)
        if found is None:
            return {}
        context, smiles = shown.context, shown.env.smiles(found[0])
        values = context.task.rewards(context.env, found[0])
        lines = [
            f"log R {value:.3f}" if values is None else f"R {float(values[row]):.3f}"
            for row, value in enumerate(found[1].tolist())
        ]
        falling = torch.arange(len(smiles), 0, -1).double()
        apart = greedy_modes(falling, 0.0, similarities(smiles), ALIKE)[:PANEL]
        best = list(range(min(PANEL, len(smiles))))
        said = "with rank, SMILES, reward, QED (1 is drug-like) and SA (1 is easy to make, 10 hard)"
        unlike = f"those of the {len(smiles)} best with similarities below {ALIKE:g} (Tanimoto)"
        return {
            "molecules": panel(smiles, lines, best, f"The best molecules of the run, {said}."),
            "diverse": panel(smiles, lines, apart, f"Diverse molecules: {unlike}, {said}."),
        }


def panel(smiles: Sequence[str], values: Sequence[str], rows: list[int], caption: str) -> Picture:
    """Molecules drawn in rows, each with rank, SMILES, value, QED and SA below.

    Args:
        smiles: Molecules, best first.
        values: What is said of the reward of each.
        rows: Which are drawn.
        caption: What the picture shows.
    """
    facts = properties_of([smiles[row] for row in rows])
    down = -(-len(rows) // ACROSS)
    figure, axes = pyplot().subplots(
        down, ACROSS, figsize=(3.0 * ACROSS, 2.55 * down), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for place, row in enumerate(rows):
        axis, text = axes.flat[place], smiles[row]
        axis.imshow(_pixels(text))
        short = text if len(text) <= LONG else f"{text[: LONG - 3]}..."
        told = f"QED {facts['QED'][place]:.2f}   SA {facts['SA'][place]:.2f}"
        style = {"ha": "center", "va": "top", "parse_math": False, "transform": axis.transAxes}
        axis.text(0.5, -0.01, f"{row + 1}.  {values[row]}   {told}", fontsize=9, **style)
        axis.text(0.5, -0.10, short, fontsize=7, color="0.35", **style)
    return Picture(figure, caption)


def _pixels(smiles: str) -> Any:
    """(H, W, 4) of a structure."""
    draw = rdkit("rdkit.Chem.Draw.rdMolDraw2D")
    canvas = draw.MolDraw2DCairo(2 * SIZE[0], 2 * SIZE[1])
    draw.PrepareAndDrawMolecule(canvas, parse_smiles(smiles, "A drawing"))
    canvas.FinishDrawing()
    return pyplot().imread(BytesIO(canvas.GetDrawingText()), format="png")


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

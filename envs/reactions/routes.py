"""Routes of synthesis as people and programs read them: lines, records for JSON, and drawings."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gflow.envs.molecules.extras import rdkit
from gflow.envs.reactions.env import Reactions

SIZE = (260, 190)
"""Of one molecule in a drawing, in pixels."""


class Made(NamedTuple):
    """One reaction of a route.

    Attributes:
        reaction: Name of the template.
        smarts: Its SMARTS.
        reactants: SMILES, in the order of the template.
        product: SMILES.
    """

    reaction: str
    smarts: str
    reactants: tuple[str, ...]
    product: str


def routes_of(env: Reactions, states: Tensor) -> list[list[Made]]:
    """The reactions that lead to each of B molecules, first to last."""
    chemist = env.chemist
    found: list[list[Made]] = []
    for view in env.read(states):
        found.append([])
        if view.node is None:
            continue
        route = view.node.route
        path = [smiles for smiles, _ in env.lab.follow(route)]
        for at, (before, after) in enumerate(pairwise(path)):
            slot, block = route[1 + 3 * at] - 1, route[2 + 3 * at] - 1
            t, s = chemist.slots[slot]
            template = chemist.templates[t]
            other = (chemist.blocks[block],) if template.reactants == 2 else ()
            reactants = (*other, before) if s else (before, *other)
            found[-1].append(Made(template.name, template.smarts, reactants, after))
    return found


def as_text(route: Sequence[Made]) -> str:
    """A route in one line: ``A + B -> C by amide coupling; C -> D by Boc deprotection``."""
    return "; ".join(f"{' + '.join(m.reactants)} -> {m.product} by {m.reaction}" for m in route)


def as_records(route: Sequence[Made]) -> list[dict[str, Any]]:
    """A route for JSON: a list of reactions with names, SMARTS, reactants and product."""
    return [{**made._asdict(), "reactants": list(made.reactants)} for made in route]


def rerun(route: Sequence[Made]) -> str:
    """The SMILES that RDKit makes of a route's blocks by its SMARTS alone; empty if it cannot.

    Every reaction is run from its SMARTS, and the product must be among what RDKit makes.
    """
    reactions, chem = rdkit("rdkit.Chem.rdChemReactions"), rdkit()
    product = ""
    for made in route:
        if product and product not in made.reactants:
            return ""
        given = tuple(map(chem.MolFromSmiles, made.reactants))
        found = set()
        for (one,) in reactions.ReactionFromSmarts(made.smarts).RunReactants(given):
            if not chem.SanitizeMol(one, catchErrors=True):
                found.add(chem.CanonSmiles(chem.MolToSmiles(one)))
        if made.product not in found:
            return ""
        product = made.product
    return product


def draw_routes(routes: Sequence[Sequence[Made]], path: Path, titles: Sequence[str] = ()) -> Path:
    """A picture with a row for each route: blocks, what is made of them, and the reactions' names.

    Args:
        routes: Routes with at least one reaction each.
        path: Where the PNG is written.
        titles: What stands below each product at the end of its row.
    """
    chem = rdkit()
    rows, legends = [], []
    for number, route in enumerate(routes):
        cells, words, before = [], [], ""
        for at, made in enumerate(route):
            for smiles in made.reactants:
                if smiles != before:
                    cells.append(smiles)
                    words.append("block")
            cells.append(made.product)
            last = at == len(route) - 1
            title = f"  [{titles[number]}]" if last and number < len(titles) else ""
            words.append(f"{at + 1}. {made.reaction}{title}")
            before = made.product
        rows.append(cells)
        legends.append(words)
    width = max(map(len, rows))
    molecules = [
        chem.MolFromSmiles(smiles) if smiles else None
        for row in rows
        for smiles in (*row, *[""] * (width - len(row)))
    ]
    texts = [text for row in legends for text in (*row, *[""] * (width - len(row)))]
    picture = rdkit("rdkit.Chem.Draw").MolsToGridImage(
        molecules, molsPerRow=width, subImgSize=SIZE, legends=texts
    )
    picture.save(path)
    return path

"""Reaction templates: read from SMARTS, and turned round so that products are taken apart."""

import itertools
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gflow.envs.molecules.extras import MoleculeError, rdkit
from gflow.errors import ConfigError
from gflow.readers.text import read_text

SHIPPED = Path(__file__).with_name("templates.smarts")
"""Common named reactions that come with the library."""

_ELEMENT = re.compile(r"#\d+|(?![ADHRX](?![a-z]))[A-Z][a-z]?|[bcnops]")
_CHARGE = re.compile(r"[+-]\d?")


@dataclass(frozen=True)
class Template:
    """A reaction of one or two molecules that makes one product.

    Atoms without a number are lost (in reactants) or added (in the product). What the product is
    taken apart into is written by turning the SMARTS round: lost atoms need an element each, or a
    list of some (``[Cl,Br,I]``), of which each gives a way back.

    Attributes:
        smarts: Reaction SMARTS, ``A>>P`` or ``A.B>>P``.
        name: For people; not necessarily unique.

    Raises:
        MoleculeError: What is wrong with the SMARTS, and what to write.
    """

    smarts: str
    name: str = ""
    reactants: int = field(init=False)

    def __post_init__(self) -> None:
        """Read the SMARTS, forward and back."""
        object.__setattr__(self, "reactants", self.forward.GetNumReactantTemplates())
        _ = self.backward

    def __getstate__(self) -> dict[str, Any]:
        """Without what RDKit made, which is made anew elsewhere."""
        return {"smarts": self.smarts, "name": self.name, "reactants": self.reactants}

    @cached_property
    def forward(self) -> Any:
        """The reaction as RDKit runs it."""
        reaction = _read(self.smarts)
        fault = _fault(reaction)
        if fault:
            raise MoleculeError(f"{self.smarts!r}: {fault}.")
        return reaction

    @cached_property
    def patterns(self) -> tuple[Any, ...]:
        """What each reactant must contain."""
        return tuple(self.forward.GetReactantTemplate(i) for i in range(self.reactants))

    @cached_property
    def made(self) -> Any:
        """What the product contains."""
        return self.backward[0].GetReactantTemplate(0)

    @cached_property
    def backward(self) -> tuple[Any, ...]:
        """Reactions from the product to the reactants, one for each choice of lost atoms."""
        product = self.smarts.split(">>")[1]
        try:
            sides = [_turned(side, self.forward.GetProductTemplate(0)) for side in self.patterns]
        except MoleculeError as error:
            raise MoleculeError(f"{self.smarts!r}: {error}") from error
        choices = itertools.product(*sides)
        return tuple(_read(f"{product}>>{'.'.join(pair)}") for pair in choices)


def read_templates(path: str | Path = SHIPPED) -> tuple[Template, ...]:
    """The templates of a file: a line begins with reaction SMARTS, the rest of it is the name.

    Lines that begin with ``# `` are comments, empty ones are passed over.

    Raises:
        ConfigError: With the line, the value and the rule that it breaks.
    """
    found: list[Template] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        smarts, *rest = line.split(maxsplit=1)
        try:
            found.append(Template(smarts, rest[0].strip() if rest else f"line {number}"))
        except MoleculeError as error:
            raise ConfigError(f"{path}, line {number}: {error}") from error
    if not found:
        raise ConfigError(
            f"{path} holds no template. Write one a line: reaction SMARTS, a blank, a name."
        )
    return tuple(found)


def _read(smarts: str) -> Any:
    reactions = rdkit("rdkit.Chem.rdChemReactions")
    with rdkit("rdkit.rdBase").BlockLogs():
        try:
            reaction = reactions.ReactionFromSmarts(smarts)
            reaction.Initialize()
        except ValueError as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise MoleculeError(f"{smarts!r} is no reaction SMARTS ({reason}).") from error
    return reaction


def _fault(reaction: Any) -> str:
    """Why a reaction cannot be used, or nothing."""
    inputs, outputs = reaction.GetNumReactantTemplates(), reaction.GetNumProductTemplates()
    agents = reaction.GetNumAgentTemplates()
    if inputs not in (1, 2) or outputs != 1 or agents:
        return (
            f"it has {inputs} reactants, {agents} agents and {outputs} products, and a template "
            f"takes one or two reactants to one product: A>>P or A.B>>P"
        )
    sides = [reaction.GetReactantTemplate(i) for i in range(inputs)]
    given = [number for side in sides for number in _numbers(side)]
    made = _numbers(reaction.GetProductTemplate(0))
    for what, numbers in (("the reactants", given), ("the product", made)):
        twice = sorted({n for n in numbers if numbers.count(n) > 1})
        if twice:
            return f"the number {twice[0]} stands at two atoms of {what}, and may at one"
    foreign = sorted(set(made) - set(given))
    if foreign:
        return f"the number {foreign[0]} of the product is at no atom of the reactants"
    for at, side in enumerate(sides, 1):
        if not set(made) & set(_numbers(side)):
            return f"no atom of reactant {at} is in the product: number one on both sides"
    return ""


def _numbers(side: Any) -> list[int]:
    """The numbers at atoms."""
    return [atom.GetAtomMapNum() for atom in side.GetAtoms() if atom.GetAtomMapNum()]


def _turned(side: Any, product: Any) -> list[str]:
    """SMARTS of a reactant as what the way back makes, one for each choice of lost atoms."""
    made = {atom.GetAtomMapNum(): atom for atom in product.GetAtoms() if atom.GetAtomMapNum()}
    chem, options = rdkit(), []
    for atom in side.GetAtoms():
        number = atom.GetAtomMapNum()
        options.append([_kept(atom, made[number])] if number in made else _lost(atom))
    written = []
    for choice in itertools.product(*options):
        copy = chem.RWMol(side)
        for at, token in enumerate(choice):
            copy.ReplaceAtom(at, chem.AtomFromSmarts(token))
        text = chem.MolToSmarts(copy)
        written.append(f"({text})" if "." in text else text)
    return written


def _core(atom: Any) -> str:
    """An atom's SMARTS without brackets, number and what stands in parentheses."""
    text, out, depth = re.sub(r":\d+\]$", "", atom.GetSmarts()).strip("[]"), [], 0
    for letter in text:
        depth += letter == "("
        if not depth:
            out.append(letter)
        depth -= letter == ")"
    return "".join(out)


def _kept(atom: Any, product: Any) -> str:
    """An atom that stays, with its element, charge and aromatic hydrogen where these are fixed."""
    core, number = _core(atom), atom.GetAtomMapNum()
    element = _ELEMENT.match(core)
    if element is None or "," in core or element[0].startswith("#"):
        return f"[*:{number}]"  # as it is in the product
    charge = _charge(core) or ("+0" if _charge(_core(product)) else "")
    hydrogen = "H" if re.match(r"n(&H1?|H)(?!\d)", core) else ""
    return f"[{element[0]}{hydrogen}{charge}:{number}]"


def _lost(atom: Any) -> list[str]:
    """An atom that is lost: one text for each element that it may be.

    Raises:
        MoleculeError: If an option has no element.
    """
    found = []
    for option in _core(atom).split(","):
        element = _ELEMENT.match(option)
        if element is None:
            raise MoleculeError(
                f"the lost atom {atom.GetSmarts()} has no element of its own. Write an element, a "
                f"list such as [Cl,Br,I], or a number at it in both sides if it stays."
            )
        found.append(f"[{element[0]}{_charge(option)}]")
    return list(dict.fromkeys(found))


def _charge(core: str) -> str:
    found = _CHARGE.search(core)
    return "" if found is None else found[0]

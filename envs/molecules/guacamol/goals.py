"""The twenty goals, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from gflow.envs.molecules.guacamol.parts import (
    Isomers,
    Measure,
    Pattern,
    Resemblance,
    geometric_mean,
)
from gflow.envs.molecules.guacamol.shapes import AtLeast, AtMost, Bell, Upto
from gflow.errors import UnknownNameError

Part = Callable[[Any], float]


@dataclass(frozen=True)
class Mean:
    """Of several parts.

    Attributes:
        parts: Functions from a molecule to [0, 1].
        geometric: The product of powers; otherwise their sum.
    """

    parts: tuple[Part, ...]
    geometric: bool = True

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        scores = [part(molecule) for part in self.parts]
        return geometric_mean(scores) if self.geometric else sum(scores) / len(scores)


DRUGS = {
    "albuterol": "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "amlodipine": r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC",
    "aripiprazole": "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl",
    "camphor": "CC1(C)C2CCC1(C)C(=O)C2",
    "celecoxib": "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F",
    "fexofenadine": "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4",
    "menthol": "CC(C)C1CCC(C)CC1O",
    "mestranol": "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1",
    "osimertinib": "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34",
    "perindopril": "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC",
    "ranolazine": "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2",
    "sildenafil": "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C",
    "sitagliptin": "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F",
    "tadalafil": "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C",
    "thiothixene": "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1",
    "troglitazone": "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O",
    "zaleplon": "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1",
    "quinazoline": "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C",
}
"""Molecules that goals speak of; `quinazoline` is that of the two hops."""

SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"
DECORATION = "[#7]-c1ccc2ncsc2c1"
CHAIN = "[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"
SULFONE = "CS([#6])(=O)=O"
VALSARTAN = "CN(C=O)Cc1ccc(c2ccccc2)cc1"


def _like(drug: str, kind: str = "ECFP4", full: float = 1.0) -> Resemblance:
    return Resemblance(DRUGS[drug], kind, Upto(full))


GOALS: dict[str, Callable[[], Part]] = {
    "celecoxib_rediscovery": lambda: _like("celecoxib"),
    "troglitazone_rediscovery": lambda: _like("troglitazone"),
    "thiothixene_rediscovery": lambda: _like("thiothixene"),
    "aripiprazole_similarity": lambda: _like("aripiprazole", "ECFP4", 0.75),
    "albuterol_similarity": lambda: _like("albuterol", "FCFP4", 0.75),
    "mestranol_similarity": lambda: _like("mestranol", "AP", 0.75),
    "isomers_c11h24": lambda: Isomers("C11H24"),
    "isomers_c9h10n2o2pf2cl": lambda: Isomers("C9H10N2O2PF2Cl"),
    "median_camphor_menthol": lambda: Mean((_like("camphor"), _like("menthol"))),
    "median_tadalafil_sildenafil": lambda: Mean(
        (_like("tadalafil", "ECFP6"), _like("sildenafil", "ECFP6"))
    ),
    "osimertinib_mpo": lambda: Mean(
        (
            _like("osimertinib", "FCFP4", 0.8),
            Resemblance(DRUGS["osimertinib"], "ECFP6", AtMost(0.85, 0.1)),
            Measure("tpsa", AtLeast(100, 10)),
            Measure("logp", AtMost(1, 1)),
        )
    ),
    "fexofenadine_mpo": lambda: Mean(
        (
            _like("fexofenadine", "AP", 0.8),
            Measure("tpsa", AtLeast(90, 10)),
            Measure("logp", AtMost(4, 1)),
        )
    ),
    "ranolazine_mpo": lambda: Mean(
        (
            _like("ranolazine", "AP", 0.7),
            Measure("logp", AtLeast(7, 1)),
            Measure("fluorines", Bell(1, 1)),
            Measure("tpsa", AtLeast(95, 20)),
        )
    ),
    "perindopril_mpo": lambda: Mean(
        (_like("perindopril"), Measure("aromatic_rings", Bell(2, 0.5)))
    ),
    "amlodipine_mpo": lambda: Mean((_like("amlodipine"), Measure("rings", Bell(3, 0.5)))),
    "sitagliptin_mpo": lambda: Mean(
        (
            Resemblance(DRUGS["sitagliptin"], "ECFP4", Bell(0, 0.1)),
            Measure("logp", Bell(2.0165, 0.2)),
            Measure("tpsa", Bell(77.04, 5)),
            Isomers("C16H15F6N5O"),
        )
    ),
    "zaleplon_mpo": lambda: Mean((_like("zaleplon"), Isomers("C19H17N3O2"))),
    "valsartan_smarts": lambda: Mean(
        (
            Pattern(VALSARTAN),
            Measure("logp", Bell(2.0165, 0.2)),
            Measure("tpsa", Bell(77.04, 5)),
            Measure("bertz", Bell(896.38, 30)),
        )
    ),
    "deco_hop": lambda: Mean(
        (
            _like("quinazoline", "PHCO", 0.85),
            Pattern(SULFONE, present=False),
            Pattern(DECORATION, present=False),
            Pattern(SCAFFOLD),
        ),
        geometric=False,
    ),
    "scaffold_hop": lambda: Mean(
        (_like("quinazoline", "PHCO", 0.75), Pattern(CHAIN), Pattern(SCAFFOLD, present=False)),
        geometric=False,
    ),
}
"""What makes each goal; molecules are read when a goal is asked for."""


@dataclass(frozen=True)
class GuacaMol:
    """One of the twenty design goals of GuacaMol, between 0 and 1.

    Rediscovery and similarity of drugs, isomers of a formula, molecules between two, profiles of
    seven drugs, a pattern with another drug's properties, and hops of decorations and scaffolds.
    The goals are those of the published suite; how its benchmarks sum up the best molecules that
    were found is no part of them.

    Attributes:
        goal: A name in `GOALS`.

    Raises:
        UnknownNameError: If there is no such goal.

    Reference:
        Brown et al., GuacaMol: benchmarking models for de novo molecular design, 2018,
        https://arxiv.org/abs/1811.09621
    """

    goal: str
    prefix: ClassVar[str] = "guacamol"

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        if self.goal not in GOALS:
            raise UnknownNameError("GuacaMol goal", self.goal, tuple(GOALS))

    @property
    def name(self) -> str:
        """The short form, e.g. ``guacamol:osimertinib_mpo``."""
        return f"{self.prefix}:{self.goal}"

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        return _made(self.goal)(molecule)


@cache
def _made(goal: str) -> Part:
    return GOALS[goal]()

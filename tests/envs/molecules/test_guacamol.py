"""Goals of GuacaMol: values of the published definitions, and what must hold of any such goal."""

from typing import Any

import pytest

pytest.importorskip("rdkit")

from rdkit import Chem

from gflow.envs.molecules import Goal
from gflow.envs.molecules.guacamol import (
    GOALS,
    AtLeast,
    AtMost,
    GuacaMol,
    Isomers,
    Measure,
    Pattern,
    Resemblance,
    Upto,
)
from gflow.envs.molecules.guacamol.goals import DRUGS
from gflow.errors import ConfigError, UnknownNameError

PUBLISHED = {
    "celecoxib_rediscovery": (1, 0.1513157895, 0.1791044776, 0.2371134021),
    "troglitazone_rediscovery": (0.1294964029, 0.1445783133, 0.1689189189, 0.1440677966),
    "thiothixene_rediscovery": (0.2093023256, 0.2193548387, 0.1862068966, 0.2181818182),
    "aripiprazole_similarity": (0.1822541966, 0.1825396825, 0.1929824561, 0.1777777778),
    "albuterol_similarity": (0.198019802, 0.1717171717, 0.2522522523, 0.2735042735),
    "mestranol_similarity": (0.0640788663, 0.1103448276, 0.1180891036, 0.1008403361),
    "isomers_c11h24": (5.053609243e-11, 1.125622508e-49, 1.008060467e-16, 6.547046797e-08),
    "isomers_c9h10n2o2pf2cl": (0.0003742356046, 2.843707145e-38, 2.978326269e-16, 0.009066898725),
    "median_camphor_menthol": (0.01767490804, 0.03002402884, 0.03458158689, 0.02279211529),
    "median_tadalafil_sildenafil": (0.1296558183, 0.1407807657, 0.1360827635, 0.09546863188),
    "osimertinib_mpo": (0.1817508098, 0.133341719, 0.07381044253, 0.0001620371466),
    "fexofenadine_mpo": (0.4064608915, 0.5258035405, 0.398572128, 0.0001747299141),
    "ranolazine_mpo": (0.0663510813, 0.2774049144, 0.4063485289, 0.01300164545),
    "perindopril_mpo": (0.06263195537, 0.004743473634, 0.005010254048, 0.1601281538),
    "amlodipine_mpo": (0.3602374111, 0.1506698455, 0.1448013752, 0.1403037138),
    "sitagliptin_mpo": (0.0004355365421, 1.0044202e-15, 3.332735912e-18, 1.19467569e-09),
    "zaleplon_mpo": (0.2264846747, 2.730454102e-13, 0.001814112169, 0.04801310645),
    "valsartan_smarts": (0, 0, 0, 1.555420076e-19),
    "deco_hop": (0.5361811391, 0.5876383764, 0.5, 0.5066044382),
    "scaffold_hop": (0.3880070547, 0.4657646576, 0.6666666667, 0.3433133733),
}
"""What the authors' own code (0.5.5) gives for the four molecules below."""

MOLECULES = (
    DRUGS["celecoxib"],
    DRUGS["osimertinib"],
    DRUGS["quinazoline"],
    "CN(C=O)Cc1ccc(-c2ccccc2)cc1",
)


def read(smiles: str) -> Any:
    return Chem.MolFromSmiles(smiles)


@pytest.mark.parametrize("goal", PUBLISHED)
def test_values_are_those_of_the_published_suite(goal: str) -> None:
    found = [GuacaMol(goal)(read(smiles)) for smiles in MOLECULES]
    assert found == pytest.approx(PUBLISHED[goal], rel=1e-4, abs=1e-25)


def test_every_goal_is_among_them() -> None:
    assert list(GOALS) == list(PUBLISHED)


@pytest.mark.parametrize(
    ("goal", "smiles"),
    [
        ("celecoxib_rediscovery", "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"),
        ("aripiprazole_similarity", DRUGS["aripiprazole"]),
        ("albuterol_similarity", "OCc1cc(C(O)CNC(C)(C)C)ccc1O"),
        ("mestranol_similarity", DRUGS["mestranol"]),
        ("isomers_c11h24", "CC(C)(C)C(C)(C)CCCC"),
        ("isomers_c9h10n2o2pf2cl", "CCN(CP)C(=O)c1c(F)c(F)c(Cl)[nH]c1=O"),
    ],
)
def test_what_is_sought_has_the_value_one(goal: str, smiles: str) -> None:
    """However its SMILES is written; of isomers, any."""
    assert GuacaMol(goal)(read(smiles)) == pytest.approx(1.0, abs=1e-12)


def test_isomers_are_counted_with_their_hydrogens() -> None:
    assert Isomers("C2H6O")(read("CCO")) == 1.0
    assert Isomers("C2H6O")(read("COC")) == 1.0
    off = Isomers("C2H6O")(read("CC=O"))  # two hydrogens and two atoms too few
    assert off == pytest.approx((2.718281828 ** (-2 - 0.5)) ** 0.25)


def test_parts() -> None:
    molecule = read("OC(=O)c1ccccc1F")
    assert Measure("rings", AtLeast(2, 1))(molecule) == pytest.approx(0.6065306597)
    assert Measure("rings", AtMost(2, 1))(molecule) == 1.0
    assert Measure("fluorines", AtMost(0, 1))(molecule) == pytest.approx(0.6065306597)
    assert Pattern("C(=O)[OH]")(molecule) == 1.0
    assert Pattern("C(=O)[OH]", present=False)(molecule) == 0.0
    raw = Resemblance("c1ccccc1F")(molecule)
    assert 0 < raw < 0.7
    assert Resemblance("c1ccccc1F", shape=Upto(0.7))(molecule) == pytest.approx(raw / 0.7)


def test_short_forms() -> None:
    goal = Goal.read(["guacamol:zaleplon_mpo", "isomers:C2H6O"])
    assert goal.names == ("guacamol:zaleplon_mpo", "isomers:C2H6O")
    rows = goal.measure([read("CCO")], ["CCO"])
    assert rows[0][1] == 1.0
    with pytest.raises(UnknownNameError, match="osimertinib_mpo"):
        Goal.read("guacamol:osimertinib")
    for formula in ("", "C2H6X", "c2h6", "C2H6O0", "2CH", "Xx3"):
        with pytest.raises(ConfigError, match="not a molecular formula"):
            Goal.read(f"isomers:{formula}")
    with pytest.raises(ConfigError, match="not SMARTS"):
        Pattern("C(")
    with pytest.raises(UnknownNameError, match="ECFP4"):
        Resemblance("CC", "ECFP5")
    with pytest.raises(UnknownNameError, match="aromatic_rings"):
        Measure("loops", Upto())

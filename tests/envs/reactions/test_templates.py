"""Templates: each makes the product that a textbook says, and files that are wrong are refused."""

import pickle
from pathlib import Path

import pytest

from gflow.envs.molecules.extras import MoleculeError
from gflow.envs.reactions import Template, read_blocks, read_templates
from gflow.envs.reactions.blocks import make_block
from gflow.envs.reactions.chemist import Chemist
from gflow.errors import ConfigError

chem = pytest.importorskip("rdkit.Chem")

KNOWN = {
    "amide coupling": ("CC(=O)O", "NCc1ccccc1", "CC(=O)NCc1ccccc1"),
    "Schotten-Baumann acylation": ("CC(=O)Cl", "Nc1ccccc1", "CC(=O)Nc1ccccc1"),
    "Fischer esterification": ("OC(=O)c1ccccc1", "CCO", "CCOC(=O)c1ccccc1"),
    "methyl ester hydrolysis": ("COC(=O)c1ccc(N)cc1", "", "Nc1ccc(C(=O)O)cc1"),
    "Suzuki coupling": ("Brc1ccccc1", "OB(O)c1ccccc1", "c1ccc(-c2ccccc2)cc1"),
    "Sonogashira coupling": ("Ic1ccccc1", "C#Cc1ccccc1", "C(#Cc1ccccc1)c1ccccc1"),
    "Heck coupling": ("Ic1ccccc1", "C=CC(=O)OC", "COC(=O)C=Cc1ccccc1"),
    "Buchwald-Hartwig amination": ("Brc1ccccc1", "C1COCCN1", "c1ccc(N2CCOCC2)cc1"),
    "nucleophilic aromatic substitution": (
        "O=[N+]([O-])c1ccc(F)cc1",
        "C1CCNCC1",
        "O=[N+]([O-])c1ccc(N2CCCCC2)cc1",
    ),
    "Chan-Lam coupling": ("OB(O)c1ccccc1", "Nc1ccccc1", "c1ccc(Nc2ccccc2)cc1"),
    "reductive amination of an aldehyde": ("O=Cc1ccccc1", "CN", "CNCc1ccccc1"),
    "reductive amination of a ketone": ("O=C1CCCCC1", "NCc1ccccc1", "c1ccc(CNC2CCCCC2)cc1"),
    "sulfonamide formation": (
        "Cc1ccc(S(=O)(=O)Cl)cc1",
        "C1CCNC1",
        "Cc1ccc(S(=O)(=O)N2CCCC2)cc1",
    ),
    "urea formation": ("O=C=Nc1ccccc1", "CN", "CNC(=O)Nc1ccccc1"),
    "thiourea formation": ("CN=C=S", "Nc1ccccc1", "CNC(=S)Nc1ccccc1"),
    "carbamate formation": ("O=C=Nc1ccccc1", "CCO", "CCOC(=O)Nc1ccccc1"),
    "Williamson ether synthesis": ("Oc1ccccc1", "BrCc1ccccc1", "c1ccc(COc2ccccc2)cc1"),
    "Mitsunobu reaction": ("Oc1ccccc1", "OC1CCCC1", "c1ccc(OC2CCCC2)cc1"),
    "N-alkylation": ("C1COCCN1", "BrCc1ccccc1", "c1ccc(CN2CCOCC2)cc1"),
    "thioether synthesis": ("Sc1ccccc1", "CCBr", "CCSc1ccccc1"),
    "azide-alkyne cycloaddition": (
        "C#Cc1ccccc1",
        "[N-]=[N+]=NCc1ccccc1",
        "c1ccc(Cn2cc(-c3ccccc3)nn2)cc1",
    ),
    "Hantzsch thiazole synthesis": ("O=C(CBr)c1ccccc1", "CC(N)=S", "Cc1nc(-c2ccccc2)cs1"),
    "epoxide opening": ("CC1CO1", "C1COCCN1", "CC(O)CN1CCOCC1"),
    "aza-Michael addition": ("C=CC(=O)OC", "C1CCNCC1", "COC(=O)CCN1CCCCC1"),
    "Boc deprotection": ("CC(C)(C)OC(=O)N1CCNCC1", "", "C1CNCCN1"),
    "nitro reduction": ("O=C(O)c1ccc([N+](=O)[O-])cc1", "", "Nc1ccc(C(=O)O)cc1"),
}
"""By the name of each template: reactants, and the product that is known."""


def test_every_template_has_a_known_example() -> None:
    assert [template.name for template in read_templates()] == list(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_templates_make_the_known_product_and_take_it_apart(name: str) -> None:
    (template,) = (t for t in read_templates() if t.name == name)
    *given, product = (chem.CanonSmiles(text) for text in KNOWN[name] if text)
    chemist = Chemist([template], given, 1)
    reactants = tuple(given)
    assert chemist.products[0, reactants] == (product,)
    assert reactants in chemist.precursors[0, product, True]


def test_shipped_blocks_are_distinct_and_all_of_use() -> None:
    blocks = read_blocks()
    assert len({block.smiles for block in blocks}) == len(blocks) > 100
    chemist = Chemist(read_templates(), [block.smiles for block in blocks], 3)
    for template in chemist.templates:
        for pattern in template.patterns:
            assert chemist._fitting(pattern), template.name
    patterns = [pattern for template in chemist.templates for pattern in template.patterns]
    for smiles in chemist.blocks:
        assert any(chemist.molecules[smiles].HasSubstructMatch(p) for p in patterns), smiles


def test_leaving_groups_that_may_differ_are_all_put_back() -> None:
    template = Template("[c:1][Cl,Br,I].[N;H2:2]>>[c:1]-[N:2]", "amination")
    chemist = Chemist([template], ["Clc1ccccc1", "Brc1ccccc1", "CN", "Fc1ccccc1"], 1)
    found = chemist.precursors[0, "CNc1ccccc1", True]
    assert found == {("Clc1ccccc1", "CN"), ("Brc1ccccc1", "CN")}


def test_charges_that_a_reaction_makes_are_taken_back() -> None:
    template = Template("[NX3;H0:1].[CX4;H3:2][I]>>[N+:1]-[C:2]", "Menshutkin reaction")
    chemist = Chemist([template], ["CN(C)C", "CI"], 1)
    assert chemist.products[0, ("CN(C)C", "CI")] == ("C[N+](C)(C)C",)


def test_pickled_templates_react_alike() -> None:
    again = pickle.loads(pickle.dumps(read_templates()))
    assert again == read_templates()
    assert again[0].forward.GetNumReactantTemplates() == 2


@pytest.mark.parametrize(
    ("smarts", "reason"),
    [
        ("CC", "is no reaction SMARTS"),
        ("[C:1>>[C:1]", "is no reaction SMARTS"),
        ("[C:1].[N:2].[O:3]>>[C:1][N:2][O:3]", "it has 3 reactants"),
        ("[C:1][N:2]>>[C:1].[N:2]", "2 products"),
        ("[C:1].[N:2]>O>[C:1][N:2]", "1 agents"),
        ("[C:1].[N:1]>>[C:1]", "the number 1 stands at two atoms of the reactants"),
        ("[C:1].[N:2]>>[C:1][N:2][O:3]", "the number 3 of the product is at no atom"),
        ("[C:1].[N]>>[C:1]", "no atom of reactant 2 is in the product"),
        ("[C:1][!#1].[N:2]>>[C:1][N:2]", "has no element of its own"),
    ],
)
def test_what_is_no_template(smarts: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(MoleculeError, match=reason):
        Template(smarts)
    path = tmp_path / "mine.smarts"
    path.write_text(f"# mine\n[C:1](=O)[OH].[N;H2:2]>>[C:1](=O)-[N:2] amide\n{smarts} bad\n")
    with pytest.raises(ConfigError, match=f"mine.smarts, line 3: .*{reason}"):
        read_templates(path)


def test_files_of_templates(tmp_path: Path) -> None:
    path = tmp_path / "mine.smarts"
    path.write_text("# nothing\n\n")
    with pytest.raises(ConfigError, match="holds no template"):
        read_templates(path)
    path.write_text("[C:1](=[O:3])[OH].[N;H2:2]>>[C:1](=[O:3])-[N:2]\tan amide\n")
    (template,) = read_templates(path)
    assert template.name == "an amide"


def test_files_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "mine.smi"
    path.write_text("# mine\nC[C@H](N)O one\nC[C@@H](N)O its mirror image\nCCO\n")
    assert [block.smiles for block in read_blocks(path)] == ["CC(N)O", "CCO"]
    for bad, reason in (("C(C", "not a valid SMILES"), ("CC*", "open place"), ("C.C", "parts")):
        path.write_text(f"CCO\n{bad}\n")
        with pytest.raises(ConfigError, match=rf"mine.smi, line 2: .*{reason}.*skip_invalid"):
            read_blocks(path)
        assert [block.smiles for block in read_blocks(path, skip_invalid=True)] == ["CCO"]
    with pytest.raises(MoleculeError, match="isotope"):
        make_block("[13CH4]", "here")

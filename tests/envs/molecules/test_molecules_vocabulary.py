"""Vocabularies: cutting, closure, symmetry, caching, complaints."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import enumerate_states
from gflow.envs.molecules import CutOptions, MoleculeError, Vocabulary, make_fragment
from gflow.envs.molecules.fragments import may_bond
from gflow.envs.molecules.task import MoleculesTask
from gflow.envs.molecules.vocabulary import closed, cut, unmatched_port
from gflow.errors import ConfigError
from gflow.exact.graph import ExactFlows
from gflow.state import take

Chem = pytest.importorskip("rdkit.Chem")
SOME = CutOptions(size=40, min_count=2)


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    from rdkit import RDConfig

    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()
    found = [line.split()[0] for line in lines[:600]]
    return [s for s in found if Chem.MolFromSmiles(s) is not None]


@pytest.mark.slow
def test_the_order_of_molecules_does_not_matter(smiles: list[str]) -> None:
    first = Vocabulary.from_smiles(smiles, SOME)
    assert first == Vocabulary.from_smiles(smiles[::-1], SOME)
    assert 10 < len(first) <= 40


def test_every_port_can_be_closed_and_extended(smiles: list[str]) -> None:
    fragments = Vocabulary.from_smiles(smiles, SOME).extensible().fragments
    for fragment in fragments:
        for labels in fragment.labels:
            for ports in (1, 2):
                assert any(
                    may_bond(labels, other)
                    for f in fragments
                    if f.ports == ports
                    for other in f.labels
                )


def test_fragments_that_cannot_be_closed_are_dropped() -> None:
    phenyl, amine, sulfonyl, oxygen = (
        make_fragment(s) for s in ["[16*]c1ccccc1", "[5*]N[5*]", "[12*]S(C)(=O)=O", "[3*]O[3*]"]
    )
    # Labels 16-16, 16-5, 12-5 and 16-3 may bond; 16-12, 5-5 and 12-3 may not.
    assert closed([phenyl, amine]) == (phenyl, amine)
    assert closed([phenyl, sulfonyl]) == (phenyl,)
    assert unmatched_port(sulfonyl, [phenyl]) == (0, 1)
    assert closed([sulfonyl, oxygen]) == ()  # in two rounds: the oxygen goes with its partner
    # An amine is never followed by an amine, so here it ends what it touches.
    assert closed([phenyl, amine], (1, 2)) == ()
    assert Vocabulary((phenyl, amine, make_fragment("[16*]c1ccc([16*])cc1"))).extensible().fragments


def test_fragments_are_plain_and_distinct(smiles: list[str]) -> None:
    fragments = Vocabulary.from_smiles(smiles, SOME).fragments
    assert len({f.smiles for f in fragments}) == len(fragments)
    for fragment in fragments:
        molecule = Chem.MolFromSmiles(fragment.smiles)
        heavy = [a for a in molecule.GetAtoms() if a.GetAtomicNum()]
        assert len(heavy) <= 14
        assert sum(a.GetFormalCharge() for a in heavy) == 0
        assert molecule.GetNumAtoms() - len(heavy) == fragment.ports <= 4
        assert [f.count for f in fragments] == sorted((f.count for f in fragments), reverse=True)


@pytest.mark.parametrize(
    ("smiles", "order", "orbits"),
    [
        ("*C", 1, (0,)),
        ("*O*", 2, (0, 0)),
        ("*CC(*)=O", 1, (0, 1)),
        ("*c1ccc(*)cc1", 2, (0, 0)),
        ("*N(*)*", 6, (0, 0, 0)),
        ("*c1cc(*)cc(*)c1", 6, (0, 0, 0)),
        ("*C1C(*)C(*)C1*", 8, (0, 0, 0, 0)),
        ("*c1cc(*)[nH]n1", 1, (0, 1)),
        ("*C(*)(*)*", 24, (0, 0, 0, 0)),
    ],
)
def test_groups(smiles: str, order: int, orbits: tuple[int, ...]) -> None:
    fragment = make_fragment(smiles)
    assert len(fragment.group) == order
    assert fragment.orbits == orbits
    assert fragment.group[0] == tuple(range(fragment.ports))
    products = {
        tuple(g[h[i]] for i in range(fragment.ports))
        for g in fragment.group
        for h in fragment.group
    }
    assert products == set(fragment.group)


def test_symmetric_ports_share_labels() -> None:
    assert make_fragment("[16*]c1ccc([14*])cc1").labels == ((14, 16), (14, 16))
    assert make_fragment("[4*]CC([6*])=O").labels == ((4,), (6,))


def test_labels_follow_their_ports() -> None:
    """The label of a port belongs to the atom it hangs on, whatever the order of writing."""
    for written in ("[4*]CC([6*])=O", "O=C([6*])C[4*]", "C([4*])C(=O)[6*]"):
        assert make_fragment(written) == make_fragment("[4*]CC([6*])=O")


def test_cutting_labels_each_end_by_its_own_rule() -> None:
    pieces = cut(Chem.MolFromSmiles("CCOc1ccccc1"))
    assert sorted(pieces) == ["[16*]c1ccccc1", "[3*]O[3*]", "[4*]CC"]


def test_no_double_bond_is_cut() -> None:
    assert cut(Chem.MolFromSmiles("CC=CC")) == []


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def from_files(*args: object, **kwargs: object) -> Vocabulary:
        calls.append(args)
        return Vocabulary.from_fragments(["*C", "*O*"])

    monkeypatch.setattr(Vocabulary, "from_files", from_files)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = Vocabulary.default()
    assert Vocabulary.default() == first
    assert len(calls) == 1
    Vocabulary.default(CutOptions(size=3))
    assert len(calls) == 2
    for file in tmp_path.rglob("*.json"):
        file.write_text("damaged")
    assert Vocabulary.default() == first
    assert len(calls) == 3
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert Vocabulary.default() == first


def test_own_files(tmp_path: Path) -> None:
    plain = tmp_path / "own.smi"
    plain.write_text("CCOc1ccccc1 first\nCOc1ccccc1\n\nCCN(Cc1ccccc1)C(C)=O\n")
    table = tmp_path / "own.csv"
    table.write_text('id,smiles\n1,"CCOc1ccccc1"\n2,COc1ccccc1\n3,CCN(Cc1ccccc1)C(C)=O\n')
    options = CutOptions(min_count=1)
    vocabulary = Vocabulary.from_files([plain], options)
    assert vocabulary == Vocabulary.from_files([table], options)
    assert "*c1ccccc1" in {f.smiles for f in vocabulary.fragments}


MOLECULES = ["CCOc1ccccc1", "COc1ccccc1", "CCN(Cc1ccccc1)C(C)=O"]
ANY = CutOptions(min_count=1)


def write_structures(path: Path, smiles: list[str]) -> None:
    from rdkit import Chem

    with Chem.SDWriter(str(path)) as file:
        for text in smiles:
            file.write(Chem.MolFromSmiles(text))


FILES = {
    "own.smi": "".join(f"{s} name{i} more\n" for i, s in enumerate(MOLECULES)),
    "tabs.txt": "".join(f"{s}\tname {i}\n" for i, s in enumerate(MOLECULES)),
    "comments.smi": "# from a library\n" + "\n\n".join(MOLECULES),
    "header.smi": "smiles zinc_id\n" + "".join(f"{s} Z{i}\n" for i, s in enumerate(MOLECULES)),
    "second.smi": "zinc_id smiles\n" + "".join(f"Z{i} {s}\n" for i, s in enumerate(MOLECULES)),
    "plain.csv": "id,smiles\n" + "".join(f"{i},{s}\n" for i, s in enumerate(MOLECULES)),
    "index.csv": ",Smiles\n" + "".join(f"{i},{s}\n" for i, s in enumerate(MOLECULES)),
    "no_header.csv": "".join(f"{s},{i}.5\n" for i, s in enumerate(MOLECULES)),
    "quoted.csv": "".join(f'"{s}","WEHI, {i}"\n' for i, s in enumerate(MOLECULES)),
    "chembl.csv": '"ChEMBL ID";"Name";"Smiles"\n'
    + "".join(f'"CHEMBL{i}";"";"{s}"\n' for i, s in enumerate(MOLECULES)),
    "other_name.tsv": "id\tcanonical_smiles\n"
    + "".join(f"{i}\t{s}\n" for i, s in enumerate(MOLECULES)),
    "two.csv": "isomeric_smiles,SMILES\n" + "".join(f"x,{s}\n" for s in MOLECULES),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("form", ["plain", "gz", "mark, CRLF"])
def test_files_of_molecules_in_every_dialect(name: str, form: str, tmp_path: Path) -> None:
    file, data = tmp_path / name, FILES[name].encode()
    if form == "gz":
        file = tmp_path / f"{name}.gz"
        data = gzip.compress(data)
    elif form != "plain":
        data = b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")
    file.write_bytes(data)
    assert Vocabulary.from_files([file], ANY) == Vocabulary.from_smiles(MOLECULES, ANY)
    assert Vocabulary.from_files([file], ANY) == Vocabulary.from_files(str(file), ANY)
    assert Vocabulary.from_files([file], ANY, skip_invalid=True) == Vocabulary.from_files(
        [file], ANY
    )


@pytest.mark.parametrize("packed", [False, True])
def test_structures(packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "own.sdf"
    write_structures(file, MOLECULES)
    if packed:
        other = tmp_path / "own.sdf.gz"
        other.write_bytes(gzip.compress(file.read_bytes()))
        file = other
    assert Vocabulary.from_files([file], ANY) == Vocabulary.from_smiles(MOLECULES, ANY)


def test_a_bad_structure_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.sdf"
    write_structures(file, [*MOLECULES[:1], "CC(C)(C)C", *MOLECULES[1:]])
    blocks = file.read_text().split("$$$$\n")
    blocks[1] = blocks[1].replace(" 0  0\n", " 9  9\n").replace("V2000", "V9999")
    file.write_text("$$$$\n".join(blocks))
    with pytest.raises(MoleculeError, match="own.sdf, molecule 2: RDKit cannot read the"):
        Vocabulary.from_files([file], ANY)
    found = Vocabulary.from_files([file], ANY, skip_invalid=True)
    assert found == Vocabulary.from_smiles(MOLECULES, ANY)
    file.write_text("")
    with pytest.raises(ConfigError, match=r"own.sdf holds no molecule in the format of MDL"):
        Vocabulary.from_files([file], ANY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CCO,1\nCCC,2\n", "own.smi: 'CCO,1' looks like a row of a table.*name of the file end in"),
        ('"CCO"\n', "looks like a row of a table"),
        ("\n  RDKit\n\n  0  0\nM  END\n$$$$\n", "holds structures of MDL; let its name end in"),
    ],
)
def test_the_ending_of_a_name_that_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.smi"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Vocabulary.from_files(file, ANY, skip_invalid=True)


REFUSED = {
    "no smiles": ("id,weight\n1,2\n", "line 1: no column is called smiles, and 'id' is no SMILES"),
    "no header, names first": ("Z1,CCO\nZ2,CCC\n", "line 1: .*'Z1' is no SMILES; the columns are"),
    "two columns": ("smiles_a,smiles_b\nC,C\n", "the columns 'smiles_a', 'smiles_b' may all be"),
    "twice": ("smiles,Smiles\nC,C\n", "the columns 'smiles', 'Smiles' may all be the SMILES. Call"),
    "only a header": ("smiles,id\n", "has a header and no molecule below it"),
    "empty": ("", "is empty"),
    "ragged": ("smiles,id\nCCO,1\nCCC\n", "line 3: this row has 1 cells and the header 2"),
    "open quote": ('smiles,id\nCCO,"1\nCCC,2\n', "line 2: .*Look for a quotation mark"),
    "Latin-1": ("smiles,ångström\nCCO,1\n", "line 1: the byte 0xe5 is not utf-8 text. Save the"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("skip_invalid", [False, True])
def test_files_without_one_column_of_smiles(case: str, skip_invalid: bool, tmp_path: Path) -> None:
    text, message = REFUSED[case]
    file = tmp_path / "own.csv"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=message):
        Vocabulary.from_files([file], ANY, skip_invalid)


def test_parts_of_mixtures_are_cut_one_by_one() -> None:
    mixture = Vocabulary.from_smiles(["CCOc1ccccc1.COc1ccccc1.Cl", MOLECULES[2]], ANY)
    assert mixture == Vocabulary.from_smiles(MOLECULES, ANY)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.smi"
    file.write_text("CCOc1ccccc1\nCCOC(((\nCOc1ccccc1\n")
    with pytest.raises(MoleculeError, match=r"own\.smi, line 2: 'CCOC\(\(\('.*--skip-invalid"):
        Vocabulary.from_files([file])
    options = CutOptions(min_count=1)
    skipped = Vocabulary.from_files([file], options, skip_invalid=True)
    assert "*O*" in {f.smiles for f in skipped.fragments}


def test_complaints() -> None:
    with pytest.raises(ConfigError, match="appears 2 times"):
        Vocabulary.from_fragments(["*C", "C*"])
    with pytest.raises(ConfigError, match="has 0 attachment points"):
        make_fragment("CC")
    with pytest.raises(ConfigError, match="exactly one single bond"):
        make_fragment("*=C")
    for smiles, reason in (
        ("*c1ccccc1.*C", "it has several parts, as a salt or a mixture.*One part is needed"),
        ("*C.Cl", "it has several parts"),
        ("*[13CH3]", r"its atom 1 \(\[13C\S+ is an isotope"),
        ("*N->[Fe]", "its bond between the atoms 1 and 2 is dative"),
    ):
        with pytest.raises(ConfigError, match=reason):
            make_fragment(smiles)
    assert make_fragment("[16*]C").labels == ((16,),), "isotopes of ports are labels"
    assert make_fragment("[*:1][CH2:2][H]").smiles == "*C"
    with pytest.raises(ConfigError, match="max_ports must be between 1 and 4, got 9"):
        CutOptions(max_ports=9)
    with pytest.raises(ConfigError, match="no fragment is left"):
        Vocabulary.from_smiles(["CC"])
    for build in (Vocabulary.from_smiles, Vocabulary.from_fragments):
        with pytest.raises(
            MoleculeError, match=r"a list of SMILES is needed, got 'CCO': \['CCO'\]"
        ):
            build("CCO")
    with pytest.raises(MoleculeError, match="item 1: None is no text"):
        Vocabulary.from_smiles(["CCO", None])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="There is no file nowhere.smi"):
        Vocabulary.from_files(["nowhere.smi"])


# ---------------------------------------------------------------------- files of fragments

TABLE = {
    "block_name": {"0": "c1ccccc1_0", "1": "O_0", "2": "c1ccccc1_3"},
    "block_smi": {"0": "c1ccccc1", "1": "O", "2": "c1ccccc1"},
    "block_r": {"0": [0], "1": [0], "2": [3, 0]},
}
"""As the table of the first GFlowNet paper: a benzene ring twice, with different atoms."""


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("ports.smi", "# mine\n*C methyl\n*c1ccc(*)cc1\n*C\n", ["*C", "*c1ccc(*)cc1"]),
        ("ports.csv", "name,smiles\nmethyl,*C\nether,*O*\n", ["*C", "*O*"]),
        ("ports.json", '["*C", "[1*]C(=O)O[3*]"]', ["*C", "*OC(*)=O"]),
        ("atoms.json", '[["C", [0, 0]], ["*O*", [0]]]', None),
        ("atoms.json", '[["C", [0, 0]], "*O*"]', ["*C", "*C*", "*O*"]),
        ("named.json", '{"c1ccccc1": [0, 3], "N": [0]}', ["*c1ccccc1", "*c1ccc(*)cc1", "*N"]),
        ("table.json", json.dumps(TABLE), ["*c1ccccc1", "*c1ccc(*)cc1", "*O"]),
    ],
)
def test_fragments_of_a_file_are_taken_as_they_are(
    tmp_path: Path, name: str, text: str, wanted: list[str] | None
) -> None:
    file = tmp_path / name
    file.write_text(text)
    if wanted is None:  # ports, and atoms beside them
        with pytest.raises(ConfigError, match=r"atoms.json, entry 2: .*ports already"):
            Vocabulary.from_fragment_file(file)
        return
    found = [f.smiles for f in Vocabulary.from_fragment_file(file).fragments]
    assert found == [make_fragment(s).smiles for s in wanted]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "a.json is no JSON"),
        ("a.json", "3", "holds int, and no fragments. JSON of fragments is"),
        ("a.json", "[]", "holds no fragment"),
        ("a.json", '[["C", []]]', r"entry 1: the atoms of 'C' that may bond must be .* got \[\]"),
        ("a.json", '[["C", [0]], ["C", [true]]]', r"entry 2: .* got \[true\]"),
        ("a.json", '[["CO", [0, 2]]]', "entry 1: 'CO' has 2 atoms, counted from 0, and none is 2"),
        ("a.json", '[["FC(F)(F)F", [1]]]', "no atom of .* has a hydrogen to give away"),
        ("a.json", '[["C%", [0]]]', "entry 1: 'C%' is not a valid SMILES"),
        ("a.json", '{"block_smi": {"0": "C"}, "block_r": {"1": [0]}}', "must have the same rows"),
        ("a.smi", "*C\nCC\n", "a.smi, line 2: .* has 0 attachment points"),
        ("a.smi", "*C\n*C*.O\n", "a.smi, line 2: .* it has several parts"),
    ],
)
def test_files_that_are_none_of_fragments_are_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        Vocabulary.from_fragment_file(tmp_path / name)


def test_a_file_of_fragments_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^There is no file .*none.json"):
        Vocabulary.from_fragment_file(tmp_path / "none.json")


def test_a_choice_of_atoms_never_changes_the_charge(tmp_path: Path) -> None:
    """Pyridine's nitrogen has no hydrogen to give away, and those of others have one."""
    rings = {"c1ccncc1": [3, 0], "c1cc[nH]c1": [3], "c1cc[nH+]cc1": [3]}
    (tmp_path / "rings.json").write_text(json.dumps(rings))
    found = Vocabulary.from_fragment_file(tmp_path / "rings.json").fragments
    wanted = ["*c1ccncc1", "*n1cccc1", "*[n+]1ccccc1"]
    assert [f.smiles for f in found] == wanted


def test_one_flag_trains_on_a_table_of_blocks(tmp_path: Path) -> None:
    """And molecules come in proportion to their reward, however blocks may make them."""
    table = {"block_smi": ["C", "O", "CC"], "block_r": [[0, 0], [0, 0], [0, 1]]}
    (tmp_path / "table.json").write_text(json.dumps(table))
    task = MoleculesTask(fragments=str(tmp_path / "table.json"), max_fragments=4, workers=0)
    env: Any = task.environment()
    assert len(env.vocabulary) == 6
    graph = enumerate_states(env)
    law = graph.terminal_log_prob(*vars_of(graph.exact_flows()))
    objects = take(graph.states, graph.objects)
    by_name: dict[str, float] = {}
    for name, share in zip(env.smiles(objects), law.exp().tolist(), strict=True):
        by_name[name] = by_name.get(name, 0.0) + share
    assert len(by_name) < len(law)  # some are built in several ways
    first = {name: i for i, name in reversed(list(enumerate(env.smiles(objects))))}
    rows = torch.tensor([first[name] for name in by_name])
    reward = env.log_reward(take(objects, rows)) + env.log_multiplicity(take(objects, rows))
    wanted = reward.double().softmax(0)
    torch.testing.assert_close(torch.tensor(list(by_name.values())), wanted, atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="would be cut into others. Give one of them"):
        replace(task, smiles="mine.smi").environment()


def vars_of(flows: ExactFlows) -> tuple[torch.Tensor, torch.Tensor]:
    return flows.log_pf, flows.log_stop

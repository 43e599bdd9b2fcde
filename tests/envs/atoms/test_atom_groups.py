"""Groups as kinds of atoms: sulfones, sulfonamides, phosphates, nitro; and stereo, refused."""

from collections import Counter

import pytest

pytest.importorskip("rdkit")
from rdkit import Chem

from gflow import enumerate_states
from gflow.envs.atoms.chemistry import CENTRES, GROUPS
from gflow.envs.atoms.env import Atoms
from gflow.envs.atoms.task import AtomsTask, valid_fraction
from gflow.envs.molecules import MoleculeError, Molecules, Vocabulary
from gflow.errors import ConfigError
from gflow.state import take
from gflow.testing import check_env

DRAWN = [
    "CS(=O)(=O)C",  # sulfone
    "CNS(=O)(=O)c1ccccc1",  # sulfonamide
    "CS(=O)(=O)O",
    "OS(=O)(=O)O",
    "CS(C)=O",  # sulfoxide
    "COP(=O)(OC)OC",  # phosphate
    "CP(C)(C)=O",
    "C[N+](=O)[O-]",  # nitro, charged
    "CN(=O)=O",  # nitro, as some draw it
    "O=[N+]([O-])c1ccc(S(N)(=O)=O)cc1",
]


def everything(*kinds: str) -> Atoms:
    return Atoms("qed", max_atoms=12, kinds=("C", "N", "O", *kinds))


@pytest.mark.parametrize("smiles", DRAWN)
def test_what_users_draw_is_built_and_written_back(smiles: str) -> None:
    env = everything("SO", "SO2", "PO", "NO2")
    states = env.states_from_smiles([smiles])
    assert env.smiles(states) == [Chem.CanonSmiles(smiles)]
    assert bool(env.is_terminal(states).logical_not().all())
    assert bool(env.forward_mask(states)[:, env.stop_action].all())


def test_nitro_is_built_of_charged_atoms_too() -> None:
    env = everything("N+", "O-")
    drawn = ["C[N+](=O)[O-]", "CN(=O)=O"]
    assert env.smiles(env.states_from_smiles(drawn)) == ["C[N+](=O)[O-]"] * 2
    with pytest.raises(ConfigError, match="one molecule would be two graphs: leave out NO2"):
        everything("N+", "O-", "NO2")


@pytest.mark.parametrize(
    "kinds", [("C", "O", "SO", "SO2"), ("P", "PO", "O"), ("N", "O", "NO2", "S")]
)
def test_every_molecule_with_groups_is_one_state(kinds: tuple[str, ...]) -> None:
    """Records of all states say how many states their molecule has, and RDKit reads each back."""
    env = Atoms("qed", max_atoms=3, kinds=kinds)
    graph = enumerate_states(env)
    objects = take(graph.states, graph.objects)
    records = env.records(objects)
    states = Counter(record.smiles for record in records)
    assert [record.assemblies for record in records] == [states[r.smiles] for r in records]
    again = env.states_from_smiles(list(states))
    assert env.smiles(again) == list(states)
    assert len(states) > 30
    atoms = [Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in states]
    assert valid_fraction(list(states), atoms) == 1


def test_the_contract_holds_with_groups() -> None:
    check_env(Atoms("qed", max_atoms=3, kinds=("C", "SO2", "NO2")), examples=10, limit=200)


def test_groups_are_what_rdkit_takes_for_whole() -> None:
    """The valence of a group and of what hangs on its atom is one that RDKit knows."""
    table = Chem.GetPeriodicTable()
    for name, (number, charge, free) in CENTRES.items():
        total = free + sum(order for _, _, order in GROUPS[name])
        assert total in table.GetValenceList(number) or (charge == 1 and total == 4), name
        assert sum(q for _, q, _ in GROUPS[name]) + charge == 0


def test_a_run_counts_the_heavy_atoms_of_groups() -> None:
    import gflow

    task = AtomsTask(kinds=("C", "SO2"), max_atoms=4, workers=0)
    trained = gflow.fit(task, steps=2, eval_samples=50, batch_size=8, pictures_every=0)
    assert trained.metrics["valid"] == 1.0


def test_what_is_missing_is_said() -> None:
    with pytest.raises(MoleculeError, match=r"groups may help: SO, SO2"):
        everything("S").states_from_smiles(["CS(C)(=O)=O"])
    with pytest.raises(MoleculeError, match=r"groups may help: SO\)"):
        everything("SO2").states_from_smiles(["CS(C)=O"])


def test_stereo_is_refused_where_a_molecule_is_given() -> None:
    flat = r"has stereo marks.*Leave the marks out: 'CC\(N\)O'"
    with pytest.raises(MoleculeError, match=flat):
        everything().states_from_smiles(["C[C@H](N)O"])
    pieces = Vocabulary.from_fragments(["*C", "*CC", "*C(*)O"])
    env = Molecules(pieces, "qed", max_fragments=3)
    with pytest.raises(MoleculeError, match="CC=CC"):
        env.states_from_smiles(["C/C=C/C"])
    with pytest.raises(MoleculeError, match="without stereo"):
        env.decompose("C[C@H](F)O")
    with pytest.raises(ConfigError, match="has stereo marks"):
        Vocabulary.from_fragments(["*[C@H](C)O"])
    with pytest.raises(ConfigError, match="core: .*has stereo marks"):
        Molecules(pieces, "qed", max_fragments=3, core="*[C@H](C)O")
    assert Vocabulary.from_smiles(["C[C@H](N)C(=O)NCC(=O)Nc1ccccc1"] * 3).fragments

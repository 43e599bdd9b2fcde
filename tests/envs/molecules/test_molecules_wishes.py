"""What multiplies the reward of molecules: ranges, alerts, parts required and forbidden."""

import math
from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("rdkit")
from rdkit import Chem
from rdkit.Chem import QED

from gflow import enumerate_states
from gflow.cli.words import Word, together, value_of
from gflow.conditions.ranges import RangeConditions
from gflow.envs.atoms.env import Atoms
from gflow.envs.atoms.task import AtomsTask
from gflow.envs.molecules import Goal, MoleculeError, Molecules, Vocabulary
from gflow.envs.molecules.extras import rdkit
from gflow.envs.molecules.factors import InRanges, Part, WithoutAlerts, factor_of
from gflow.envs.molecules.forbidden import has_part, without_parts
from gflow.envs.molecules.fragments import make_fragment
from gflow.envs.molecules.quantities import MEASURES, QUANTITIES, measure
from gflow.envs.molecules.task import MoleculesTask
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.exact.graph import StateGraph
from gflow.rewards.scalarizations import LogProduct
from gflow.state import take
from gflow.tasks.own_reward import RewardedTask
from gflow.tasks.registry import task_class, with_own_reward
from gflow.tasks.signature import Option

Crippen, Descriptors = rdkit("rdkit.Chem.Crippen"), rdkit("rdkit.Chem.Descriptors")
PIECES = ["*C", "*CC", "*O*", "*C(=O)N*", "*c1ccccc1"]
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def by_smiles(env: Any, graph: StateGraph[Any], law: Tensor) -> dict[str, float]:
    """Probabilities of molecules, each for all states that stand for it."""
    found: dict[str, float] = defaultdict(float)
    objects = take(graph.states, graph.objects)
    for text, p in zip(env.smiles(objects), law.tolist(), strict=True):
        found[text] += p
    return found


def test_quantities_are_those_of_rdkit() -> None:
    molecule = Chem.MolFromSmiles(ASPIRIN)
    wanted = {
        "logP": Crippen.MolLogP(molecule), "weight": Descriptors.MolWt(molecule), "tpsa": 63.6,
        "donors": 1, "acceptors": 3, "rotatable": 2, "rings": 1, "aromatic": 1, "atoms": 13,
        "fsp3": 1 / 9, "qed": QED.qed(molecule),
    }  # fmt: skip
    for name, value in wanted.items():
        assert measure(molecule, [name])[0] == pytest.approx(value), name
    assert measure(molecule, ["sa"])[0] == pytest.approx(1.58, abs=0.01)
    assert len(MEASURES) == 12
    assert measure(molecule, ["MW", "hbd"]) == measure(molecule, ["weight", "donors"])
    assert all(m.low < m.high and m.width > 0 for m in QUANTITIES.values())


def test_factors_by_hand() -> None:
    molecule = Chem.MolFromSmiles(ASPIRIN)
    ranges = InRanges.read(["weight 150..170 width 5", "donors 2..", "rings 1"])
    away = (Descriptors.MolWt(molecule) - 170) / 5 + 1
    assert ranges.log(molecule) == pytest.approx(-away)
    assert Part("c1ccccc1", True).log(molecule) == Part("[#7]", False).log(molecule) == 0
    assert Part("[#7]", True).log(molecule) == Part("C(=O)O", False).log(molecule)
    assert Part("[#7]", True).log(molecule) == pytest.approx(math.log(0.1))
    quinone = Chem.MolFromSmiles("O=C1C=CC(=O)c2ccccc21")
    alerts = WithoutAlerts(("pains",))
    assert alerts.found(quinone) == ["quinone_A(370)"]
    assert alerts.log(quinone) == pytest.approx(math.log(0.5))
    assert alerts.log(molecule) == 0
    brenk = WithoutAlerts(("brenk",)).found(molecule)
    assert "phenol_ester" in brenk
    both = factor_of((Part("[#7]", True), Part("C(=O)O", False)), molecule)
    assert both == pytest.approx(0.01)
    far = InRanges.read(["weight 9000.."])
    assert factor_of((far,), molecule) == 1e-6


def test_bad_wishes_are_refused_where_they_enter() -> None:
    with pytest.raises(UnknownNameError, match="brenk, nih, pains"):
        MoleculesTask(alerts=("lilly",)).factors()
    with pytest.raises(MoleculeError, match="not a valid SMARTS"):
        MoleculesTask(require=("c1cc",)).factors()
    with pytest.raises(UnknownNameError, match="weight"):
        AtomsTask(range=("mass 1..2",)).factors()
    factors = MoleculesTask(rule_of_five=True, alerts=("PAINS", "nih"), forbid=("F",)).factors()
    assert [type(f).__name__ for f in factors] == ["InRanges", "WithoutAlerts", "Part"]


def test_the_law_with_factors_is_exact() -> None:
    factors = (InRanges.read(["logP 0..1.5", "weight ..120"]), Part("C=O", True))
    vocabulary = Vocabulary.from_fragments(PIECES)
    env = Molecules(vocabulary, Goal(("qed",), factors=factors), beta=2.0, max_fragments=4)
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    found = by_smiles(env, graph, law)
    weight = {}
    for text in found:
        m = Chem.MolFromSmiles(text)
        log_p, mass = Crippen.MolLogP(m), Descriptors.MolWt(m)
        away = max(-log_p, log_p - 1.5, 0) / 0.5 + max(mass - 120, 0) / 25
        part = 1.0 if m.HasSubstructMatch(Chem.MolFromSmarts("C=O")) else 0.1
        weight[text] = (QED.qed(m) * max(math.exp(-away) * part, 1e-6)) ** 2
    total = sum(weight.values())
    assert len(found) > 60
    for text, value in weight.items():
        assert found[text] == pytest.approx(value / total, rel=1e-6), text


@pytest.mark.parametrize("kind", ["molecules", "atoms"])
def test_the_law_of_a_range_that_is_asked_for_is_exact(kind: str) -> None:
    env: Any = Atoms("qed", beta=2.0, max_atoms=4, kinds=("C", "O"))
    if kind == "molecules":
        env = Molecules(Vocabulary.from_fragments(PIECES), "qed", beta=2.0, max_fragments=3)
    conditions = RangeConditions(of=("logP -1..2", "weight 20..120 width 10"))
    told: Any = conditions.applied(env)
    asked = conditions.condition_of(told, ["logP 0..0.6", "weight ..70"])
    graph = enumerate_states(told).told(asked)
    found = by_smiles(env, graph, graph.log_target().exp())
    weight = {}
    for text in found:
        m = Chem.MolFromSmiles(text)
        log_p, mass = Crippen.MolLogP(m), Descriptors.MolWt(m)
        away = max(-log_p, log_p - 0.6, 0) / 0.5 + max(mass - 70, 0) / 10
        weight[text] = (QED.qed(m) * max(math.exp(-away), 1e-6)) ** 2
    total = sum(weight.values())
    assert 20 < len(found) < 200
    for text, value in weight.items():
        assert found[text] == pytest.approx(value / total, rel=1e-5, abs=1e-12), text


def test_scores_that_are_kept_apart_have_the_factors_too() -> None:
    goal = Goal(("qed", "sa"), factors=(Part("C=O", False),))
    vocabulary = Vocabulary.from_fragments(PIECES)
    env = Molecules(vocabulary, goal, scalarization=LogProduct(beta=3.0), max_fragments=3)
    states = env.states_from_smiles(["CC(=O)NC", "COC"])
    plain = Molecules(vocabulary, ["qed", "sa"], max_fragments=3).records(states)
    scores = torch.tensor([[0.1 * y for y in plain[0].properties], plain[1].properties])
    torch.testing.assert_close(env.scores(states), scores)
    torch.testing.assert_close(env.log_reward(states), 3 * scores.log().mean(1))
    with pytest.raises(IncompatibleError, match="several scores"):
        RangeConditions().applied(env)


def test_a_reward_of_ones_own_has_the_factors_too(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "score.py").write_text("def heavy(smiles):\n    return 2.0\n")
    (tmp_path / "frags.smi").write_text("\n".join(PIECES))
    cls = task_class(with_own_reward("molecules", "score.py:heavy"))
    assert issubclass(cls, RewardedTask)
    options: dict[str, Any] = {
        "fragments": "frags.smi",
        "workers": 0,
        "beta": 3.0,
        "forbid": ("C=O",),
    }
    task = cls(reward="score.py:heavy", **options)
    env = task.environment()
    states = env.states_from_smiles(["COC"])
    torch.testing.assert_close(env.log_reward(states), torch.tensor([3 * math.log(2.0)]))
    task = cls(reward="score.py:heavy", **{**options, "forbid": ("COC",)})
    env = task.environment()
    both = env.log_reward(env.states_from_smiles(["COC", "CC"]))
    wanted = [3 * math.log(0.2), 3 * math.log(2.0)]
    torch.testing.assert_close(both - torch.tensor(wanted), both.new_zeros(2))
    assert task.rewards(env, states).tolist() == [2.0]


# ---------------------------------------------------------------------- fragments


@pytest.mark.parametrize(
    ("fragment", "smarts", "inside"),
    [
        ("*C(=O)N*", "C(=O)N", True),
        ("*C(=O)O*", "C(=O)[OH]", False),  # a port is no hydrogen
        ("*O*", "C", False),
        ("*O*", "[!#6]", True),
        ("*CO*", "O[#6]", True),
        ("*O*", "O[#6]", False),  # only with some neighbours
        ("*c1ccccc1", "[R]", True),
        ("*C*", "[$(C[!#6])]", False),
        ("*O*", "[$(OC)]", False),
        ("*O*", "O[C,N,S,F]", False),  # other elements may hang there
        ("*C*", "*", True),
    ],
)
def test_parts_inside_fragments(fragment: str, smarts: str, inside: bool) -> None:
    assert has_part(make_fragment(fragment), smarts) is inside


def test_forbidden_fragments_are_taken_out() -> None:
    vocabulary = Vocabulary.from_fragments(PIECES)
    left = without_parts(vocabulary, ["c1ccccc1", "[NX3]"])
    assert [f.smiles for f in left.fragments] == ["*C", "*CC", "*O*"]
    assert without_parts(vocabulary, ["[Br]"]) is vocabulary
    with pytest.raises(ConfigError, match="Every fragment has one of the forbidden parts"):
        without_parts(vocabulary, ["[#6]", "O"])


# ---------------------------------------------------------------------- the command line


def test_flags_with_several_words_add_up_and_brackets_keep_commas() -> None:
    option = Option("range", tuple[str, ...], ())
    words = [Word("range", ("a 1..2",)), Word("seed", ("1",)), Word("range", ("b 1..2", "c 1..2"))]
    found = together(words, {"range": option, "seed": Option("seed", int, 0)})
    assert found == [Word("range", ("a 1..2", "b 1..2", "c 1..2")), Word("seed", ("1",))]
    one = value_of(Word("require", ("[N,O]c1c(C)c{1,2},(C,N)",)), option, "--require")
    assert one == ("[N,O]c1c(C)c{1,2}", "(C,N)")
    assert value_of(Word("range", ("a 1..2,b 2..3",)), option, "--range") == ("a 1..2", "b 2..3")

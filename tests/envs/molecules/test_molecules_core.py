"""Scaffolds held fixed: every molecule begins with the core, and the law is exact."""

import math
from collections import Counter, defaultdict
from typing import Any

import pytest
import torch

pytest.importorskip("rdkit")
from rdkit import Chem

from gflow import Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.envs.molecules import MoleculeError, MoleculePolicy, Molecules, Vocabulary
from gflow.envs.molecules.core import core_fragment
from gflow.envs.molecules.task import MoleculesTask
from gflow.errors import ConfigError
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.state import take
from gflow.testing import check_env

PIECES = ["*C", "*CC", "*O*", "*c1ccccc1", "*c1ccc(*)cc1"]
CORES = [
    "*c1ccc(*)cc1",  # symmetric, and a fragment of the vocabulary as well
    "*c1ccccc1",  # with one port, likewise
    "*c1cc(*)cc(*)c1",  # threefold
    "*CC(*)=O",  # without symmetry
]


def make(core: str, most: int = 4, **settings: Any) -> Molecules:
    vocabulary = Vocabulary.from_fragments(PIECES)
    return Molecules(vocabulary, "qed", beta=2.0, max_fragments=most, core=core, **settings)


@pytest.mark.parametrize("core", CORES)
def test_the_law_over_molecules_is_exact(core: str) -> None:
    """p(SMILES) = R / Z, with records that count the assemblies that the steps find."""
    env = make(core, 5 if core == "*c1ccccc1" else 4)
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    objects = take(graph.states, graph.objects)
    records = env.records(objects)
    assemblies = Counter(record.smiles for record in records)
    assert [record.assemblies for record in records] == [assemblies[r.smiles] for r in records]
    found: dict[str, float] = defaultdict(float)
    for record, p in zip(records, law.tolist(), strict=True):
        found[record.smiles] += p
    weight = {record.smiles: record.value**2 for record in records}
    total = sum(weight.values())
    for text, value in weight.items():
        assert found[text] == pytest.approx(value / total, rel=1e-9), text
    pattern = Chem.MolFromSmarts(core)
    assert all(Chem.MolFromSmiles(text).HasSubstructMatch(pattern) for text in weight)
    assert len(weight) > 8


def test_a_core_that_is_a_fragment_too_may_stand_in_several_places() -> None:
    """Three rings in a chain: the core is at an end or in the middle, and both are one molecule."""
    chain = make("*c1ccc(*)cc1", 5)
    ether = chain.states_from_smiles(["Cc1ccc(Oc2ccc(C)cc2)cc1"])
    assert chain.records(ether)[0].assemblies == 1, "either ring, but a symmetry swaps them"
    terphenyl = "Cc1ccc(-c2ccc(-c3ccc(C)cc3)cc2)cc1"
    assert len(chain.decompose(terphenyl)) == 2
    assert all(a.fragments.count(len(PIECES)) == 1 for a in chain.decompose(terphenyl))
    # In the second and third of four places the same kinds of pieces are neighbours.
    longer = make("*c1ccc(*)cc1", 6)
    four = "Cc1ccc(-c2ccc(-c3ccc(-c4ccc(CC)cc4)cc3)cc2)cc1"
    assert len(longer.decompose(four)) == 4


@pytest.mark.parametrize("core", CORES[:3])
def test_the_contract_and_the_objectives(core: str) -> None:
    env = make(core)
    check_env(env, examples=15, limit=400)
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    batch = Sampler(env).forward(policy, 32, generator=torch.Generator().manual_seed(0))
    for objective in (TrajectoryBalance(log_z=flows.log_z), DetailedBalance()):
        residual = objective.residual(evaluate(env, policy, batch, objective.needs))
        torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-10, rtol=0)
    with torch.no_grad():
        policy.forward_table[0] *= 1.1
    spoilt = objective.residual(evaluate(env, policy, batch, objective.needs))
    assert float(spoilt.detach().abs().max()) > 1e-2


def test_it_starts_from_the_core_and_never_loses_it() -> None:
    env = make("*c1ccc(*)cc1", 5)
    start = env.initial(3)
    assert env.smiles(start) == ["*c1ccc(*)cc1"] * 3
    assert bool(env.is_initial(start).all())
    assert not bool(env.backward_mask(start).any())
    policy = MoleculePolicy(env, width=8, depth=1)
    batch = Sampler(env).forward(policy, 64, generator=torch.Generator().manual_seed(0))
    assert bool(((batch.final_states.fragment == len(PIECES)).sum(1) == 1).all())
    assert int(batch.length.max()) <= env.horizon == 4


def test_cores_without_labels_bond_to_labelled_fragments() -> None:
    pieces = ["[16*]c1ccccc1", "[16*]c1ccc([16*])cc1", "[8*]C", "[3*]OC", "[3*]O[3*]"]
    vocabulary = Vocabulary.from_fragments(pieces)
    core = core_fragment("*c1ccncc1*", vocabulary.fragments)
    assert {x for labels in core.labels for x in labels} > {3, 8, 16}
    labelled = core_fragment("[16*]c1ccncc1*", vocabulary.fragments)
    assert (16,) in labelled.labels
    env = Molecules(vocabulary, "qed", max_fragments=3, core="*c1ccncc1*")
    graph = enumerate_states(env)
    found = env.smiles(take(graph.states, graph.objects))
    assert "Cc1ccncc1C" in found
    assert "COc1ccncc1OC" in found


def test_bad_cores_are_refused_where_they_enter() -> None:
    with pytest.raises(ConfigError, match=r"Write a '\*' where something is to be attached"):
        make("c1ccccc1")
    with pytest.raises(ConfigError, match="max_fragments=3 counts the core: raise it to 4"):
        make("*c1cc(*)cc(*)c1", 3)
    with pytest.raises(ConfigError, match="may bond to no fragment with one port"):
        make("[5*]N")
    with pytest.raises(MoleculeError, match="does not hold the core"):
        make("*CC(*)=O").states_from_smiles(["COC"])
    with pytest.raises(ConfigError, match="core: .*not a valid SMILES"):
        MoleculesTask(core="*c1cc", workers=0).environment()


def test_qed_is_of_the_whole_molecule() -> None:
    env = make("*c1ccc(*)cc1", 3)
    states = env.states_from_smiles(["Cc1ccc(C)cc1"])
    value = env.records(states)[0].value
    from rdkit.Chem.QED import qed

    assert math.isclose(value, qed(Chem.MolFromSmiles("Cc1ccc(C)cc1")), rel_tol=1e-9)

"""Masks, steps and canonical forms."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from gflow.envs.molecules import MoleculeError, MoleculePolicy, Molecules, MoleculeState, Vocabulary
from gflow.errors import ConfigError, IllegalActionError
from gflow.evaluation.evaluate import evaluate
from gflow.exact.graph import enumerate_states
from gflow.sampling.sampler import Sampler
from gflow.state import cat, equal_rows, take
from gflow.testing import check_env

if TYPE_CHECKING:
    from tests.envs.molecules.conftest import Relabel, Walk

Chem = pytest.importorskip("rdkit.Chem")


@pytest.fixture(scope="session")
def drugs() -> Molecules:
    """The default vocabulary."""
    return Molecules(max_fragments=6, min_fragments=3)


def test_walks_always_finish_within_the_limits(drugs: Molecules, walk: "Walk") -> None:
    path = walk(drugs, 300)
    for states in path:
        assert torch.equal(drugs.is_terminal(states), ~drugs.forward_mask(states).any(1))
        assert torch.equal(drugs.is_initial(states), ~drugs.backward_mask(states).any(1))
    assert bool(drugs.is_terminal(path[-1]).all())
    sizes = (path[-1].fragment >= 0).sum(1)
    assert int(sizes.min()) >= 3
    assert int(sizes.max()) == 6


def test_every_finished_molecule_is_valid(drugs: Molecules, walk: "Walk") -> None:
    for smiles in drugs.smiles(walk(drugs, 300, seed=1)[-1]):
        molecule = Chem.MolFromSmiles(smiles)
        assert molecule is not None, smiles
        assert "*" not in smiles
        assert "." not in smiles
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())


def test_open_ports_are_shown(square: Molecules) -> None:
    first = square.tables.fragment_of.tolist().index(2)
    states = square.step(square.initial(1), torch.tensor([first]))
    assert square.show(states) == ["*CC(*)=O"]
    assert square.show(square.initial(2)) == ["(empty)", "(empty)"]


@pytest.mark.parametrize("name", ["drugs", "square", "ambiguous"])
def test_steps_and_backsteps_undo_each_other(
    name: str, request: pytest.FixtureRequest, walk: "Walk"
) -> None:
    env = request.getfixturevalue(name)
    path = walk(env, 60, seed=2)
    checked = 0
    for states in path:
        rows, actions = env.forward_mask(states).nonzero(as_tuple=True)
        keep = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:400]
        rows, actions = rows[keep], actions[keep]
        here = take(states, rows)
        there = env.step(here, actions)
        undo = env.backward_action(here, actions)
        assert bool(equal_rows(env.backstep(there, undo), here).all())
        again = env.forward_action(there, undo)
        assert bool(equal_rows(env.step(here, again), there).all())
        checked += len(rows)
    assert checked > 500
    for states in path[1:]:
        rows, leaves = env.backward_mask(states).nonzero(as_tuple=True)
        here = take(states, rows)
        parents = env.backstep(here, leaves)
        actions = env.forward_action(here, leaves)
        assert bool(equal_rows(env.step(parents, actions), here).all())


@pytest.mark.parametrize("name", ["drugs", "square", "ambiguous"])
@pytest.mark.parametrize("seed", [0, 1])
def test_isomorphic_trees_have_one_form(
    name: str, seed: int, request: pytest.FixtureRequest, walk: "Walk", relabel: "Relabel"
) -> None:
    env = request.getfixturevalue(name)
    states = cat(walk(env, 40, seed=3)[1:])
    other, _, _ = relabel(env, states, seed)
    assert not bool(equal_rows(other, states).all())
    assert bool(equal_rows(env.canonicalise(other), states).all())
    assert torch.equal(env.key(env.canonicalise(other)), env.key(states))
    counted = env.canonical(states).log_overcount()
    torch.testing.assert_close(env.canonical(other).log_overcount(), counted)


def test_different_trees_have_different_keys(drugs: Molecules, walk: "Walk") -> None:
    states = walk(drugs, 1000, seed=4)[-1]
    distinct = torch.unique(torch.cat([states.fragment, states.link.flatten(1)], 1), dim=0)
    assert len(drugs.key(states).unique()) == len(distinct) > 900


def test_arguments_are_not_changed(square: Molecules, walk: "Walk") -> None:
    for states in walk(square, 8):
        before = MoleculeState(states.fragment.clone(), states.link.clone())
        actions = square.forward_mask(states).int().argmax(1)
        square._step(states, actions)
        square._backstep(states, torch.zeros(8, dtype=torch.int64))
        square.backward_action(states, actions)
        square.forward_action(states, torch.zeros(8, dtype=torch.int64))
        square.log_symmetry(states)
        assert bool(equal_rows(states, before).all())


def test_illegal_actions_are_harmless_inside_and_refused_outside(
    square: Molecules, walk: "Walk"
) -> None:
    finished = walk(square, 16)[-1]
    for action in (0, square.num_actions - 1):
        square._step(finished, torch.full((16,), action))
    square._backstep(square.initial(2), torch.tensor([0, 5]))
    with pytest.raises(IllegalActionError, match="forward action 0 is illegal"):
        square.step(finished, torch.zeros(16, dtype=torch.int64))


@pytest.mark.slow
def test_exact_flows_of_the_engine(ambiguous: Molecules) -> None:
    """The engine's own solver, which knows nothing of symmetry, gives p(SMILES) = R / Z."""
    graph = enumerate_states(ambiguous)
    flows = graph.exact_flows()
    stop = torch.where(graph.can_end, 0.0, -torch.inf).double()
    law = graph.terminal_log_prob(flows.log_pf, stop).exp().tolist()
    found: dict[str, float] = {}
    reward: dict[str, float] = {}
    for record, probability in zip(
        ambiguous.records(take(graph.states, graph.objects)), law, strict=True
    ):
        found[record.smiles] = found.get(record.smiles, 0.0) + probability
        reward[record.smiles] = record.value
    assert len(found) < len(law)
    total = sum(reward.values())
    for smiles, value in reward.items():
        assert found[smiles] == pytest.approx(value / total, rel=1e-10)
    assert flows.log_z == pytest.approx(math.log(total), rel=1e-10)


@pytest.mark.parametrize("pieces", [["*C", "*CC", "*O*", "*OC"], ["*F", "*O*", "*C1C(*)C(*)C1*"]])
def test_contract(pieces: list[str]) -> None:
    checked = check_env(Molecules(Vocabulary.from_fragments(pieces), max_fragments=5))
    assert checked.exhaustive
    assert checked.longest == 5


@pytest.mark.slow
def test_the_engine_samples_with_the_network(ambiguous: Molecules) -> None:
    """With shared network passes or without; a trajectory alone weighs as it does in a batch."""
    generator = torch.Generator().manual_seed(0)
    policy = MoleculePolicy(ambiguous, width=16, generator=generator)
    for share in (False, True):
        batch = Sampler(ambiguous, share=share).forward(policy, 64, generator=generator)
        terms = evaluate(ambiguous, policy, batch)
        assert bool((terms.log_pf <= 0).all() & (terms.log_pb <= 0).all())
        assert bool((terms.log_pf.sum(1) < -1).all() & terms.log_pf.isfinite().all())
        for row in range(4):
            alone = evaluate(ambiguous, policy, batch.select(torch.tensor([row])))
            width = alone.log_pf.shape[1]
            torch.testing.assert_close(alone.log_pf[0], terms.log_pf[row, :width])
            torch.testing.assert_close(alone.log_pb[0], terms.log_pb[row, :width])


def test_finished_states_from_smiles(drugs: Molecules, walk: "Walk") -> None:
    states = walk(drugs, 40, seed=5)[-1]
    smiles = drugs.smiles(states)
    again = drugs.states_from_smiles(smiles)
    assert bool(drugs.is_terminal(again).all())
    assert drugs.smiles(again) == smiles
    unique = torch.tensor([record.assemblies == 1 for record in drugs.records(states)])
    assert bool(unique.any())
    assert torch.equal(drugs.key(again)[unique], drugs.key(states)[unique])


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("c1ccccc1(", "'c1ccccc1\\(' is not a valid SMILES"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("c1ccccc1", "no bond that the BRICS rules cut"),
        ("B(O)(O)c1ccc(C(=O)NCC)cc1", r"'B\(O\)\(O\)c1ccc.*not among the 128 fragments"),
        ("O=C(NCCNC(=O)CNc1ccccc1)c1ccc(OCC(=O)NCc2ccccc2)cc1", "max_fragments is 6"),
    ],
)
def test_what_cannot_be_built_says_why(drugs: Molecules, smiles: str, message: str) -> None:
    with pytest.raises(MoleculeError, match=message):
        drugs.states_from_smiles([smiles])


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("COc1ccccc1.Cl", "it has several parts, as a salt or a mixture; give the one"),
        ("Cl.COc1ccccc1", "it has several parts"),
        ("COc1ccccc1.COc1ccccc1", "it has several parts"),
        ("[Na+].COc1ccccc1C([O-])=O", "it has several parts"),
        ("[13CH3]Oc1ccccc1", r"its atom 0 .* is an isotope"),
        ("c1ccccc1O[13CH3]", r"its atom 7 .* is an isotope"),
        ("[2H]C([2H])([2H])Oc1ccccc1", "is an isotope"),
        ("C$C", "its bond between the atoms 0 and 1 is quadruple"),
        ("COc1ccccc1N->[Fe]", "is dative"),
    ],
)
def test_salts_isotopes_and_odd_bonds_are_refused(smiles: str, reason: str) -> None:
    env = Molecules(Vocabulary.from_fragments(["*c1ccccc1", "*OC", "*C", "*CC"]), max_fragments=3)
    with pytest.raises(MoleculeError, match=rf"cannot be built: .*{reason}"):
        env.states_from_smiles([smiles])
    assert env.decompose(smiles) == []


def test_one_text_is_no_list_of_molecules(drugs: Molecules) -> None:
    with pytest.raises(MoleculeError, match=r"a list of SMILES is needed, got 'CCO': \['CCO'\]"):
        drugs.states_from_smiles("CCO")
    with pytest.raises(MoleculeError, match="a blank stands in it; give the SMILES alone"):
        drugs.decompose("COc1ccccc1 anisole")


def test_numbers_of_atoms_and_hydrogens_written_out_change_nothing() -> None:
    env = Molecules(Vocabulary.from_fragments(["*c1ccccc1", "*OC", "*C", "*CC"]), max_fragments=3)
    plain = env.states_from_smiles(["COc1ccccc1"])
    for smiles in ("[CH3:1][O:2]c1ccccc1", "[H]C([H])([H])Oc1ccccc1", "[H]c1ccc(OC)cc1"):
        assert torch.equal(env.key(env.states_from_smiles([smiles])), env.key(plain))


def test_sizes_and_vocabularies_that_cannot_work_are_refused() -> None:
    vocabulary = Vocabulary.from_fragments(["*C", "*O*"])
    with pytest.raises(ConfigError, match="min_fragments=5, max_fragments=4"):
        Molecules(vocabulary, max_fragments=4, min_fragments=5)
    lonely = Vocabulary.from_fragments(["[16*]c1ccccc1", "[3*]OC", "[5*]N[5*]"])
    Molecules(lonely)
    with pytest.raises(ConfigError, match=r"port 0 of the fragment '\*OC' .* fragment with 2 port"):
        Molecules(lonely, min_fragments=3)
    with pytest.raises(
        ConfigError, match=r"port 0 of the fragment '\*S\(C\)\(=O\)=O' may bond to no"
    ):
        Molecules(Vocabulary.from_fragments(["[16*]c1ccccc1", "[12*]S(C)(=O)=O"]))


def test_state_is_a_pair_of_tensors(square: Molecules) -> None:
    names = [field.name for field in dataclasses.fields(square.initial(1))]
    assert names == ["fragment", "link"]
    assert square.forward_mask(
        take(square.initial(1), torch.tensor([], dtype=torch.int64))
    ).shape == (
        0,
        square.num_actions,
    )


def test_steps_say_what_undoes_them(square: Molecules, walk: "Walk") -> None:
    """As asked one by one, and in walks of every plan."""
    path = walk(square, 50, seed=2)
    for states in path[:-1]:
        live = square.forward_mask(states).any(1)
        states = take(states, live)
        if not int(live.sum()):
            continue
        actions = square.forward_mask(states).int().argmax(1)
        children, undone = square._step_undone(states, actions)
        assert undone is not None
        torch.testing.assert_close(undone, square.backward_action(states, actions))
        parents = square.backstep(children, undone)
        assert torch.equal(square.key(parents), square.key(states))
    policy = MoleculePolicy(square, 8, 1, "uniform")
    for plan, share in (("ragged", None), ("ragged", False), ("static", None)):
        sampler = Sampler(square, plan, share)  # type: ignore[arg-type]
        for limit in (None, 2):
            batch = sampler.forward(policy, 40, limit=limit)
            before, after = (take(batch.states, i) for i in edges(batch))
            moves = batch.moves
            wanted = square.backward_action(before, batch.actions[moves])
            assert torch.equal(batch.backward_actions[moves], wanted)
            assert int(batch.backward_actions[~moves].abs().sum()) == 0
            parents = square.backstep(after, wanted)
            assert torch.equal(square.key(parents), square.key(before))


def edges(batch: Any) -> tuple[Tensor, Tensor]:
    """Stored states before and after each move."""
    index, moves = batch.state_index, batch.moves
    return index[:, :-1][moves], index[:, 1:][moves]

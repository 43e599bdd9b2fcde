"""Molecules atom by atom: validity, canonical forms, counting, and exact laws."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.envs.atoms.canonical import arranged, canonical_order, resistance
from gflow.envs.atoms.chemistry import KINDS, Structure, canonical
from gflow.envs.atoms.env import Atoms, AtomState
from gflow.envs.atoms.policy import AtomPolicy
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.molecules import MoleculeError
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.memory.best import BestObjects
from gflow.metrics import total_variation
from gflow.objectives import PROPORTIONAL, DetailedBalance, TrajectoryBalance
from gflow.rewards.base import FunctionReward
from gflow.state import take
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer

Chem = pytest.importorskip("rdkit.Chem")
FLAT: FunctionReward[AtomState] = FunctionReward(lambda states: torch.zeros(len(states.kind)))
ENV = Atoms("qed", beta=8.0, max_atoms=4, kinds=("C", "N", "O"))
GRAPH = enumerate_states(ENV)


def walk(env: Atoms, count: int, seed: int = 0) -> list[AtomState]:
    """States on random ways from s0, without stops."""
    generator = torch.Generator().manual_seed(seed)
    states, path = env.initial(count), []
    for _ in range(env.horizon - 1):
        weights = env.forward_mask(states).double()
        weights[:, -1] = 1e-9  # chosen where nothing else is possible
        actions = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        states = AtomState(*moved_unless_stopped(env, states, actions))
        path.append(states)
    return path


def moved_unless_stopped(env: Atoms, states: AtomState, actions: Tensor) -> tuple[Tensor, Tensor]:
    moved, stopped = env._step(states, actions), actions == env.num_actions - 1
    kind = torch.where(stopped[:, None], states.kind, moved.kind)
    return kind, torch.where(stopped[:, None, None], states.bond, moved.bond)


def shuffled(kind: Tensor, bond: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    order = torch.rand(kind.shape, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return arranged(kind, bond, order)


# ---------------------------------------------------------------------- the contract


@pytest.mark.slow
@settings(max_examples=12)
@given(
    kinds=st.lists(st.sampled_from(["C", "N", "O", "F", "N+", "O-", "S"]), min_size=1, unique=True),
    atoms=st.integers(2, 5),
    order=st.integers(1, 3),
)
def test_contract(kinds: list[str], atoms: int, order: int) -> None:
    check_env(Atoms("qed", max_atoms=atoms, kinds=kinds, max_order=order), examples=16, limit=300)


@pytest.mark.slow
def test_contract_for_nine_atoms() -> None:
    found = check_env(Atoms("qed"), examples=24, limit=100)
    assert not found.exhaustive
    assert found.longest >= 9


def test_counts_of_carbon_skeletons() -> None:
    """Connected graphs of up to n nodes with degrees up to four."""
    for atoms, skeletons in ((2, 2), (3, 4), (4, 10), (5, 31), (6, 109), (7, 462)):
        env = Atoms(FLAT, max_atoms=atoms, kinds=["C"], max_order=1)
        assert len(enumerate_states(env)) == 1 + skeletons


def all_smiles(kinds: Sequence[str], atoms: int) -> set[str]:
    """Canonical SMILES of all connected molecules, from all labelled graphs."""
    found = set()
    for size in range(1, atoms + 1):
        pairs = list(itertools.combinations(range(size), 2))
        for names in itertools.combinations_with_replacement(kinds, size):
            for orders in itertools.product(range(4), repeat=len(pairs)):
                orders_of = tuple((*pair, o) for pair, o in zip(pairs, orders, strict=True) if o)
                used = [sum(o for *ends, o in orders_of if i in ends) for i in range(size)]
                if all(u <= KINDS[name][2] for u, name in zip(used, names, strict=True)):
                    found.add(canonical((names, orders_of)))
    return {smiles for smiles in found if "." not in smiles}


def test_every_molecule_is_one_state() -> None:
    env = Atoms("qed", max_atoms=3, kinds=("C", "N+", "O", "O-"))
    graph = enumerate_states(env)
    smiles = env.smiles(take(graph.states, graph.objects))
    assert len(set(smiles)) == len(smiles)
    assert set(smiles) == all_smiles(env.kinds, 3)
    smiles = ENV.smiles(take(GRAPH.states, GRAPH.objects))
    assert len(set(smiles)) == len(smiles) == 571


def test_what_is_built_is_what_rdkit_reads() -> None:
    env = Atoms("qed", kinds=("C", "N", "O", "F", "N+", "O-"))
    states = walk(env, 200)[-1]
    for row, text in enumerate(env.smiles(states)):
        molecule = Chem.MolFromSmiles(text)
        assert molecule.GetNumAtoms() == int((states.kind[row] > 0).sum())
        hydrogens = sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())
        assert hydrogens == int(env.free(states)[row].sum())
        assert sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()) == 0
    again = env.states_from_smiles(env.smiles(states))
    same = torch.tensor([r.assemblies == 1 for r in env.records(states)])
    assert torch.equal(env.key(again)[same], env.key(states)[same])
    assert int(same.sum()) > 150


# ---------------------------------------------------------------------- canonical forms


@pytest.mark.parametrize("atoms", [5, 9])
def test_numbers_of_atoms_do_not_matter(atoms: int) -> None:
    env = Atoms(FLAT, max_atoms=atoms)
    for step, states in enumerate(walk(env, 100, seed=atoms)):
        kind, bond = shuffled(states.kind, states.bond, step)
        again = env.canonicalise(AtomState(kind, bond))
        assert torch.equal(again.kind, states.kind)
        assert torch.equal(again.bond, states.bond)
        ragged, whole = (canonical_order(kind, bond, compact) for compact in (True, False))
        assert all(map(torch.equal, ragged, whole))


def test_canonical_forms_and_symmetries_of_all_small_graphs() -> None:
    graphs = [
        g
        for g in nx.graph_atlas_g()[2:]
        if nx.is_connected(g) and max(d for _, d in g.degree) <= 4 and len(g) <= 6
    ]
    bond = torch.zeros(len(graphs), 6, 6, dtype=torch.int64)
    kind = torch.zeros(len(graphs), 6, dtype=torch.int64)
    wanted = []
    for row, g in enumerate(graphs):
        for i, j in g.edges:
            bond[row, i, j] = bond[row, j, i] = 1
        kind[row, : len(g)] = 1
        wanted.append(sum(1 for _ in nx.isomorphism.GraphMatcher(g, g).isomorphisms_iter()))
    order, log_symmetries = canonical_order(kind, bond)
    torch.testing.assert_close(log_symmetries.exp(), torch.tensor(wanted).double())
    first = arranged(kind, bond, order)
    for seed in range(5):
        kinds, bonds = shuffled(kind, bond, seed)
        again = arranged(kinds, bonds, canonical_order(kinds, bonds)[0])
        assert torch.equal(again[1], first[1])


def test_hard_graphs_of_nine_atoms() -> None:
    """Regular graphs, where colours of neighbours alone say nothing."""
    rook = nx.convert_node_labels_to_integers(nx.cartesian_product(*2 * [nx.complete_graph(3)]))
    graphs = [rook, *(nx.circulant_graph(9, jumps) for jumps in ([1, 2], [1, 3], [1, 4]))]
    graphs += [nx.random_regular_graph(4, 9, seed=seed) for seed in range(60)]
    bond = torch.stack([torch.tensor(nx.to_numpy_array(g, nodelist=range(9))) for g in graphs])
    bond, kind = bond.long(), torch.ones(len(graphs), 9, dtype=torch.int64)
    order, log_symmetries = canonical_order(kind, bond)
    first = arranged(kind, bond, order)[1]
    for seed in range(10):
        kinds, bonds = shuffled(kind, bond, seed)
        assert torch.equal(arranged(kinds, bonds, canonical_order(kinds, bonds)[0])[1], first)
    count = round(float(log_symmetries[0].exp()))
    assert count == 72
    same = [nx.is_isomorphic(graphs[0], g) for g in graphs]
    assert same == (first == first[0]).all(2).all(1).tolist()


def test_resistance_tells_bonds_in_rings() -> None:
    env = Atoms(FLAT)
    states = walk(env, 200, seed=3)[-1]
    ohms = resistance(states.bond)
    for row in range(200):
        g = nx.from_numpy_array((states.bond[row] > 0).numpy())
        bridges = {tuple(sorted(e)) for e in nx.bridges(g)}
        for i, j in g.edges:
            assert (float(ohms[row, i, j]) > 1 - 0.5 / 9) == ((min(i, j), max(i, j)) in bridges)
    ring = env.states_from_smiles(["C1CCC1"]).bond
    i, j = ring[0].nonzero()[0].tolist()
    assert float(resistance(ring)[0, i, j]) == pytest.approx(3 / 4)


# ---------------------------------------------------------------------- counting


def test_ratio_of_multiplicities() -> None:
    """#forward / #backward = |Aut(s)| / |Aut(s')| for each pair of states."""
    forward = Counter(zip(GRAPH.parent.tolist(), GRAPH.child.tolist(), strict=True))
    rows, undo = ENV.backward_mask(GRAPH.states).nonzero(as_tuple=True)
    parents = GRAPH.rows(ENV.backstep(take(GRAPH.states, rows), undo))
    backward = Counter(zip(parents.tolist(), rows.tolist(), strict=True))
    assert set(forward) == set(backward)
    log_aut = (-ENV.log_symmetry(GRAPH.states)).tolist()
    for pair, a in forward.items():
        parent, child = pair
        ratio = math.log(a / backward[pair])
        assert math.isclose(ratio, log_aut[parent] - log_aut[child], abs_tol=1e-9)


@pytest.mark.parametrize("name", [n for n, cls in PROPORTIONAL.items() if cls.refusal(ENV) is None])
def test_objectives_vanish_on_the_exact_flows(name: str) -> None:
    objective = PROPORTIONAL[name].build(ENV)
    flows = GRAPH.exact_flows()
    if isinstance(objective, TrajectoryBalance):
        objective = TrajectoryBalance(log_z=flows.log_z)
    policy = TabularPolicy.solved(GRAPH, flows, objective.needs.edge_flow, objective.needs.energy)
    sampler, generator = Sampler(ENV), torch.Generator().manual_seed(0)
    forward = sampler.forward(policy, 64, generator=generator)
    backward = sampler.backward(policy, forward.final_states, generator=generator)
    for batch in (forward, backward):
        residual = objective.residual(evaluate(ENV, policy, batch, objective.needs))
        torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-9, rtol=0)


def test_exact_law_over_smiles() -> None:
    """The exact flows build each canonical SMILES with probability R / Z."""
    flows = GRAPH.exact_flows()
    law = GRAPH.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    records = ENV.records(take(GRAPH.states, GRAPH.objects))
    rewards = torch.tensor([r.value for r in records]) ** 8
    torch.testing.assert_close(law, rewards / rewards.sum(), atol=1e-12, rtol=1e-8)
    plain = Atoms(FLAT, max_atoms=4, kinds=("C", "N", "O"))
    plain.log_symmetry = lambda states: None  # type: ignore[method-assign, assignment, return-value]
    wrong = enumerate_states(plain).exact_flows()
    law = GRAPH.terminal_log_prob(wrong.log_pf, wrong.log_stop).exp()
    assert float((law - 1 / len(law)).abs().sum()) > 0.1


def test_structures_of_aromatic_molecules_share_the_reward() -> None:
    env = Atoms("qed")
    single, double = "Cc1ccccc1", "c1ccnnc1"
    states = env.states_from_smiles([single, double])
    assert [r.assemblies for r in env.records(states)] == [1, 2]
    a = env.from_structures([(tuple("CCCCNN"), bonds(ring, 6)) for ring in (0, 1)])
    assert env.smiles(a) == [double, double]
    assert len(set(env.key(a).tolist())) == 2
    torch.testing.assert_close(env.log_reward(a), env.reward(a) - math.log(2), atol=1e-12, rtol=0)


def bonds(first: int, size: int) -> tuple[tuple[int, int, int], ...]:
    return tuple(
        (min(i, (i + 1) % size), max(i, (i + 1) % size), 1 + (i + first) % 2) for i in range(size)
    )


@pytest.mark.slow
def test_workers_compute_the_same() -> None:
    here, there = Atoms(("qed", "sa")), Atoms(("qed", "sa"), workers=1)
    states = walk(here, 8)[-1]
    assert here.records(states) == there.records(states)
    there.close()


# ---------------------------------------------------------------------- the policy


def test_policy_does_not_read_numbers_of_atoms() -> None:
    torch.manual_seed(0)
    env = Atoms(FLAT, max_atoms=6)
    policy = AtomPolicy(env, 16, 2, backward="learned", log_flow=True)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    states = walk(env, 50, seed=5)[4]
    other = AtomState(*shuffled(states.kind, states.bond))
    moved = other.kind[:, 0] > 0  # holes in front are no states
    one, two = (policy(env, s) for s in (states, other))
    torch.testing.assert_close(one.log_flow, two.log_flow)
    for logits, masks in (
        ("forward_logits", env.forward_mask),
        ("backward_logits", env.backward_mask),
    ):
        values = [
            getattr(out, logits).masked_fill(~masks(s), -torch.inf).sort(1).values[moved]
            for out, s in ((one, states), (two, other))
        ]
        torch.testing.assert_close(*values)
    assert one.log_flow.unique().numel() > 10


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "steps"), [(TrajectoryBalance, 250), (DetailedBalance, 500)])
def test_training(objective: type[TrajectoryBalance | DetailedBalance], steps: int) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = Atoms("qed", beta=4.0, max_atoms=3, kinds=("C", "O"))
    fitted = objective()
    policy = AtomPolicy(env, 32, 2, log_flow=fitted.needs.log_flow)
    config = TrainConfig(steps, 64, lr=5e-3, lr_half_life=steps // 2 - 50)
    Trainer(env, policy, fitted, config).train()
    graph = enumerate_states(env)
    assert len(graph.objects) == 34
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.02


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_atoms": 1}, ConfigError, r"max_atoms in 2 \.\.\. 16"),
        ({"max_order": 4}, ConfigError, r"max_order in 1 \.\.\. 3, got 9 and 4"),
        ({"kinds": ("C", "C")}, ConfigError, "kinds must be distinct"),
        ({"kinds": ("C", "Nn")}, UnknownNameError, "kind of atom"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Atoms(**options)


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C((", "not a valid SMILES"),
        ("CCl", r"its atom 1 \(Cl\) is not among C, N, O, F"),
        ("C[CH]C", r"its atom 1 \(C\) has 3 bonds, and would need 4"),
        ("C.C", "it has several parts"),
        ("C C", "a blank stands in it"),
        (5, "5 is no text"),
        ("[13CH3]O", r"its atom 0 .* is an isotope"),
        ("O[13CH3]", r"its atom 1 .* is an isotope"),
        ("[2H]C([2H])([2H])O", "is an isotope"),
        ("C$C", "its bond between the atoms 0 and 1 is quadruple"),
        ("CN->[Fe]", "its bond between the atoms 1 and 2 is dative"),
        ("C~C", "its bond between the atoms 0 and 1 is unspecified"),
        ("*C", r"its atom 0 \(\*\) is not among"),
        ("CCCCCCCCCC", "it has 10 heavy atoms and max_atoms is 9"),
    ],
)
def test_molecules_that_cannot_be_built(smiles: Any, message: str) -> None:
    with pytest.raises(MoleculeError, match=message):
        Atoms("qed").states_from_smiles([smiles])


def test_policy_of_another_environment() -> None:
    with pytest.raises(IncompatibleError, match="is no Atoms environment"):
        AtomPolicy(HyperGrid())
    with pytest.raises(ConfigError, match="width >= 1"):
        AtomPolicy(ENV, width=0)


def test_two_structures_of_a_ring_are_one_molecule_among_the_best() -> None:
    """Kekule: benzene's bonds may alternate in two ways, ortho-xylene's differ as graphs."""
    env = Atoms(FLAT, max_atoms=8, kinds=("C",))
    ring = [(i, (i + 1) % 6) for i in range(6)]

    def structure(first: int) -> Structure:
        bonds = [(i, j, 2 if (at + first) % 2 else 1) for at, (i, j) in enumerate(ring)]
        return ("C",) * 8, (*bonds, (0, 6, 1), (1, 7, 1))

    states = env.from_structures([structure(0), structure(1)])
    assert len(env.key(states).unique()) == 2
    assert len(env.object_key(states).unique()) == 1
    torch.testing.assert_close(env.log_multiplicity(states), torch.tensor([2.0, 2.0]).log())
    best = BestObjects(env, 5)
    policy = AtomPolicy(env, 8, 1)
    batch = Sampler(env).backward(policy, states, generator=torch.Generator().manual_seed(0))
    best(None, batch, {})
    assert len(best) == 1
    torch.testing.assert_close(best.log_reward, torch.zeros(1))


@pytest.mark.slow
def test_the_record_of_training_holds_the_rewards_of_the_objects() -> None:
    """R = 1 everywhere: log R is 0, whatever the symmetries and the structures."""
    env = Atoms(FLAT, max_atoms=3, kinds=("C", "O"))
    trainer = Trainer(env, AtomPolicy(env, 8, 1), TrajectoryBalance(), TrainConfig(batch_size=16))
    batch = trainer.sample()
    assert batch.log_reward.abs().max() > 0.5
    assert abs(trainer.train(3)["mean_log_reward"]) < 1e-12

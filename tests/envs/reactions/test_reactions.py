"""Molecules by reactions: all that can be made is found, going forward and back, and its law."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.backward.choice import own_backward, with_backward
from gflow.envs.molecules import MoleculeError
from gflow.envs.reactions import ReactionPolicy, Reactions, Template, read_templates
from gflow.envs.reactions.routes import as_records, as_text, rerun, routes_of
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.objectives import PROPORTIONAL, TrajectoryBalance
from gflow.state import take
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer

chem = pytest.importorskip("rdkit.Chem")
reactions = pytest.importorskip("rdkit.Chem.rdChemReactions")

BLOCKS = (
    "O=C(O)c1ccccc1",
    "O=C(Cl)c1ccccc1",
    "C1CNCCN1",
    "CC(C)(C)OC(=O)N1CCNCC1",
    "Nc1ccc(Br)cc1",
    "OB(O)c1ccccc1",
)
NAMES = (
    "amide coupling",
    "Schotten-Baumann acylation",
    "Suzuki coupling",
    "Chan-Lam coupling",
    "Boc deprotection",
)


@cache
def templates(names: tuple[str, ...] = NAMES) -> tuple[Template, ...]:
    return tuple(t for t in read_templates() if t.name in names)


@cache
def small(steps: int = 2) -> Reactions:
    return Reactions("qed", 4.0, templates(), BLOCKS, max_steps=steps)


@cache
def graph() -> Any:
    return enumerate_states(small())


def made_by_rdkit(blocks: Sequence[str], steps: int) -> list[Counter[str]]:
    """How many routes of each number of reactions lead to each product, by RDKit alone."""
    blocks = [chem.CanonSmiles(text) for text in blocks]
    layers = [Counter(blocks)]
    for _ in range(steps):
        new: Counter[str] = Counter()
        for molecule, routes in layers[-1].items():
            for template in templates():
                reaction = reactions.ReactionFromSmarts(template.smarts)
                if template.reactants == 1:
                    pairs: list[tuple[str, ...]] = [(molecule,)]
                else:
                    pairs = [p for b in blocks for p in ((molecule, b), (b, molecule))]
                for pair in pairs:
                    found = set()
                    for (p,) in reaction.RunReactants(tuple(map(chem.MolFromSmiles, pair))):
                        if not chem.SanitizeMol(p, catchErrors=True):
                            found.add(chem.CanonSmiles(chem.MolToSmiles(p)))
                    new.update(dict.fromkeys(found, routes))
        layers.append(new)
    return layers


# ---------------------------------------------------------------------- what there is


@settings(max_examples=5)
@given(
    blocks=st.lists(st.sampled_from(BLOCKS), min_size=3, unique=True),
    steps=st.integers(1, 2),
    outcomes=st.integers(1, 3),
)
def test_contract(blocks: list[str], steps: int, outcomes: int) -> None:
    env = Reactions("qed", 1.0, templates(), blocks, steps, outcomes)
    if not any(env.chemist.open_slots[smiles] for smiles in env.chemist.blocks):
        with pytest.raises(ConfigError, match="none of the 3 blocks reacts"):
            env.forward_mask(env.initial(1))
        return
    check_env(env, examples=8, limit=300)


@pytest.mark.slow
def test_contract_of_the_set_that_ships() -> None:
    found = check_env(Reactions("qed"), examples=8, limit=60)
    assert not found.exhaustive
    assert found.longest == 11


def test_all_that_rdkit_makes_is_found_with_all_its_routes() -> None:
    """Going back from products finds every route that going forward makes, and no other."""
    env, layers = small(), made_by_rdkit(BLOCKS, 2)
    for steps in (1, 2):
        for smiles, routes in layers[steps].items():
            assert env.chemist.counts[smiles, steps] == routes, (smiles, steps)
    objects = take(graph().states, graph().objects)
    found = [(v.node.smiles, v.node.steps) for v in env.read(objects) if v.node]
    assert sorted(found) == sorted((s, d) for d in (1, 2) for s in layers[d])
    assert max(layers[2].values()) > 3
    both = set(layers[1]) & set(layers[2])
    assert both, "no product is made by one reaction and by two"
    for record in env.records(objects):
        assert record.assemblies == 1 + (record.smiles in both)


def test_routes_run_again_give_the_product() -> None:
    env = small()
    objects = take(graph().states, graph().objects)
    for route, smiles in zip(routes_of(env, objects), env.smiles(objects), strict=True):
        assert rerun(route) == smiles
        assert all(text in env.chemist.blocks for text in route[0].reactants)
        assert as_text(route).endswith(f"-> {smiles} by {route[-1].reaction}")
        assert as_records(route)[-1]["product"] == smiles
        wrong = [*route[:-1], route[-1]._replace(product="CCO")]
        assert rerun(wrong) == ""


@pytest.mark.slow
def test_random_routes_of_the_set_that_ships() -> None:
    """All are sound, and each last step is found again from its product."""
    env, generator = Reactions("qed"), torch.Generator().manual_seed(0)
    states = env.initial(24)
    for _ in range(env.horizon):
        mask = env.forward_mask(states)
        mask[:, -1] &= mask[:, :-1].sum(1) == 0
        actions = torch.multinomial(mask.double(), 1, generator=generator).squeeze(1)
        going = actions.ne(env.num_actions - 1)
        if not bool(going.any()):
            break
        before, states, actions = states[going], states[going], actions[going]
        states = env.step(before, actions)
        back = env.backward_action(before, actions)
        assert torch.equal(env.backstep(states, back), before)
        assert torch.equal(env.forward_action(states, back), actions)
    for route, smiles in zip(routes_of(env, states), env.smiles(states), strict=True):
        assert rerun(route) == smiles


def test_states_are_read_anew_elsewhere() -> None:
    """A state says its molecule in a process that has never seen it."""
    env, other = small(), Reactions("qed", 4.0, templates(), BLOCKS, max_steps=2)
    states = graph().states
    assert other.smiles(states) == env.smiles(states)
    assert torch.equal(other.forward_mask(states), env.forward_mask(states))
    assert torch.equal(other.backward_mask(states), env.backward_mask(states))


@pytest.mark.slow
def test_workers_find_the_same() -> None:
    env = Reactions("qed", 4.0, templates(), BLOCKS, max_steps=2, workers=2)
    try:
        assert torch.equal(enumerate_states(env).states, graph().states)
    finally:
        env.close()


def test_states_of_smiles() -> None:
    env = small()
    objects = take(graph().states, graph().objects)
    smiles = env.smiles(objects)
    again = env.states_from_smiles(smiles)
    assert env.smiles(again) == smiles
    steps = [view.node.steps for view in env.read(again) if view.node]
    assert steps == [min(d for d in (1, 2) if env.chemist.reached(text, d)) for text in smiles]
    with pytest.raises(MoleculeError, match="no route of at most 2 reactions leads to 'CCO'"):
        env.states_from_smiles(["CCO"])


# ---------------------------------------------------------------------- laws


@pytest.mark.parametrize(
    "name", [n for n, cls in PROPORTIONAL.items() if cls.refusal(small()) is None]
)
def test_objectives_vanish_on_the_exact_flows(name: str) -> None:
    env = small()
    objective, flows = PROPORTIONAL[name].build(env), graph().exact_flows()
    if isinstance(objective, TrajectoryBalance):
        objective = TrajectoryBalance(log_z=flows.log_z)
    policy = TabularPolicy.solved(graph(), flows, objective.needs.edge_flow, objective.needs.energy)
    sampler, generator = Sampler(env), torch.Generator().manual_seed(0)
    forward = sampler.forward(policy, 64, generator=generator)
    backward = sampler.backward(policy, forward.final_states, generator=generator)
    for batch in (forward, backward):
        residual = objective.residual(evaluate(env, policy, batch, objective.needs))
        torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-9, rtol=0)


def law_of_products(env: Reactions, log_prob: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) probabilities of the products, and what they should be, R / Z."""
    records = env.records(take(graph().states, graph().objects))
    number = {smiles: i for i, smiles in enumerate(dict.fromkeys(r.smiles for r in records))}
    of = torch.tensor([number[r.smiles] for r in records])
    law = torch.zeros(len(number), dtype=torch.float64).index_add(0, of, log_prob.exp().double())
    rewards = torch.zeros(len(number), dtype=torch.float64)
    rewards[of] = torch.tensor([r.value for r in records], dtype=torch.float64) ** 4
    return law, rewards / rewards.sum()


def test_exact_law_over_products() -> None:
    """Products come with probability R / Z, by however many routes and numbers of reactions."""
    env, flows = small(), graph().exact_flows()
    law, wanted = law_of_products(env, graph().terminal_log_prob(flows.log_pf, flows.log_stop))
    torch.testing.assert_close(law, wanted, atol=1e-9, rtol=1e-7)
    plain = Reactions("qed", 4.0, templates(), BLOCKS, max_steps=2)
    plain.log_multiplicity = lambda states: None  # type: ignore[method-assign, assignment, return-value]
    wrong = enumerate_states(plain).exact_flows()
    law, _ = law_of_products(env, graph().terminal_log_prob(wrong.log_pf, wrong.log_stop))
    assert float((law - wanted).abs().sum()) > 0.02


def test_all_routes_alike_under_maximum_entropy() -> None:
    """P_B by counts gives each route to a product the same probability."""
    env = small()
    objects = take(graph().states, graph().objects)
    policy = ReactionPolicy(env, 8, 1, "maxent")
    batch = Sampler(env).backward(policy, objects.repeat(8, 1), generator=torch.Generator())
    terms = evaluate(env, policy, batch, TrajectoryBalance().needs)
    nodes = [view.node for view in env.read(batch.final_states)]
    counts = [env.chemist.counts[node.smiles, node.steps] for node in nodes if node]
    torch.testing.assert_close(
        terms.log_pb.sum(1).double(), -torch.tensor(counts).double().log(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "learned", "maxent", "tlm"])
def test_trained_samplers_have_the_law(kind: str) -> None:
    env = small()
    torch.manual_seed(0)
    policy = ReactionPolicy(env, 32, 1, own_backward(kind))
    network = ReactionPolicy(env, 32, 1, "learned")
    whole, learners = with_backward(kind, env, policy, network)
    config = TrainConfig(120, batch_size=32, lr=1e-2, lr_half_life=40, log_z_lr=0.1, epsilon=0.1)
    trainer = Trainer(env, whole, TrajectoryBalance(), config, learners=learners)
    trainer.train(120)
    law, wanted = law_of_products(env, graph().terminal_distribution(whole))
    assert float(total_variation(law.log(), wanted.log())) < 0.03

"""The corrections make sampling exact: by enumeration, without any shortcut of the environment."""

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from gflow.envs.molecules import Assembly, Molecules, Vocabulary
from gflow.envs.molecules.assembly import canonical
from gflow.state import take

if TYPE_CHECKING:
    from tests.envs.molecules.conftest import WorldOf


def solve(world: Any, log_reward: Tensor) -> tuple[Tensor, list[dict[int, float]]]:
    """Flows and forward policy of all states, action by action, for a uniform backward policy.

    Args:
        world: All states.
        log_reward: Per state, what is trained on; read for finished ones.
    """
    parents = world.env.backward_mask(world.states).sum(1).tolist()
    flow = [0.0] * len(parents)
    policy: list[dict[int, float]] = [{} for _ in parents]
    for i in reversed(by_size(world)):
        if not world.edges[i]:
            flow[i] = math.exp(float(log_reward[i]))
            continue
        terms = {a: flow[j] / parents[j] for a, j in world.edges[i].items()}
        flow[i] = sum(terms.values())
        policy[i] = {a: term / flow[i] for a, term in terms.items()}
    return torch.tensor(flow), policy


def reached(world: Any, policy: list[dict[int, float]]) -> Tensor:
    """Probability of each state under the forward policy."""
    mass = [1.0] + [0.0] * (len(policy) - 1)
    for i in by_size(world):
        for action, probability in policy[i].items():
            mass[world.edges[i][action]] += mass[i] * probability
    return torch.tensor(mass)


def by_size(world: Any) -> list[int]:
    size = (world.states.fragment >= 0).sum(1).tolist()
    return sorted(range(len(size)), key=size.__getitem__)


def test_assemblies_are_sampled_in_proportion(square: Molecules, world_of: "WorldOf") -> None:
    world = world_of(square)
    assert len(world.finished) > 50
    wanted = torch.randn(len(world.keys), generator=torch.Generator().manual_seed(1))
    counted = square.canonical(world.states).log_overcount()
    assert counted[world.finished].unique().numel() > 5
    _, policy = solve(world, wanted - counted)
    mass = reached(world, policy)[world.finished]
    torch.testing.assert_close(mass, wanted[world.finished].softmax(0), atol=1e-12, rtol=1e-10)


def test_without_the_correction_it_is_wrong(square: Molecules, world_of: "WorldOf") -> None:
    world = world_of(square)
    _, policy = solve(world, torch.zeros(len(world.keys)))
    mass = reached(world, policy)[world.finished]
    assert float((mass - 1 / len(mass)).abs().sum()) > 0.1


def test_ratio_of_multiplicities(square: Molecules, world_of: "WorldOf") -> None:
    """#forward / #backward = |Aut(s)| |G_f| / |Aut(s')| for each pair of states."""
    world = world_of(square)
    number = {key: i for i, key in enumerate(world.keys)}
    log_aut = square.canonical(world.states).log_automorphisms()
    rows, leaves = square.backward_mask(world.states).nonzero(as_tuple=True)
    many = take(world.states, rows)
    parents = [number[key] for key in square.key(square.backstep(many, leaves)).tolist()]
    removed = many.fragment.gather(1, leaves[:, None]).squeeze(1).tolist()
    pairs = Counter(zip(rows.tolist(), parents, removed, strict=True))
    assert len(pairs) > 500
    for (child, parent, fragment), b in pairs.items():
        a = sum(1 for j in world.edges[parent].values() if j == child)
        group = len(square.vocabulary.fragments[fragment].group)
        if parent == 0:
            assert a == b == 1
            assert math.isclose(math.log(group), float(log_aut[child]), abs_tol=1e-12)
        else:
            ratio = math.log(group) + float(log_aut[parent] - log_aut[child])
            assert math.isclose(math.log(a / b), ratio, abs_tol=1e-12)


@pytest.mark.slow
def test_molecules_are_sampled_in_proportion(ambiguous: Molecules, world_of: "WorldOf") -> None:
    """With `target_log_reward` as the engine uses it, p(SMILES) = R(SMILES) / Z."""
    world = world_of(ambiguous)
    ends = torch.tensor(world.finished)
    finished = take(world.states, ends)
    targets = torch.zeros(len(world.keys)).index_put((ends,), ambiguous.target_log_reward(finished))
    _, policy = solve(world, targets)
    mass = reached(world, policy)[ends].tolist()
    records = ambiguous.records(finished)
    assemblies = Counter(record.smiles for record in records)
    assert max(assemblies.values()) >= 3
    assert [record.assemblies for record in records] == [assemblies[r.smiles] for r in records]
    total = sum({r.smiles: r.value for r in records}.values())
    found: Counter[str] = Counter()
    for record, probability in zip(records, mass, strict=True):
        found[record.smiles] += probability
    for record in records:
        assert math.isclose(found[record.smiles], record.value / total, rel_tol=1e-10)


@pytest.mark.parametrize("minimum", [2, 3, 4])
def test_limits_are_respected_when_assemblies_are_counted(
    minimum: int, world_of: "WorldOf"
) -> None:
    vocabulary = Vocabulary.from_fragments(["*C", "*CC", "*O*", "*OC"])
    env = Molecules(vocabulary, max_fragments=4, min_fragments=minimum)
    world = world_of(env)
    finished = take(world.states, torch.tensor(world.finished))
    records = env.records(finished)
    assemblies = Counter(record.smiles for record in records)
    assert all(record.assemblies == assemblies[record.smiles] for record in records)
    assert set((finished.fragment >= 0).sum(1).tolist()) == set(range(minimum, 5))


def test_keys_separate_what_marked_smiles_separate(
    square: Molecules, ambiguous: Molecules, world_of: "WorldOf"
) -> None:
    """States by key are states by canonical SMILES with a marked atom in each joining bond."""
    for env in (square, ambiguous):
        world = world_of(env)
        k = env.tables.max_ports
        forms = set()
        rows = zip(world.states.fragment.tolist(), world.states.link.tolist(), strict=True)
        for fragment, link in list(rows)[1:]:
            nodes = tuple(f for f in fragment if f >= 0)
            ends = [(i, p) for i in range(len(nodes)) for p in range(k)]
            bonds = tuple(
                ((i, p), divmod(link[i][p], k)) for i, p in ends if link[i][p] > i * k + p
            )
            written = env.host.builder.write_assembly(Assembly(nodes, bonds), mark=True)
            # Open ports and marks must differ, or they would be taken for each other.
            forms.add(canonical(written.replace("(*)", "([At])")))
        assert len(forms) == len(world.keys) - 1

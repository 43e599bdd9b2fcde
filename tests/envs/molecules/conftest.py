"""Small worlds of molecules, enumerated."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

pytest.importorskip("rdkit")

from gflow.envs.molecules import Molecules, MoleculeState, Vocabulary
from gflow.state import batch_size, cat, take


@dataclass
class World:
    """All states of an environment, found by stepping from s0.

    Attributes:
        states: One row per state, s0 first; children after parents.
        edges: Per state, {legal action: row of the child}.
    """

    env: Molecules
    states: MoleculeState
    keys: list[int]
    edges: list[dict[int, int]]

    @property
    def finished(self) -> list[int]:
        return [i for i, edges in enumerate(self.edges) if not edges]


Walk = Callable[..., list[MoleculeState]]
WorldOf = Callable[[Molecules], World]
Relabel = Callable[[Molecules, MoleculeState, int], tuple[MoleculeState, Tensor, Tensor]]


def enumerate_world(env: Molecules) -> World:
    level = env.initial(1)
    levels, keys = [level], env.key(level).tolist()
    edges: list[dict[int, int]] = [{}]
    first = 0
    while batch_size(level):
        rows, actions = env.forward_mask(level).nonzero(as_tuple=True)
        children = env.step(take(level, rows), actions)
        found = {key: i for i, key in enumerate(keys)}
        fresh = []
        child_keys = env.key(children).tolist()
        for place, key in enumerate(child_keys):
            if key not in found:
                found[key] = len(keys)
                keys.append(key)
                edges.append({})
                fresh.append(place)
        for row, action, key in zip(rows.tolist(), actions.tolist(), child_keys, strict=True):
            edges[first + row][action] = found[key]
        first += batch_size(level)
        level = take(children, torch.tensor(fresh, dtype=torch.int64))
        levels.append(level)
    return World(env, cat(levels), keys, edges)


@pytest.fixture(scope="session")
def world_of() -> WorldOf:
    return enumerate_world


def random_walk(env: Molecules, count: int, seed: int = 0) -> list[MoleculeState]:
    """States visited by uniformly random legal actions, until all rows are finished."""
    generator = torch.Generator().manual_seed(seed)
    states, path = env.initial(count), [env.initial(count)]
    for _ in range(env.horizon):
        mask = env.forward_mask(states)
        done = ~mask.any(1)
        weights = (mask | done[:, None]).double()
        actions = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        moved = env._step(states, actions)
        states = MoleculeState(
            torch.where(done[:, None], states.fragment, moved.fragment),
            torch.where(done[:, None, None], states.link, moved.link),
        )
        path.append(states)
    return path


@pytest.fixture(scope="session")
def walk() -> Walk:
    return random_walk


@pytest.fixture(scope="session")
def relabel() -> Relabel:
    return relabelled


def relabelled(
    env: Molecules, states: MoleculeState, seed: int
) -> tuple[MoleculeState, Tensor, Tensor]:
    """The same trees with nodes renumbered and ports permuted by symmetries.

    Returns:
        The states, (B, N) new number of each node, (B, N, K) new port of each port.
    """
    generator = torch.Generator().manual_seed(seed)
    b, n, k = states.link.shape
    fragment, link = torch.full_like(states.fragment, -1), torch.full_like(states.link, -1)
    node, port = torch.zeros(b, n, dtype=torch.int64), torch.zeros(b, n, k, dtype=torch.int64)
    for row in range(b):
        count = int((states.fragment[row] >= 0).sum())
        node[row, :count] = torch.randperm(count, generator=generator)
        node[row, count:] = torch.arange(count, n)
        for i in range(count):
            group = env.vocabulary.fragments[int(states.fragment[row, i])].group
            chosen = group[int(torch.randint(len(group), (1,), generator=generator))]
            port[row, i] = torch.tensor([*chosen, *range(len(chosen), k)])
        for i in range(count):
            fragment[row, node[row, i]] = states.fragment[row, i]
            for p in range(k):
                there = int(states.link[row, i, p])
                if there >= 0:
                    j, q = divmod(there, k)
                    link[row, node[row, i], port[row, i, p]] = node[row, j] * k + port[row, j, q]
    return MoleculeState(fragment, link), node, port


SQUARE = ["*F", "*O*", "*CC(*)=O", "*C1C(*)C(*)C1*"]
AMBIGUOUS = ["*C", "*CC", "*O*", "*OC", "*c1ccccc1", "*c1ccc(*)cc1", "*C*"]


@pytest.fixture(scope="session")
def square() -> Molecules:
    """One-, two- and four-port fragments with and without symmetry."""
    return Molecules(Vocabulary.from_fragments(SQUARE), max_fragments=6)


@pytest.fixture(scope="session")
def ambiguous() -> Molecules:
    """Fragments of which other fragments can be composed: many molecules, several assemblies."""
    return Molecules(Vocabulary.from_fragments(AMBIGUOUS), ["qed", "sa"], max_fragments=5)

"""Best-first search on the recorded tree, and on trees that are made up: all proofs, budgets."""

import random
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import TabularPolicy, enumerate_states
from gflow.envs.proofs import (
    Done,
    Failed,
    FixedTactics,
    Open,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    Theorem,
)
from gflow.envs.proofs.data import shortest_proofs
from gflow.envs.proofs.search import Node, best_first
from gflow.envs.proofs.tree import DONE
from gflow.errors import ConfigError
from gflow.state import take

TACTICS = ("a.", "b.", "c.")


class Made:
    """A made-up checker: what a tactic does depends on a seed and on the goal, of which there are
    so many (or each path has its own)."""

    def __init__(self, seed: int, goals: int = 10**9) -> None:
        self.seed, self.goals, self.asked = seed, goals, list[tuple[str, ...]]()

    def start(self, theorem: Theorem) -> Open:
        return Open((theorem.declaration,), "root")

    def apply(self, handle: Any, tactic: str) -> Any:
        path = (*handle, tactic)
        self.asked.append(path)
        here = path if self.goals > 100 else (handle[-1], tactic)
        rng = random.Random(f"{self.seed} {here}")
        luck = rng.random()
        if luck < 0.1:
            return Done(path)
        return Failed("no") if luck < 0.45 else self._open(path, rng)

    def _open(self, path: tuple[str, ...], rng: random.Random) -> Open:
        text = f"goal {rng.randrange(self.goals)}"
        return Open((*path[:-1], text) if self.goals <= 100 else path, text)

    def close(self) -> None:
        pass


def made(seed: int, depth: int = 4, goals: int = 10**9, theorems: int = 1) -> ProofEnv:
    listed = [Theorem.of(f"A{i}") for i in range(theorems)]
    tree = ProofTree(Made(seed, goals), listed, FixedTactics(TACTICS), depth)
    return ProofEnv(tree, PosteriorReward(tree))


def every_proof(env: ProofEnv) -> set[tuple[str, ...]]:
    graph = enumerate_states(env, condition=torch.zeros(1, 1))
    ends = take(graph.states, graph.objects)
    return set(env.proof(ends[env.status(ends) == DONE]))


def test_a_uniform_search_finds_every_proof_of_the_record(example: ProofEnv) -> None:
    """PF-7: as many as exhaustive search finds, with exactly its 145 calls."""
    search = best_first(example, [0], 1000, dedupe=False, first=False)[0]
    assert set(search.proofs) == every_proof(example)
    assert len(search.proofs) == 10
    assert search.calls == 145
    assert search.status == "proved"
    short = [proof for proof in search.proofs if len(proof) <= 3]
    assert len(short) == 2
    first = best_first(example, [0], 1000)[0]
    assert len(first.proofs) == 1
    assert first.calls < 145


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), policy_seed=st.integers(0, 100))
def test_all_proofs_are_found_in_order_under_any_policy(seed: int, policy_seed: int) -> None:
    """PF-7: priorities never rise, and what is known of the root is right."""
    env = made(seed)
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, backward="uniform")
    table = torch.randn(policy.forward_table.shape, generator=torch.Generator().manual_seed(seed))
    policy.forward_table.data.copy_(table * (policy_seed % 3))
    search = best_first(env, [0], 10**6, policy, dedupe=False, first=False)[0]
    assert set(search.proofs) == every_proof(env)
    assert search.priorities == sorted(search.priorities, reverse=True)
    assert search.calls == len(graph) - 1
    assert search.status == ("proved" if search.proofs else "failed")
    once = best_first(env, [0], 10**6, policy)[0]
    assert bool(once.proofs) == bool(search.proofs)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), budget=st.integers(1, 30))
def test_budgets_are_kept_and_decide_nothing_else(seed: int, budget: int) -> None:
    env = made(seed)
    search = best_first(env, [0], budget, dedupe=False)[0]
    whole = best_first(env, [0], 10**6, dedupe=False)[0]
    assert search.calls <= budget
    assert search.calls <= whole.calls
    if whole.calls <= budget:
        assert (search.proofs, search.status) == (whole.proofs, whole.status)
    elif whole.proofs:
        assert (search.proofs, search.status) == ([], "open")


class Written(Made):
    """A checker that goes by a table of goals and tactics."""

    TABLE: ClassVar = {
        ("root", "a."): "x", ("x", "a."): "w", ("w", "a."): "y",
        ("root", "b."): "v", ("v", "a."): "y", ("y", "a."): "z",
    }  # fmt: skip

    def apply(self, handle: Any, tactic: str) -> Any:
        if (handle, tactic) == ("z", "a."):
            return Done("z")
        text = self.TABLE.get((handle, tactic))
        return Failed("no") if text is None else Open(text, text)

    def start(self, theorem: Theorem) -> Open:
        return Open("root", "root")


def test_goals_that_were_seen_are_dropped_unless_more_tactics_are_left() -> None:
    """`y` is met after three tactics, with no proof within reach, before it is after two."""
    tree = ProofTree(Written(0), [Theorem.of("A")], FixedTactics(TACTICS), 4)
    env = ProofEnv(tree, PosteriorReward(tree))
    policy = TabularPolicy(enumerate_states(env), backward="uniform")
    policy.forward_table.data[:, 0] = 5.0
    search = best_first(env, [0], 100, policy)[0]
    assert search.proofs == [("b.", "a.", "a.", "a.")]
    assert search._seen == {"root": 4, "x": 3, "v": 3, "w": 2, "y": 2, "z": 1}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_no_theorem_is_lost_by_dropping_goals(seed: int) -> None:
    env = made(seed, depth=5, goals=4)
    search = best_first(env, [0], 10**6, dedupe=True)[0]
    plain = best_first(env, [0], 10**6, dedupe=False)[0]
    assert search.calls <= plain.calls
    assert bool(search.proofs) == bool(plain.proofs)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_breadth_first_search_finds_a_shortest_proof(seed: int) -> None:
    env = made(seed)
    proofs = every_proof(env)
    found = shortest_proofs(env, 10**6)
    assert len(found) == bool(proofs)
    if proofs:
        assert len(env.proof(found)[0]) == min(len(proof) for proof in proofs)


def test_theorems_are_searched_side_by_side_as_alone() -> None:
    env = made(5, theorems=5)
    together = best_first(env, range(5), 40)
    for number in range(5):
        alone = best_first(made(5, theorems=5), [number], 40)[0]
        assert alone.theorem == together[number].theorem == number
        assert (alone.proofs, alone.calls, alone.status) == (
            together[number].proofs,
            together[number].calls,
            together[number].status,
        )
    by_two = best_first(env, range(5), 40, group=2)
    assert [s.proofs for s in by_two] == [s.proofs for s in together]
    assert len(shortest_proofs(env, 200)) == sum(
        bool(s.proofs) for s in best_first(env, range(5), 200)
    )


def test_what_is_known_goes_up_the_tree() -> None:
    """PF-7: failed once all children are, proved as soon as one is."""
    root = Node(0, 0.0, None, waiting=2, expanded=True)
    left, right = Node(1, -1.0, root, waiting=1, expanded=True), Node(2, -1.0, root)
    leaf = Node(3, -2.0, left)
    leaf.settle("failed")
    assert (left.status, root.status, root.waiting) == ("failed", "open", 1)
    right.settle("failed")
    assert root.status == "failed"
    root = Node(0, 0.0, None, waiting=1)
    child = Node(1, -1.0, root)
    child.settle("failed")
    assert root.status == "open"  # its other tactics were not tried
    root = Node(0, 0.0, None, waiting=2, expanded=True)
    Node(1, -1.0, root).settle("proved")
    assert root.status == "proved"
    Node(2, -1.0, root).settle("failed")
    assert root.status == "proved"


def test_narrow_searches_try_the_likeliest_tactics(example: ProofEnv) -> None:
    graph = enumerate_states(example)
    policy = TabularPolicy(graph, backward="uniform")
    policy.forward_table.data[:, 3] = 2.0
    policy.forward_table.data[:, 0] = 1.0
    best_first(example, [0], 2, policy, width=2)
    asked = {example.tree.proof(0, int(p)) for p in (1, 4)}
    assert asked == {("intros.",), ("right.",)}
    for bad in ({"budget": 0}, {"budget": 5, "width": -1}, {"budget": 5, "group": 0}):
        with pytest.raises(ConfigError, match="must be at least 1"):
            best_first(example, [0], **bad)  # type: ignore[arg-type]

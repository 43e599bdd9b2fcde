"""T4.5 on sentences: chains over trees leave the posterior as it is."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gflow import enumerate_states
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import Forest, parents
from gflow.envs.grammar.metropolis import TreeChains, random_trees, relabelled, rotated
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import log_joint
from gflow.exact.graph import StateGraph
from gflow.rewards.base import FunctionReward
from gflow.state import take

LABELS = 2


def listed(rules: Rules, words: Tensor) -> tuple[StateGraph[Forest], Forest, Tensor]:
    """All trees of one sentence, and their posterior."""
    env = Parser(words, FunctionReward(lambda forest: log_joint(rules, forest)), LABELS)
    graph = enumerate_states(env)
    return graph, take(graph.states, graph.objects), graph.log_target().exp()


def places(graph: StateGraph[Forest], forest: Forest) -> Tensor:
    """(B,) numbers of trees among all."""
    at = torch.full((len(graph),), -1)
    at[graph.objects] = torch.arange(len(graph.objects))
    found = at[graph.rows(forest)]
    assert bool((found >= 0).all())
    return found


def proposals(graph: StateGraph[Forest], trees: Forest, kind: str) -> Tensor:
    """(X, X) probability of proposing each tree from each, every choice being gone through."""
    count, gaps = trees.label.shape
    total = torch.zeros(count, count)
    rows = torch.arange(count)
    inner = parents(trees) >= 0
    for gap in range(gaps):
        at = torch.full((count,), gap)
        if kind == "rotation":
            share = inner[:, gap] / inner.sum(-1)
            total[rows, places(graph, rotated(trees, at))] += share
            continue
        for label in range(LABELS):
            to = relabelled(trees, at, torch.full((count,), label))
            total[rows, places(graph, to)] += 1 / (gaps * LABELS)
    return total


@pytest.mark.parametrize("reads_parent", [False, True], ids=["cfg", "ncfg"])
@pytest.mark.parametrize("size", [3, 4])
def test_each_move_is_in_balance_with_the_posterior(
    size: int, reads_parent: bool, rules_of: Callable[..., Rules]
) -> None:
    """T4.5: proposals are symmetric, rows sum to one, pi P = pi, and all trees are reached."""
    rules = rules_of(LABELS, 2, 3, reads_parent)
    graph, trees, law = listed(rules, torch.tensor([[0, 2, 1, 1][:size]]))
    moves = []
    for kind in ("rotation", "label"):
        q = proposals(graph, trees, kind)
        torch.testing.assert_close(q, q.T)
        torch.testing.assert_close(q.sum(1), torch.ones(len(q)))
        p = q * (law[None] / law[:, None]).clamp(max=1)
        p = p - p.sum(1).diag() + torch.eye(len(q))
        torch.testing.assert_close(law[:, None] * p, (law[:, None] * p).T)
        torch.testing.assert_close(law @ p, law)
        moves.append(p)
    assert bool((torch.linalg.matrix_power(moves[0] @ moves[1], 12) > 0).all())


def test_rotating_the_former_parent_undoes_a_rotation(rules_of: Callable[..., Rules]) -> None:
    _, trees, _ = listed(rules_of(LABELS, 2, 3, False), torch.tensor([[0, 2, 1, 1]]))
    above = parents(trees)
    for gap in range(3):
        at = torch.full((len(above),), gap)
        former = above[:, gap].where(above[:, gap] >= 0, at)
        back = rotated(rotated(trees, at), former)
        assert torch.equal(back.left, trees.left)
        assert torch.equal(back.right, trees.right)


@pytest.mark.slow
def test_chains_end_in_the_posterior(rules_of: Callable[..., Rules]) -> None:
    """From random trees, 2000 chains side by side, with a shorter sentence among them."""
    rules = rules_of(LABELS, 2, 3, True)
    words = torch.tensor([[0, 2, 1, 1], [2, 1, 0, -1]])
    count, generator = 2000, torch.Generator().manual_seed(0)
    start = random_trees(words.repeat_interleave(count, 0), LABELS, generator)
    found = TreeChains(rules, start, generator).run(60)
    for row in range(2):
        env = Parser(words, FunctionReward(lambda forest: log_joint(rules, forest)), LABELS)
        graph = enumerate_states(env, condition=torch.tensor([[float(row)]]))
        law = graph.log_target().exp()
        part = take(found, torch.arange(row * count, (row + 1) * count))
        seen = torch.bincount(places(graph, part), minlength=len(law))
        sigma = (law * (1 - law) * count).sqrt()
        often = law > 2e-3
        score = ((seen - law * count) / sigma)[often]
        assert float(score.square().mean()) < 1 + 5 * (2 / len(score)) ** 0.5


def test_random_trees_are_trees() -> None:
    """Every one of 5 shapes of four words, each order of joining as likely as the others."""
    words = torch.tensor([[0, 0, 0, 0, -1]]).expand(6000, -1)
    trees = random_trees(words, 1, torch.Generator().manual_seed(0))
    env = Parser(words[:1], FunctionReward(lambda forest: forest.label[:, 0]), 1)
    graph = enumerate_states(env)
    seen = torch.bincount(places(graph, trees), minlength=5).double() / 6000
    orders = graph.log_num_trajectories()[graph.objects].exp()
    torch.testing.assert_close(seen, orders / orders.sum(), atol=0.02, rtol=0.0)

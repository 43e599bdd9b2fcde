"""The parser as an environment: its contract, how many trees there are, and in how many orders."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import enumerate_states
from gflow.em import Observations
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import Forest, children, parents, roots, spans
from gflow.envs.grammar.model import FixedGrammar
from gflow.envs.grammar.reward import GrammarReward
from gflow.envs.grammar.rules import Rules
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import FunctionReward, LogReward
from gflow.state import take
from gflow.testing import check_env

texts = st.integers(2, 4).flatmap(
    lambda longest: st.lists(
        st.lists(st.integers(0, 2), min_size=2, max_size=longest).map(
            lambda words: words + [-1] * (longest - len(words))
        ),
        min_size=1,
        max_size=3,
    )
)


def weights(seed: int) -> LogReward[Forest]:
    """Another number for every forest."""
    g = torch.Generator().manual_seed(seed)
    table = torch.randn(4, 8, 8, generator=g)
    return FunctionReward(
        lambda forest: (
            table[forest.label, forest.left, forest.right].where(forest.joined, 0).sum(-1)
            + 0.1 * forest.words.clamp(min=0).sum(-1)
        ),
        partial=True,
    )


@pytest.mark.slow
@settings(max_examples=12)
@given(texts=texts, labels=st.integers(1, 3), seed=st.integers(0, 9), which=st.integers(0, 2))
def test_contract(texts: list[list[int]], labels: int, seed: int, which: int) -> None:
    env = Parser(torch.tensor(texts), weights(seed), labels)
    number = which % len(texts)
    condition = torch.tensor([[float(number)]])
    found = check_env(env, condition=condition, limit=3000)
    assert found.exhaustive
    words = sum(word >= 0 for word in texts[number])
    assert found.longest == words - 1
    graph = enumerate_states(env, condition=condition)
    trees = math.comb(2 * words - 2, words - 1) // words * labels ** (words - 1)
    assert len(graph.objects) == trees
    assert len(set(env.show(graph.states))) == len(graph)


def test_sentences_differ_in_their_states() -> None:
    env = Parser(torch.tensor([[0, 1, 1], [0, 1, -1], [0, 0, 1]]), weights(0), 2)
    source = env.start(3, condition=torch.tensor([[0.0], [1.0], [2.0]]))
    assert env.show(source) == ["0 1 1", "0 1", "0 0 1"]
    assert len(set(env.key(source).tolist())) == 3
    assert env.forward_mask(source).sum(-1).tolist() == [4, 2, 4]
    assert env.show(env.initial(2)) == ["0 1 1", "0 1 1"]


def test_a_forest_by_hand() -> None:
    """Children, parents, roots and spans of ((0 1) 2) (3 4)."""
    env = Parser(torch.arange(5)[None], weights(0), 3)
    states = env.initial(1)
    for gap, label in ((0, 2), (1, 0), (3, 1)):
        states = env.step(states, torch.tensor([3 * gap + label]))
    assert env.show(states) == ["(0 (2 0 1) 2) (1 3 4)"]
    first, second = children(states)
    assert first.tolist() == [[-1, 0, -1, -1]]
    assert second.tolist() == [[-1, -1, -1, -1]]
    assert parents(states).tolist() == [[1, -1, -1, -1]]
    assert roots(states).tolist() == [[False, True, False, True]]
    assert spans(states).nonzero().tolist() == [[0, 0, 2], [0, 0, 3], [0, 3, 5]]
    last = env.step(states, torch.tensor([3 * 2 + 2]))
    assert [c.tolist() for c in children(last)] == [[[-1, 0, 1, -1]], [[-1, -1, 3, -1]]]
    assert env.backward_mask(last).tolist() == [[False, False, True, False]]
    assert bool(env.is_terminal(last))


@pytest.mark.parametrize("words", [3, 4, 5])
def test_orders_of_building_are_counted(words: int) -> None:
    """(n - 1)! / prod (nodes under each node), for every tree; P_B follows."""
    env = Parser(torch.zeros(1, words, dtype=torch.int64), weights(1), 1)
    graph = enumerate_states(env)
    finished = take(graph.states, graph.objects)
    nodes = (finished.right - finished.left - 1).clamp(min=1)
    hooks = math.lgamma(words) - nodes.double().log().sum(-1)
    counted = graph.log_num_trajectories()[graph.objects]
    torch.testing.assert_close(counted, hooks)
    law = env.max_entropy_law(graph.states).table()[graph.child, graph.backward_action]
    number = graph.log_num_trajectories()
    torch.testing.assert_close(law, number[graph.parent] - number[graph.child])


def test_dreams_are_sentences_too() -> None:
    """A sentence that a model made up has a source as observed ones have."""
    data = Observations(torch.tensor([[0, 1, 1]]))
    env = Parser(data, weights(0), 2, vocabulary=3)
    call = data.dream(torch.tensor([[2, 2, -1], [1, 2, 0]]))
    assert env.show(env.start(2, condition=call)) == ["2 2", "1 2 0"]


def test_conditions_are_read_where_the_reward_reads_them() -> None:
    size = torch.zeros(1, 1, 2, 2)
    rules = Rules(torch.zeros(1), (size - math.log(4)), torch.zeros(1, 1, 3) - math.log(3))
    words = torch.tensor([[0, 1, 2]])
    model = FixedGrammar(rules)
    assert Parser(words, GrammarReward(model, words), 1).condition_dim == 1
    assert Parser(words, weights(0), 1).condition_dim == 0


def test_bad_sentences_are_refused() -> None:
    with pytest.raises(ShapeError, match="must be \\(K, L\\) int64"):
        Parser(torch.zeros(2, 3), weights(0), 1)
    with pytest.raises(ConfigError, match="at least two words"):
        Parser(torch.tensor([[0, -1, -1]]), weights(0), 1)
    with pytest.raises(ConfigError, match="nothing between"):
        Parser(torch.tensor([[0, -1, 1]]), weights(0), 1)
    with pytest.raises(ConfigError, match=r"numbered 0 \.\.\. 1"):
        Parser(torch.tensor([[0, 2, 1]]), weights(0), 1, vocabulary=2)
    with pytest.raises(ConfigError, match="at least one nonterminal"):
        Parser(torch.tensor([[0, 1]]), weights(0), 0)

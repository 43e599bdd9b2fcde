"""Exact probabilities of trees under a parser, against the graph of all forests."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gflow import Sampler, enumerate_states
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.exact import log_tree_prob, posterior_distance
from gflow.envs.grammar.model import FixedGrammar
from gflow.envs.grammar.policy import ParserPolicy
from gflow.envs.grammar.reward import GrammarReward
from gflow.envs.grammar.rules import Rules
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.state import take


@pytest.fixture
def env(rules_of: Callable[..., Rules], sentences: Tensor) -> Parser:
    reward = GrammarReward(FixedGrammar(rules_of(2, 2, 4, True)), sentences)
    return Parser(reward.data, reward, 2)


def test_orders_of_building_are_summed_over(env: Parser) -> None:
    torch.manual_seed(0)
    policy = ParserPolicy(env, 16, 1, 2)
    for row in range(3):
        told = torch.tensor([[float(row)]])
        graph = enumerate_states(env, condition=told)
        trees = take(graph.states, graph.objects)
        found = log_tree_prob(env, policy, trees, told.expand(len(trees.words), -1))
        torch.testing.assert_close(found, graph.terminal_distribution(policy))


def test_sentences_of_different_lengths_side_by_side(env: Parser) -> None:
    torch.manual_seed(0)
    policy = ParserPolicy(env, 16, 1, 2)
    told = torch.tensor([[0.0], [1.0], [2.0], [1.0]])
    generator = torch.Generator().manual_seed(0)
    trees = Sampler(env).forward(policy, 4, condition=told, generator=generator).final_states
    together = log_tree_prob(env, policy, trees, told)
    for row in range(4):
        one = torch.tensor([row])
        alone = log_tree_prob(env, policy, take(trees, one), told[one])
        torch.testing.assert_close(together[one], alone)


def test_the_distance_to_the_posterior_is_estimated_without_bias(env: Parser) -> None:
    torch.manual_seed(0)
    policy = ParserPolicy(env, 16, 1, 2)
    told = torch.tensor([[1.0], [2.0]])
    reward = env.reward
    assert isinstance(reward, GrammarReward)
    generator = torch.Generator().manual_seed(0)
    found = posterior_distance(env, policy, reward.model.rules(), told, 3000, generator)
    for row in range(2):
        graph = enumerate_states(env, condition=told[row : row + 1])
        exact = total_variation(graph.terminal_distribution(policy), graph.log_target())
        assert float(exact) > (0.2, 0.02)[row]
        assert float(found[row]) == pytest.approx(float(exact), abs=0.03)


def test_long_sentences_are_refused(rules_of: Callable[..., Rules]) -> None:
    words = torch.zeros(1, 10, dtype=torch.int64)
    reward = GrammarReward(FixedGrammar(rules_of(1, 1, 1, False)), words)
    env = Parser(reward.data, reward, 1)
    policy = ParserPolicy(env, 8, 1, 2)
    batch = Sampler(env).forward(policy, 1, condition=torch.zeros(1, 1))
    with pytest.raises(ConfigError, match="up to 9 words, got one of 10"):
        log_tree_prob(env, policy, batch.final_states)

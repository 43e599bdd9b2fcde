"""T4.4: what a grammar says of trees and of sentences, against sums written out by hand."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import enumerate_states
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import spans
from gflow.envs.grammar.inside import (
    best_spans,
    expected_parse,
    log_marginal,
    span_posterior,
)
from gflow.envs.grammar.known import known_grammar
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import expansions, log_joint
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import FunctionReward
from gflow.state import take

RulesOf = Callable[..., Rules]
TreesOf = Callable[[list[int], int], Iterator[Any]]
ProbabilityOf = Callable[[Rules, Any], float]

KINDS = pytest.mark.parametrize("reads_parent", [False, True], ids=["cfg", "ncfg"])


def words_of(row: Tensor) -> list[int]:
    return [word for word in row.tolist() if word >= 0]


@KINDS
def test_inside_is_the_sum_over_all_trees(
    reads_parent: bool,
    rules_of: RulesOf,
    trees_of: TreesOf,
    probability_of: ProbabilityOf,
    sentences: Tensor,
) -> None:
    """T4.4 with sentences of up to 5 words side by side."""
    rules = rules_of(2, 2, 4, reads_parent)
    by_hand = [
        math.log(sum(probability_of(rules, tree) for tree in trees_of(words_of(row), 2)))
        for row in sentences
    ]
    torch.testing.assert_close(log_marginal(rules, sentences), torch.tensor(by_hand))


@KINDS
@pytest.mark.parametrize("seed", range(3))
def test_inside_is_the_sum_over_all_trees_of_six_words(
    reads_parent: bool,
    seed: int,
    rules_of: RulesOf,
    trees_of: TreesOf,
    probability_of: ProbabilityOf,
) -> None:
    """T4.4 with six words: 42 shapes and 2^5 labels, or one label and three preterminals."""
    words = torch.randint(0, 3, (1, 6), generator=torch.Generator().manual_seed(seed))
    for n, m in ((2, 1), (1, 3)):
        rules = rules_of(n, m, 3, reads_parent, seed)
        trees = trees_of(words_of(words[0]), n)
        by_hand = math.log(sum(probability_of(rules, tree) for tree in trees))
        assert float(log_marginal(rules, words)) == pytest.approx(by_hand, abs=1e-12)


@KINDS
def test_trees_are_scored_as_defined(
    reads_parent: bool,
    rules_of: RulesOf,
    trees_of: TreesOf,
    probability_of: ProbabilityOf,
    line_of: Callable[[Any], str],
    sentences: Tensor,
) -> None:
    rules = rules_of(2, 2, 4, reads_parent)
    env = Parser(sentences, FunctionReward(lambda forest: log_joint(rules, forest)), 2)
    for number in (1, 2):
        graph = enumerate_states(env, condition=torch.tensor([[float(number)]]))
        forest = take(graph.states, graph.objects)
        trees = {
            line_of(tree): math.log(probability_of(rules, tree))
            for tree in trees_of(words_of(sentences[number]), 2)
        }
        lines = env.show(forest)
        assert sorted(lines) == sorted(trees)
        expected = torch.tensor([trees[line] for line in lines])
        torch.testing.assert_close(log_joint(rules, forest), expected)
        table = expansions(rules)
        torch.testing.assert_close(log_joint(rules, forest, table), expected)


@KINDS
def test_what_is_fixed_of_a_forest(reads_parent: bool, rules_of: RulesOf) -> None:
    """A node counts when it stands, or, where its parent matters, when it has got one."""
    rules = rules_of(2, 1, 3, reads_parent)
    env = Parser(torch.tensor([[0, 1, 2]]), FunctionReward(lambda forest: forest.label[:, 0]), 2)
    source = env.initial(1)
    low = env.step(source, torch.tensor([1]))  # (1 0 1) 2
    done = env.step(low, torch.tensor([2]))  # (0: (1 0 1) 2)
    assert env.show(done) == ["(0 (1 0 1) 2)"]
    under, top, words = 0, 2 if reads_parent else 0, rules.words.exp()
    pairs = rules.pairs.exp()
    if reads_parent:
        inner = pairs[under, 1, 2, 2] * words[1, 0, 0] * words[1, 0, 1]
        outer = pairs[top, 0, 1, 2] * words[0, 0, 2]
    else:
        inner = pairs[0, 1, 2, 2] * words[0, 0, 0] * words[0, 0, 1]
        outer = pairs[0, 0, 1, 2] * words[0, 0, 2]
    assert float(log_joint(rules, source)) == 0
    kept = 0.0 if reads_parent else float(inner.log())
    assert float(log_joint(rules, low)) == pytest.approx(kept)
    whole = float(rules.top[0] + inner.log() + outer.log())
    assert float(log_joint(rules, done)) == pytest.approx(whole)


@KINDS
def test_gradients_are_expected_counts(reads_parent: bool, rules_of: RulesOf) -> None:
    """Of rules in the posterior over trees: what an exact E-step counts."""
    rules = rules_of(2, 2, 3, reads_parent)
    words = torch.tensor([[0, 2, 1, 1]])
    env = Parser(words, FunctionReward(lambda forest: log_joint(rules, forest)), 2)
    graph = enumerate_states(env)
    forest = take(graph.states, graph.objects)

    def gradients(of: Callable[[Rules], Tensor]) -> list[Tensor]:
        leaves = [part.clone().requires_grad_() for part in vars(rules).values()]
        return list(torch.autograd.grad(of(Rules(*leaves)), leaves))

    posterior = graph.log_target().exp()
    expected = gradients(lambda r: (posterior * log_joint(r, forest)).sum())
    found = gradients(lambda r: log_marginal(r, words).sum())
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)
    assert float(found[0].sum()) == pytest.approx(1)  # one topmost symbol
    assert float(found[1].sum()) == pytest.approx(3)  # three nodes


@KINDS
def test_span_posterior_and_the_parse_of_most_right_spans(
    reads_parent: bool, rules_of: RulesOf
) -> None:
    rules = rules_of(2, 2, 3, reads_parent, seed=3)
    words = torch.tensor([[0, 2, 1, 1, 0], [2, 1, 0, -1, -1]])
    env = Parser(words, FunctionReward(lambda forest: log_joint(rules, forest)), 2)
    found, parse = span_posterior(rules, words), expected_parse(rules, words)
    for row in range(2):
        graph = enumerate_states(env, condition=torch.tensor([[float(row)]]))
        tables = spans(take(graph.states, graph.objects)).double()
        posterior = graph.log_target().exp()
        by_hand = (posterior[:, None, None] * tables).sum(0)
        torch.testing.assert_close(found[row], by_hand)
        # No tree has a larger expected number of right spans.
        right = (tables * by_hand).sum((1, 2))
        best = tables[right.argmax()].bool()
        assert torch.equal(parse[row], best)


def test_best_spans_are_a_tree() -> None:
    """Of random weights, against all trees; padding never counts."""
    weight = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(4))
    length = torch.tensor([5, 3])
    found = best_spans(weight, length)
    env = Parser(
        torch.tensor([[0] * 5, [0] * 3 + [-1] * 2]), FunctionReward(lambda f: f.label[:, 0]), 1
    )
    for row in range(2):
        graph = enumerate_states(env, condition=torch.tensor([[float(row)]]))
        tables = spans(take(graph.states, graph.objects))
        best = (tables * weight[row]).sum((1, 2)).argmax()
        assert torch.equal(found[row], tables[best])


def test_long_sentences_do_not_underflow(rules_of: RulesOf) -> None:
    """Single precision, 40 words of a thousand: p is about e^-300."""
    rules = rules_of(3, 4, 1000, False)
    words = torch.randint(0, 1000, (1, 40), generator=torch.Generator().manual_seed(0))
    wide = log_marginal(rules, words)
    narrow = Rules(*(part.float() for part in vars(rules).values()))
    assert float(wide) < -200
    assert float(log_marginal(narrow, words)) == pytest.approx(float(wide), rel=1e-5)


def test_impossible_sentences_have_no_probability() -> None:
    """And take nothing from the others, nor from gradients of the possible ones."""
    rules = known_grammar("pairs").rules  # x x y y, but not y y x x
    words = torch.tensor([[0, 1, 3, 4], [3, 4, 0, 1]])
    found = log_marginal(rules, words)
    assert found.isfinite().tolist() == [True, False]
    posterior = span_posterior(rules, words[:1])
    assert posterior[0].nonzero().tolist() == [[0, 2], [0, 4], [2, 4]]


def test_large_vocabularies_are_not_written_out(rules_of: RulesOf) -> None:
    assert expansions(rules_of(2, 1, 2000, False)) is None


def test_single_words_are_refused(rules_of: RulesOf) -> None:
    with pytest.raises(ConfigError, match="at least two words"):
        log_marginal(rules_of(2, 2, 3, False), torch.tensor([[0, 1, 2], [1, -1, -1]]))


def test_tables_that_do_not_fit_are_refused(rules_of: RulesOf) -> None:
    rules = rules_of(2, 2, 3, False)
    with pytest.raises(ShapeError, match="Q = 1 or N"):
        Rules(rules.top, rules.pairs.expand(2, -1, -1, -1), rules.words)
    with pytest.raises(ShapeError, match="Q = 1 or N"):
        Rules(rules.top[:1], rules.pairs, rules.words)

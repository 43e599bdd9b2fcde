"""Sentences from known grammars: drawn as the grammar says, with the trees behind them."""

import math
from collections.abc import Callable

import pytest
import torch

from gflow.envs.grammar.derive import attempt, derive
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import Forest, spans
from gflow.envs.grammar.inside import expected_parse, log_marginal, span_posterior
from gflow.envs.grammar.known import KNOWN, corpus, known_grammar, sentence_text
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import log_joint
from gflow.errors import ConfigError, UnknownNameError
from gflow.rewards.base import FunctionReward
from gflow.state import take

FLAT: FunctionReward[Forest] = FunctionReward(lambda forest: forest.label.sum(-1).double())


@pytest.mark.parametrize("reads_parent", [False, True], ids=["cfg", "ncfg"])
def test_trees_are_drawn_as_often_as_they_are_likely(
    reads_parent: bool, rules_of: Callable[..., Rules]
) -> None:
    """Given that they are short: frequencies of all trees of three words at most."""
    rules = rules_of(2, 2, 2, reads_parent)
    draws = 40_000
    found = derive(rules, draws, 3, torch.Generator().manual_seed(0))
    env = Parser(found.words[:1].clamp(min=0), FLAT, 2, vocabulary=2)
    keys, place, count = env.key(found).unique(return_inverse=True, return_counts=True)
    first = torch.full_like(keys, draws).scatter_reduce(
        0, place, torch.arange(draws), "amin", include_self=True
    )
    log_p = log_joint(rules, take(found, first))
    two = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    pairs = torch.nn.functional.pad(two, (0, 1), value=-1)
    triples = torch.cartesian_prod(*[torch.arange(2)] * 3)
    total = log_marginal(rules, torch.cat([pairs, triples])).exp().sum()
    law = log_p.exp() / total
    assert float(law.sum()) == pytest.approx(1, abs=2e-3)  # nearly all trees were met
    often = law > 1e-3
    sigma = (law * (1 - law) * draws).sqrt()
    score = ((count - law * draws) / sigma)[often]
    assert float(score.square().mean()) < 1 + 5 * (2 / len(score)) ** 0.5


def test_long_sentences_are_drawn_again_and_not_cut(rules_of: Callable[..., Rules]) -> None:
    rules = rules_of(2, 2, 2, False)
    forest, short = attempt(rules, 500, 4, torch.Generator().manual_seed(0))
    assert 0 < int(short.sum()) < 500
    kept = take(forest, short)
    assert kept.complete.all()
    found = derive(rules, 300, 4, torch.Generator().manual_seed(0))
    assert found.complete.all()
    assert set(found.length.tolist()) == {2, 3, 4}
    endless = Rules(rules.top, torch.full_like(rules.pairs, -torch.inf), rules.words)
    endless.pairs[:, :, 0, 0] = 0.0
    with pytest.raises(ConfigError, match="0 of .* sentences have at most 4 words"):
        derive(endless, 3, 4)


@pytest.mark.parametrize("name", KNOWN)
def test_corpora_are_the_same_in_every_run(name: str) -> None:
    one, two = (corpus(name, 30, 10, 10, longest=12) for _ in range(2))
    assert torch.equal(one.train.words, two.train.words)
    assert torch.equal(one.test.left, two.test.left)
    assert (len(one.train.words), len(one.valid.words), len(one.test.words)) == (30, 10, 10)
    assert one.train.complete.all()
    assert int(one.train.length.max()) <= 12
    assert log_joint(one.grammar.rules, one.test).isfinite().all()
    rules = one.grammar.rules
    torch.testing.assert_close(rules.top.exp().sum(), torch.tensor(1.0))
    words = rules.words.exp().sum(-1)
    torch.testing.assert_close(words, torch.ones_like(words))
    pairs = rules.pairs.exp().sum((-1, -2))
    torch.testing.assert_close(pairs, torch.ones_like(pairs))
    assert all(2 <= len(line.split()) <= 12 for line in sentence_text(one.grammar, one.test.words))


def test_the_first_grammar_has_one_tree_a_sentence() -> None:
    """G1 as given: known spans, and an F1 of 100 for who knows the grammar."""
    found = corpus("pairs", 50, 1, 1)
    rules, words = found.grammar.rules, found.train.words
    torch.testing.assert_close(log_marginal(rules, words), log_joint(rules, found.train))
    assert torch.equal(expected_parse(rules, words), spans(found.train))
    text = sentence_text(found.grammar, words)
    for line in text:
        kinds = "".join(word[0] for word in line.split())
        assert kinds == "x" * kinds.count("x") + "y" * kinds.count("y")
        assert min(kinds.count("x"), kinds.count("y")) >= 2


def test_phrases_are_attached_to_nouns_or_verbs() -> None:
    """G2 as given: "kim saw a dog in a park" has both trees, in the proportion of the rules."""
    grammar = known_grammar("attachment")
    line = "kim saw a dog in a park".split()
    words = torch.tensor([[grammar.words.index(word) for word in line]])
    posterior = span_posterior(grammar.rules, words)[0]
    # VP -> VP PP (0.2) against NP -> NP PP inside the object (1/4 of all noun phrases).
    verb = 0.2 * 0.8 * 0.5
    noun = 0.8 * 0.25 * 0.5
    assert float(posterior[1, 4]) == pytest.approx(verb / (verb + noun))
    assert float(posterior[2, 7]) == pytest.approx(noun / (verb + noun))
    assert float(posterior[4, 7]) == pytest.approx(1)


@pytest.mark.slow
def test_roles_tell_subjects_from_objects() -> None:
    """G3 as given: the words of a noun phrase say where it stands, to who reads the parent."""
    grammar = known_grammar("roles")
    rules = grammar.rules
    assert rules.reads_parent
    found = corpus("roles", 400, 1, 1).train
    blind = rules.pairs.exp().mean(0, keepdim=True), rules.words.exp().mean(0, keepdim=True)
    averaged = Rules(rules.top, blind[0].log(), blind[1].log())
    gap = log_marginal(rules, found.words) - log_marginal(averaged, found.words)
    assert float(gap.mean()) > 1
    assert math.isinf(float(log_marginal(rules, found.words[:1].flip(1))))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="attachment"):
        corpus("attachments")

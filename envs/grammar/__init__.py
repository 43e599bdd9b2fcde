"""Grammars: sentences, the trees behind them, and a parser that samples these."""

from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.inside import expected_parse, log_marginal, span_posterior
from gflow.envs.grammar.known import Corpus, KnownGrammar, corpus, known_grammar
from gflow.envs.grammar.model import FixedGrammar, GrammarModel
from gflow.envs.grammar.neural import NeuralGrammar
from gflow.envs.grammar.policy import ParserPolicy
from gflow.envs.grammar.reward import GrammarReward
from gflow.envs.grammar.rules import Rules

__all__ = [
    "Corpus",
    "FixedGrammar",
    "Forest",
    "GrammarModel",
    "GrammarReward",
    "KnownGrammar",
    "NeuralGrammar",
    "Parser",
    "ParserPolicy",
    "Rules",
    "corpus",
    "expected_parse",
    "known_grammar",
    "log_marginal",
    "span_posterior",
]

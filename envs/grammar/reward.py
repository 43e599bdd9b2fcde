"""log p(words, tree) as the reward of the parser."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.rules import Rules
from gflow.envs.grammar.scores import fixed, log_joint, node_scores, top_score
from gflow.rewards.base import LogReward

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.trajectories import Trajectories


class GrammarReward(LogReward[Forest]):
    """log R = log p(words, tree) under a grammar that does not change.

    Forests have the log-probability of what no further move can change: of their nodes, or, where
    expansions depend on the parent, of those nodes that have one.

    Args:
        rules: The grammar.
    """

    has_partial = True

    def __init__(self, rules: Rules) -> None:
        self._rules = rules.detached()

    def rules(self) -> Rules:
        """The grammar."""
        return self._rules

    def __call__(self, states: Forest, condition: Tensor | None = None) -> Tensor:
        """(B,) log p; see `log_joint`."""
        with torch.no_grad():
            return log_joint(self.rules(), states)

    @torch.no_grad()
    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[Forest]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) the same of all stored states; each node is scored once, in the last forest."""
        rules, last, states = self.rules(), trajectories.final_states, trajectories.states
        row, _ = trajectories.first_visits()
        score = node_scores(rules, last)[row]
        kept = score.where(fixed(rules, states), 0.0).sum(-1)
        return kept + top_score(rules, last)[row].where(states.complete, 0.0)

    def __repr__(self) -> str:
        rules = self.rules()
        kind = "ncfg" if rules.reads_parent else "cfg"
        return (
            f"{type(self).__name__}({kind}, {rules.nonterminals} nonterminals, "
            f"{rules.preterminals} preterminals, {rules.vocabulary} words)"
        )

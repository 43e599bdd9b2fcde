"""log p(words, tree) as the reward of the parser, of whole trajectories in one pass."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gflow.em.reward import JointReward
from gflow.envs.grammar.forest import Forest
from gflow.envs.grammar.model import GrammarModel
from gflow.envs.grammar.scores import fixed, node_scores, top_score

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.trajectories import Trajectories


class GrammarReward(JointReward):
    """log R = log p(words, tree) under a grammar.

    Forests have the log-probability of what no further move can change: of their nodes, or, where
    expansions depend on the parent, of those nodes that have one. So log F of a forest is learned
    relative to what it has settled already.

    Args:
        model: The grammar.
        data: (K, L) int64 words, or `Observations` of them.
    """

    model: GrammarModel

    @torch.no_grad()
    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[Forest]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) the same of all stored states; each node is scored once, in the last forest."""
        rules = self.model.rules()
        last, states = trajectories.final_states, trajectories.states
        row, _ = trajectories.first_visits()
        kept = node_scores(rules, last)[row].where(fixed(rules, states), 0.0).sum(-1)
        return kept + top_score(rules, last)[row].where(states.complete, 0.0)

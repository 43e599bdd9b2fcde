"""A perceptron that compares a state with the outcome it is to come to, feature by feature."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.errors import ConfigError, IncompatibleError
from gflow.outcomes.conditioned import outcome_reward
from gflow.policies.base import Backward, check_backward
from gflow.policies.heads import Heads, TrunkPolicy, linear

MOST = 1 << 17
"""Larger tables of pairs are not made."""


def compares(env: Environment[Any]) -> bool:
    """Whether `OutcomePolicy` can be had: outcomes are objects, with few values per feature."""
    few = sum(size * size for size in env.feature_sizes) <= MOST
    told = outcome_reward(env, "OutcomePolicy").outcome is None
    return bool(env.numbered and env.feature_sizes and told and few)


class OutcomePolicy(TrunkPolicy):
    """A multi-layer perceptron over pairs of features: of the state, and of the outcome.

    The first layer is a sum of embeddings for each feature: of the pair of values that it has in
    the state and in the outcome, of their difference, and of either alone. So what is still to be
    done is plain to see, and where features are amounts what is learned of one pair holds for all
    pairs as far apart; where they are symbols the pair can say everything by itself. All else is
    that of `MLPPolicy`.

    Args:
        env: An outcome-conditioned environment whose outcomes are the objects themselves.
        width: Units of each hidden layer.
        depth: Number of hidden layers, at least 1.
        backward: "learned", "uniform" or "maxent".
        log_flow: Whether to have a log-flow head.
        generator: For the initial weights.

    Raises:
        IncompatibleError: If outcomes are no categorical features, or have too many values.
    """

    offset: Tensor
    sizes: Tensor

    @checked
    def __init__(
        self,
        env: Environment[Any],
        width: Count = 256,
        depth: Count = 2,
        backward: Backward = "learned",
        log_flow: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        env = require_numbered(env, "OutcomePolicy", "Use a policy made for it.")
        if not compares(env):
            raise IncompatibleError(
                f"OutcomePolicy compares categorical features of states and of outcomes that are "
                f"objects; {env.name} has none, other outcomes, or more than {MOST} pairs of "
                f"values. Use MLPPolicy with condition_encoder=OutcomeEncoder(env), or a network "
                f"of your own."
            )
        check_backward(env, backward)
        self.backward, self.has_log_flow = backward, bool(log_flow)
        sizes = torch.tensor(env.feature_sizes)
        rows = torch.cat([sizes * sizes, 2 * sizes - 1, sizes, sizes])
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("offset", rows.cumsum(0) - rows, persistent=False)
        table = torch.empty(int(rows.sum()), width)
        bound = len(rows) ** -0.5
        self.table = nn.Parameter(table.normal_(0, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))
        self.hidden: Any = nn.ModuleList(linear(width, width, generator) for _ in range(depth - 1))
        undo = env.num_backward_actions if backward == "learned" else 0
        self.head = Heads(width, env.num_actions, undo, log_flow, generator)

    def trunk(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Tensor:
        """(N, width) activations of the last hidden layer.

        Raises:
            ConfigError: If no outcome is asked for.
        """
        if condition is None:
            raise ConfigError("OutcomePolicy: no outcome was asked for: it needs a condition.")
        here, there = env.encode(states), condition.long()
        pair, apart = here * self.sizes + there, there - here + self.sizes - 1
        rows = torch.cat([pair, apart, here, there], 1) + self.offset
        x = (F.embedding_bag(rows, self.table, mode="sum") + self.bias).relu_()
        for layer in self.hidden:
            x = F.linear(x, layer.weight, layer.bias).relu_()
        return x

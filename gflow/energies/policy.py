"""Samplers of random order: positions are uniform in both directions, values alone are learned."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.marginals.networks import SiteNetwork
from gflow.marginals.policy import MarginalPolicy
from gflow.policies.base import PolicyOutput
from gflow.trajectories import Trajectories


class ConditionalSites(SiteNetwork):
    """A perceptron of conditionals alone.

    Args:
        places: D.
        symbols: K.
        width: Units of each hidden layer.
        depth: Hidden layers.
    """

    @checked
    def __init__(self, places: Count, symbols: Count, width: Count = 256, depth: Count = 2) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        size = places * (symbols + 1)
        self.table = nn.Parameter(torch.empty(size, width).normal_(0, places**-0.5))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("offset", torch.arange(places) * (symbols + 1), persistent=False)
        self.hidden: Any = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.out = nn.Linear(width, places * symbols)

    @property
    def conditional_part(self) -> nn.Module:
        """All of it."""
        return self

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """Refused.

        Raises:
            IncompatibleError: There are conditionals alone.
        """
        raise IncompatibleError(
            "ConditionalSites has conditionals and no marginals. Give MarginalPolicy a network "
            "that has both, such as ResidualSites."
        )

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) logits of each place."""
        offset: Any = self.offset
        x = (F.embedding_bag(symbols + offset, self.table, mode="sum") + self.bias).relu()
        for layer in self.hidden:
            x = layer(x).relu()
        found: Tensor = self.out(x)
        return found.view(-1, self.places, self.symbols)


class RandomOrderPolicy(MarginalPolicy):
    r"""P_F(i, v | s) = p(x_i = v | s) / (D - |S|) and P_B = 1 / |S|, without marginals.

    Both orders being uniform, log D! cancels: the residual of trajectory balance is
    :math:`\log Z + \sum_d \log p(x_{\sigma(d)} \mid x_{\sigma(<d)}) - \log R(x)`, the squared error
    of an autoregressive model of any order.

    Args:
        env: An environment that fills places in any order.
        network: Its conditionals are learned; `ConditionalSites` has nothing else.

    Reference:
        Zhang et al., Generative Flow Networks for Discrete Probabilistic Modeling, 2022,
        https://arxiv.org/abs/2202.01361
    """

    has_log_flow = False

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Conditionals."""
        return PolicyOutput(self.forward_logits(env, states))

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Conditionals of the stored states that a move leaves."""
        symbols = self.sites.read(trajectories.states)
        left = torch.zeros(len(symbols), dtype=torch.bool, device=symbols.device)
        left[trajectories.state_index[:, :-1][trajectories.mask]] = True
        rows = left.nonzero().squeeze(1)
        ahead = self._ahead(symbols[rows], self.network.logits(symbols[rows]))
        return PolicyOutput(ahead.new_zeros(len(symbols), ahead.shape[1]).index_put((rows,), ahead))

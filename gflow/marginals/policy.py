"""Marginalization models: a sampler whose state flow is the marginal of what is known so far."""

import math
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.marginals.networks import SiteNetwork
from gflow.marginals.orders import random_orders
from gflow.marginals.sites import Sites
from gflow.policies.base import Policy, PolicyOutput
from gflow.trajectories import Trajectories


class MarginalPolicy(Policy):
    r"""Marginals p(x_S) and conditionals p(x_i | x_S) of places filled in any order: one sampler.

    .. math:: \log F(s) = \log p_\theta(x_S) - \log \binom{D}{|S|}, \qquad
              P_F(i, v \mid s) = \frac{p_\phi(x_i = v \mid x_S)}{D - |S|}, \qquad
              P_B(s \mid s') = \frac{1}{|S'|}

    With these the residual of detailed balance is the self-consistency of marginals,
    log p(s) + log p(v | s) - log p(s + v), and every objective with residuals trains them. At the
    solution p(nothing known) = Z and p(x) = R(x).

    Every state is a question: `marginal`, `conditional`, `sample` and `log_likelihood` answer.

    Args:
        env: An environment that fills places in any order (see `Sites`).
        network: Gives marginals and conditionals.

    Raises:
        IncompatibleError: If the environment is told conditions, or is not of this kind.
        ShapeError: If the network is for other sizes.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """

    backward = "uniform"
    has_log_flow = True
    has_marginals = True
    reads_segments = True

    def __init__(self, env: Environment[Any], network: SiteNetwork) -> None:
        super().__init__()
        self.sites = Sites(env)
        if env.condition_dim:
            raise IncompatibleError(
                f"MarginalPolicy is told no conditions, and {env.name} reads some. Use MLPPolicy."
            )
        if (network.places, network.symbols) != (self.sites.places, self.sites.symbols):
            raise ShapeError(
                f"MarginalPolicy: {env.name} has {self.sites.places} places of "
                f"{self.sites.symbols} symbols, and the network is for {network.places} of "
                f"{network.symbols}."
            )
        self.network = network
        asked: Any = env
        legal = asked.forward_mask(env.initial(1)).view(self.sites.places, self.sites.symbols)
        self.register_buffer("legal", legal, persistent=False)

    # ------------------------------------------------------------------ as a policy

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads."""
        symbols = self.sites.read(states)
        value, logits = self.network.both(symbols)
        return PolicyOutput(self._ahead(symbols, logits), log_flow=self._log_flow(symbols, value))

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, D K) log P_F, from conditionals alone."""
        symbols = self.sites.read(states)
        return self._ahead(symbols, self.network.logits(symbols))

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Marginals of all stored states, conditionals of those that a move leaves.

        Of B single transitions between unfinished states, that is 2 B and B.
        """
        symbols = self.sites.read(trajectories.states)
        left = torch.zeros(len(symbols), dtype=torch.bool, device=symbols.device)
        left[trajectories.state_index[:, :-1][trajectories.mask]] = True
        rows = left.nonzero().squeeze(1)
        value, said = self.network.both(symbols, rows)
        ahead = self._ahead(symbols[rows], said)
        logits = ahead.new_zeros(len(symbols), ahead.shape[1]).index_put((rows,), ahead)
        return PolicyOutput(logits, log_flow=self._log_flow(symbols, value))

    def _ahead(self, symbols: Tensor, logits: Tensor) -> Tensor:
        """(N, D K) log P_F; of known places, something finite."""
        if self.network.fitted:
            logits = logits.detach()
        unknown = (symbols == self.sites.symbols).sum(1).clamp(min=1)
        log_prob = self._normalised(logits).clamp(min=-1e30)
        return (log_prob - unknown.to(log_prob.dtype).log()[:, None, None]).flatten(1)

    def _log_flow(self, symbols: Tensor, value: Tensor) -> Tensor:
        """(N,) log F."""
        return value - log_choices(symbols, self.sites.symbols).to(value.dtype)

    def log_conditionals(self, symbols: Tensor) -> Tensor:
        """(N, D, K) log p_phi of each symbol at each place, over those that it may hold."""
        return self._normalised(self.network.logits(symbols))

    def _normalised(self, logits: Tensor) -> Tensor:
        legal: Any = self.legal
        return logits.masked_fill(~legal, -torch.inf).log_softmax(-1)

    def log_scale(self) -> Tensor:
        """() the log-marginal of nothing, which all others are meant beside."""
        legal: Any = self.legal
        nothing = torch.full((1, self.sites.places), self.sites.symbols, device=legal.device)
        return self.network.log_marginal(nothing).squeeze(0)

    # ------------------------------------------------------------------ questions

    @torch.no_grad()
    def marginal(self, query: Tensor) -> Tensor:
        """(N,) log-probability that the places known in N states hold what they hold there."""
        return self.network.log_marginal(self.sites.read(query)) - self.log_scale()

    @torch.no_grad()
    def conditional(self, query: Tensor, evidence: Tensor) -> Tensor:
        """(N,) log-probability of what N states hold, given what N others do.

        Raises:
            ConfigError: If a place holds one symbol in the query and another in the evidence.
        """
        asked, given = self.sites.read(query), self.sites.read(evidence)
        none = self.sites.symbols
        clash = (asked != given) & (asked != none) & (given != none)
        if bool(clash.any()):
            row = int(clash.any(1).nonzero()[0])
            raise ConfigError(
                f"MarginalPolicy.conditional: query and evidence {row} differ at place "
                f"{int(clash[row].nonzero()[0])}. Ask about places that the evidence leaves open."
            )
        both = torch.where(asked == none, given, asked)
        return self.network.log_marginal(both) - self.network.log_marginal(given)

    @torch.no_grad()
    def sample(
        self,
        evidence: Tensor,
        order: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """(B, D) finished states: the open places of B states, filled one by one.

        Args:
            evidence: B states, of which what is known stays.
            order: (D,) or (B, D) int64 order of the places, known ones being passed over; a fresh
                random one for each row by default.
            generator: Source of randomness.
        """
        symbols = self.sites.read(evidence)
        count, places = symbols.shape
        if order is None:
            order = random_orders(count, places, generator, symbols.device)
        unknown = symbols == self.sites.symbols
        order = order.expand(count, places)
        known_last = (~unknown.gather(1, order)).to(torch.int8).argsort(dim=1, stable=True)
        order, left = order.gather(1, known_last), unknown.sum(1)
        rows = torch.arange(count, device=symbols.device)
        for step in range(int(left.max()) if count else 0):
            place = order[:, step]
            said = self.log_conditionals(symbols)[rows, place]
            drawn = torch.multinomial(said.exp(), 1, generator=generator).squeeze(1)
            value = drawn.where(step < left, symbols[rows, place])
            symbols = symbols.index_put((rows, place), value)
        return self.sites.write(symbols)

    @torch.no_grad()
    def log_likelihood(
        self, states: Tensor, orders: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """(N,) log p of N finished states by their conditionals, the mean of p over M orders.

        Args:
            states: N finished states.
            orders: M random orders for each; D passes of the network for each.
            generator: Source of the orders.
        """
        symbols, places = self.sites.read(states), self.sites.places
        found = [
            self.along(symbols, random_orders(len(symbols), places, generator, symbols.device))
            for _ in range(orders)
        ]
        return torch.stack(found).logsumexp(0) - math.log(orders)

    def along(self, symbols: Tensor, order: Tensor) -> Tensor:
        """(N,) sum of log-conditionals of finished (N, D) symbols in (N, D) orders."""
        rows = torch.arange(len(symbols), device=symbols.device)
        known = torch.full_like(symbols, self.sites.symbols)
        total = torch.zeros(len(symbols), device=symbols.device)
        for place in order.unbind(1):
            value = symbols[rows, place]
            total = total + self.log_conditionals(known)[rows, place, value]
            known = known.index_put((rows, place), value)
        return total


def log_choices(symbols: Tensor, none: int) -> Tensor:
    """(N,) log of the number of ways to choose as many places as are known."""
    known = (symbols != none).sum(1).double()
    places = torch.full_like(known, symbols.shape[1])
    return (places + 1).lgamma() - (known + 1).lgamma() - (places - known + 1).lgamma()

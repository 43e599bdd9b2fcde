"""Conditionals fitted to data in all orders at once: the first stage of maximum likelihood."""

import math
from typing import Any, NoReturn

import torch
from torch import Tensor

from gflow.bounds import Count, NotNegative, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError, NonFiniteLossError
from gflow.learner import Learner
from gflow.marginals.data import data_symbols, draw_rows
from gflow.marginals.orders import random_orders
from gflow.marginals.policy import MarginalPolicy
from gflow.policies.base import Policy
from gflow.trajectories import Trajectories


class AnyOrderFit(Learner):
    r"""Fits the conditionals of a `MarginalPolicy` to data; objectives then leave them alone.

    .. math:: - E_{x, S} \Bigl[ \frac{1}{D - |S|} \sum_{i \notin S} \log p_\phi(x_i \mid x_S)
              \Bigr]

    with \|S\| uniform on 0 ... D - 1 and S uniform of its size. Times D it bounds the negative
    log-likelihood of every order, meaned over them. One pass learns at all unknown places.

    Steps end after `steps`: what trains marginals then has conditionals that stay as they are.

    Args:
        policy: Its `network.conditional_part` is what is fitted.
        objects: N finished states.
        steps: How many steps are taken in all.
        each: Steps before each step of the policy, while there are some left.
        batch_size: Objects of a step.
        lr: Learning rate of Adam at first; it falls to zero along half a cosine.
        grad_clip: Largest norm of the gradient; 0 does not clip.

    Raises:
        ConfigError: If there are no objects, or some are not finished.

    Reference:
        Hoogeboom et al., Autoregressive diffusion models, 2022, https://arxiv.org/abs/2110.02037;
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """

    @checked
    def __init__(
        self,
        policy: MarginalPolicy,
        objects: Tensor,
        steps: Count = 2000,
        each: Count = 10,
        batch_size: Count = 128,
        lr: Rate = 1e-3,
        grad_clip: NotNegative = 1.0,
    ) -> None:
        if not isinstance(policy, MarginalPolicy):
            raise IncompatibleError(
                f"AnyOrderFit fits conditionals, and {type(policy).__name__} has none. Train a "
                f"MarginalPolicy."
            )
        self.symbols = data_symbols("AnyOrderFit", policy.sites, objects)
        self.steps, self.each, self.batch_size = steps, each, batch_size
        self.lr, self.grad_clip, self.taken = lr, grad_clip, 0
        self.policy, self.module = policy, policy.network.conditional_part
        policy.network.fitted = True
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=lr)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The steps that are due, and the mean bound of them in bits for each place."""
        due = min(self.each, self.steps - self.taken)
        found = [self._step(generator, batch.length.device) for _ in range(due)]
        numbers = {"fit_steps": torch.tensor(float(self.taken))}
        if found:
            numbers["fit_bits"] = torch.stack(found).mean() / math.log(2)
        return numbers

    def loss(self, symbols: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B,) nats for each place of (B, D) finished symbols, at random parts of them."""
        count, places = symbols.shape
        none, device = self.policy.sites.symbols, symbols.device
        rank = random_orders(count, places, generator, device).argsort(1)
        size = torch.randint(places, (count, 1), generator=generator, device=device)
        unknown = rank >= size
        said = self.policy.log_conditionals(symbols.masked_fill(unknown, none))
        value = said.gather(2, symbols[:, :, None]).squeeze(2)
        return -value.where(unknown, 0.0).sum(1) / unknown.sum(1)

    def _step(self, generator: torch.Generator, device: torch.device) -> Tensor:
        symbols = draw_rows(self.symbols, self.batch_size, generator, device)
        loss = self.loss(symbols, generator).mean()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * (1 + math.cos(math.pi * self.taken / self.steps)) / 2
        self.descend(loss, self._refuse, "the fit of conditionals")
        self.taken += 1
        return loss.detach()

    def _refuse(self) -> NoReturn:
        raise NonFiniteLossError(
            f"AnyOrderFit: after {self.taken} steps the loss of conditionals is not finite. Some "
            f"object holds a symbol that its place may not hold, or the learning rate is too high."
        )

    def state_dict(self) -> dict[str, Any]:
        """The conditionals, their optimiser, and the number of steps."""
        return {**super().state_dict(), "taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.taken = state["taken"]

"""Exact answers where all latents can be listed: likelihoods, posteriors, and EM itself."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.em.reward import JointReward
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph, enumerate_states
from gflow.policies.base import Policy
from gflow.state import device_of, take, to_device

CHUNK = 2**18
"""Pairs of a row and a latent that the model sees at a time."""


class ListedLatents:
    """All latents of an environment, and what follows for a model of the rows of a reward.

    Shapes: N observed rows, Z latents.

    Args:
        env: The environment of latents; its own reward is not read.
        reward: Gives the model and the rows.
        limit: Largest number of states listed.

    Attributes:
        graph: All states.
        objects: Z finished latents, in the order of `graph.objects`.

    Raises:
        IncompatibleError: If the states cannot be listed.
    """

    @checked
    def __init__(self, env: Environment[Any], reward: JointReward, limit: Count = 100_000) -> None:
        self.reward = reward
        self.graph: StateGraph[Any] = enumerate_states(env, limit)
        self.objects = take(self.graph.states, self.graph.objects)

    def __len__(self) -> int:
        """Z."""
        return len(self.graph.objects)

    def log_joint(self, rows: Tensor | None = None) -> Tensor:
        """(R, Z) log p(x, z) with gradients, the model as it is.

        Args:
            rows: (R,) int64 numbers of observed rows; all N by default.
        """
        data, size, parts = self.reward.data, len(self), []
        rows = torch.arange(len(data)) if rows is None else rows
        for some in rows.split(max(1, CHUNK // size)):
            x, z = self.pairs(some)
            parts.append(self.reward.model.log_prob(x, z).view(len(some), size).cpu())
        return torch.cat(parts)

    def pairs(self, rows: Tensor) -> tuple[Any, Any]:
        """Each of (R,) rows with each of Z latents, R Z pairs, where the model is."""
        device = next((p.device for p in self.reward.model.parameters()), rows.device)
        size = len(self)
        x = self.reward.data.at(rows.repeat_interleave(size).to(device))
        z = take(self.objects, torch.arange(size).repeat(len(rows)))
        return x, to_device(z, device)

    @torch.no_grad()
    def log_likelihood(self, rows: Tensor | None = None) -> Tensor:
        """(R,) log p(x)."""
        return self.log_joint(rows).logsumexp(1)

    @torch.no_grad()
    def log_posterior(self, rows: Tensor | None = None) -> Tensor:
        """(R, Z) log p(z | x)."""
        return self.log_joint(rows).log_softmax(1)

    @torch.no_grad()
    def log_learned(self, policy: Policy, rows: Tensor | None = None) -> Tensor:
        """(R, Z) float64 log q(z | x): the exact distribution of latents under a policy."""
        rows = torch.arange(len(self.reward.data)) if rows is None else rows
        given = rows.to(torch.get_default_dtype())[:, None]
        return torch.stack([self.graph.terminal_distribution(policy, c[None]) for c in given])


def elbo(log_joint: Tensor, log_q: Tensor) -> Tensor:
    """(R,) evidence lower bounds E_q[log p(x, z) - log q(z | x)] of (R, Z) tables.

    log p(x) less it is KL(q || p(z | x)).
    """
    q = log_q.exp()
    return (q * (log_joint - log_q)).where(q > 0, 0.0).sum(1)


class ExactEM:
    r"""EM with the exact posterior of every row.

    The M-step is what the model's `maximise(x, z, weight)` does in closed form, where it has one;
    else steps of an optimiser up :math:`\sum_n \sum_z p(z \mid x_n) \log p_\theta(x_n, z)`. The
    likelihood never falls in the first case, nor in the second while steps are small.

    Args:
        latents: All latents, with the model and the rows.
        optimizer: Of the model's parameters; None for the closed form.
        steps: Steps of the optimiser in each M-step.

    Raises:
        IncompatibleError: If there is neither an optimiser nor a closed form.
    """

    @checked
    def __init__(
        self,
        latents: ListedLatents,
        optimizer: torch.optim.Optimizer | None = None,
        steps: Count = 1,
    ) -> None:
        self.latents, self.optimizer, self.steps = latents, optimizer, steps
        self.model: Any = latents.reward.model
        if optimizer is None and not hasattr(self.model, "maximise"):
            raise IncompatibleError(
                f"ExactEM: {type(self.model).__name__} has no M-step in closed form. Give an "
                f"optimiser of its parameters, or define `maximise(x, z, weight)`."
            )

    def posterior(self, joint: Tensor) -> Tensor:
        """(N, Z) log q: the E-step, from (N, Z) log p(x, z)."""
        return joint.log_softmax(1)

    def step(self) -> float:
        """An E-step and an M-step; mean log p(x) of the rows before them."""
        with torch.no_grad():
            joint = self.latents.log_joint()
            log_q = self.posterior(joint)
        self.fit(log_q)
        self.latents.reward.version += 1
        return float(joint.logsumexp(1).mean())

    def fit(self, log_q: Tensor) -> None:
        """The M-step for (N, Z) log-probabilities of latents."""
        latents, weight = self.latents, log_q.exp()
        if self.optimizer is not None:
            for _ in range(self.steps):
                self.optimizer.zero_grad(set_to_none=True)
                gain = (weight * latents.log_joint()).sum(1).mean()
                (-gain).backward()
                self.optimizer.step()
            return
        x, z = latents.pairs(torch.arange(len(weight)))
        with torch.no_grad():
            self.model.maximise(x, z, weight.flatten().to(device_of(z)))

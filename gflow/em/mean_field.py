"""Mean-field variational EM: latents of several parts, which q takes to be independent."""

import math

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.em.exact import ExactEM, ListedLatents
from gflow.errors import IncompatibleError


class MeanFieldEM(ExactEM):
    r"""EM with :math:`q(z \mid x) = \prod_k q_k(z_k \mid x)` in place of the posterior.

    Each factor is set to its optimum with the others as they are,
    :math:`\log q_k = E_{q_{-k}}[\log p(x, z)] + c`, in turns. What parts of a latent have to do
    with one another is lost, so the bound on the likelihood need not touch it.

    Args:
        latents: All latents: rows of K whole numbers in every combination.
        optimizer: As of `ExactEM`.
        steps: As of `ExactEM`.
        sweeps: Turns of the factors in each E-step, from the last to the first. It goes on from the
            factors of the E-step before; at first they are uniform.

    Raises:
        IncompatibleError: If the latents are no such rows.
    """

    @checked
    def __init__(
        self,
        latents: ListedLatents,
        optimizer: torch.optim.Optimizer | None = None,
        steps: Count = 1,
        sweeps: Count = 1,
    ) -> None:
        super().__init__(latents, optimizer, steps)
        objects = latents.objects
        rows = objects if isinstance(objects, Tensor) else None
        if rows is None or rows.dim() != 2 or rows.dtype.is_floating_point:
            raise IncompatibleError(
                "MeanFieldEM: latents must be rows of K whole numbers, (B, K), whose factors are "
                "independent in q."
            )
        self.sizes = [int(n) + 1 for n in rows.max(0).values]
        radix = [math.prod(self.sizes[k + 1 :]) for k in range(len(self.sizes))]
        place = (rows * torch.tensor(radix)).sum(1)
        self.order = place.argsort()
        if not torch.equal(place[self.order], torch.arange(math.prod(self.sizes))):
            raise IncompatibleError(
                f"MeanFieldEM: latents must be all {math.prod(self.sizes)} combinations of "
                f"{self.sizes} values, and there are {len(rows)} of them."
            )
        self.sweeps = sweeps
        count = len(latents.reward.data)
        self.factors = [torch.full((count, n), 1 / n) for n in self.sizes]

    def posterior(self, joint: Tensor) -> Tensor:
        """(N, Z) log q after `sweeps` turns of the factors."""
        joint = joint[:, self.order].view(-1, *self.sizes)
        for _ in range(self.sweeps):
            for k in reversed(range(len(self.sizes))):
                self.factors[k] = self._mean_without(joint, k).softmax(1)
        log_q = torch.zeros_like(joint)
        for k, factor in enumerate(self.factors):
            log_q = log_q + _along(factor.log(), k, len(self.sizes))
        flat = torch.empty_like(log_q.flatten(1))
        flat[:, self.order] = log_q.flatten(1)
        return flat

    def _mean_without(self, joint: Tensor, k: int) -> Tensor:
        """(N, size of k) mean of log p over all factors but one."""
        total = joint
        for other, factor in enumerate(self.factors):
            if other != k:
                mean = (total * _along(factor, other, len(self.sizes))).sum(other + 1, keepdim=True)
                total = mean
        return total.flatten(1)


def _along(factor: Tensor, k: int, parts: int) -> Tensor:
    """(N, 1, ..., size, ..., 1) with the values of a factor on its axis."""
    shape = [len(factor)] + [factor.shape[1] if part == k else 1 for part in range(parts)]
    return factor.view(shape)

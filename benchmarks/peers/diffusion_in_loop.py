"""Trajectory balance of a diffusion sampler as published code does it: everything inside the loop.

The same mathematics and the same parameters as the library's `DiffusionPolicy`, in plain tensors:
one network call with gradient per step, times embedded for every row at every step, log-densities
added up on the way, one distribution object per component of the mixture. It is written from the
formulas, not from anybody's code.
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn import functional as F


class InLoop:
    """A trainer of its own.

    Args:
        policy: A `gflow.envs.diffusion.policy.DiffusionPolicy`, whose layers are used as they are.
        steps: T.
        sigma2: Diffusion rate.
        batch: Trajectories per iteration.
    """

    def __init__(self, policy: nn.Module, steps: int, sigma2: float, batch: int) -> None:
        self.policy, self.steps, self.sigma2, self.batch = policy, steps, sigma2, batch
        self.log_z = nn.Parameter(torch.zeros(()))
        groups = [
            {"params": list(policy.parameters()), "lr": 1e-3},
            {"params": [self.log_z], "lr": 0.1},
        ]
        self.optimizer = torch.optim.Adam(groups)
        places = [-10.0, -5.0, 0.0, 5.0, 10.0]
        scale = torch.full((2,), math.sqrt(0.3))
        self.components = [
            Independent(Normal(torch.tensor([a, b]), scale), 1) for a in places for b in places
        ]

    def log_reward(self, x: Tensor) -> Tensor:
        """(B,) log-density of the 25 Gaussians, one after the other."""
        each = torch.stack([component.log_prob(x) for component in self.components])
        return each.logsumexp(0) - math.log(len(self.components))

    def drift(self, x: Tensor, time: float) -> Tensor:
        """(B, d) the network, with the time embedded for every row."""
        p = self.policy
        embedded = p.time(x.new_full((len(x),), time))
        h = F.gelu(p.point(x) + embedded)
        for layer in p.drift.layers:
            h = F.gelu(layer(h))
        return p.drift.last(h).clamp(-1e4, 1e4)

    def log_weight(self, path: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """(B,) log-weights of new trajectories, or of a given path of T + 1 points."""
        dt = 1 / self.steps
        variance = self.sigma2 * dt
        x = torch.zeros(self.batch, 2) if path is None else path[0]
        points, log_pf, log_pb = [x], torch.zeros(len(x)), torch.zeros(len(x))
        for i in range(self.steps):
            mean = x + self.drift(x, i * dt) * dt
            if path is None:
                new = (mean + math.sqrt(variance) * torch.randn_like(x)).detach()
            else:
                new = path[i + 1]
            log_pf = log_pf + _gaussian(new, mean, variance)
            if i:
                share = i / (i + 1)
                log_pb = log_pb + _gaussian(x, share * new, variance * share)
            x = new
            points.append(x)
        return self.log_reward(x) + log_pb - log_pf, points

    def train_step(self) -> float:
        """One iteration of trajectory balance."""
        weight, _ = self.log_weight()
        loss = 0.5 * (self.log_z - weight).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def _gaussian(x: Tensor, mean: Tensor, variance: float) -> Tensor:
    square = (x - mean).square() / variance
    return -0.5 * (square + math.log(2 * math.pi * variance)).sum(-1)

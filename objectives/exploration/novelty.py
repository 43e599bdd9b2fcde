"""Novelty by random network distillation: how far a fitted network is from a random one."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Positive, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.trajectories import Trajectories


class Novelty(nn.Module):
    r"""The bonus of a state, :math:`\eta \lVert f(s) - g(s) \rVert`, with g random and left alone.

    f learns to say what g says of the states that are visited; elsewhere the two differ.

    Args:
        encoder: Encodes states for f; g has a copy with its weights shuffled.
        width: Units of the hidden layer behind.
        size: Units that are compared.
        scale: eta.

    Reference:
        Burda et al., Exploration by Random Network Distillation, 2018,
        https://arxiv.org/abs/1810.12894
    """

    @checked
    def __init__(
        self,
        encoder: StateEncoder,
        width: Count = 256,
        size: Count = 128,
        scale: Positive = 0.005,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.encoder, self.still = encoder, _shuffled(encoder)
        read = encoder.out_features
        self.head, self.still_head = _layers(read, width, size), _layers(read, width, size)
        for part in (self.still, self.still_head):
            part.requires_grad_(False)

    def gap(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Tensor:
        """(N, size) f - g, with gradients into f."""
        fitted: Tensor = self.head(F.leaky_relu(self.encoder(env, states, condition)))
        with torch.no_grad():
            random: Tensor = self.still_head(F.leaky_relu(self.still(env, states, condition)))
        return fitted - random

    @torch.no_grad()
    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N,) bonuses of N states, not negative."""
        bonus: Tensor = self.scale * self.gap(env, states, condition).norm(dim=-1)
        return bonus


class RandomDistillation(Learner):
    """Fits the novelty of the states that are visited: what was seen often is no longer new.

    Args:
        novelty: What to fit.
        lr: Learning rate.
    """

    @checked
    def __init__(self, novelty: Novelty, lr: Rate = 1e-3) -> None:
        self.module = self.novelty = novelty
        fitted = [p for p in novelty.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(fitted, lr=lr)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One step on the stored states of the batch; its loss, and their mean bonus before."""
        gap = self.novelty.gap(env, batch.states, batch.condition_of_states)
        loss = gap.square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        bonus = self.novelty.scale * gap.detach().norm(dim=-1)
        return {"novelty_loss": loss.detach(), "novelty": bonus.mean()}


def _layers(read: int, width: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(read, width), nn.LeakyReLU(), nn.Linear(width, size))


@torch.no_grad()
def _shuffled(module: StateEncoder) -> StateEncoder:
    """The same module with the entries of each weight in another order."""
    made = copy.deepcopy(module)
    for parameter in made.parameters():
        order = torch.randperm(parameter.numel())
        parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return made

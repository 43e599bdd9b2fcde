"""Players behind one protocol: what a run has learned, greedy or drawn, and the uniform one."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from gflow.arena.positions import Positions
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError
from gflow.masking import sample_masked
from gflow.policies.base import Policy
from gflow.state import batch_size, take, to_device

PART = 4096
"""Positions that a network is asked about at a time."""


class Player(ABC):
    """Moves in many games at once.

    Attributes:
        name: In tables; unique among those who play together.
    """

    name: str

    @abstractmethod
    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 a legal move in each of B positions, none of them finished.

        Args:
            env: The game.
            positions: Where this player is to move.
            generator: Source of all randomness.
        """

    def close(self) -> None:  # noqa: B027
        """Release what the player holds; nothing by default."""


class UniformPlayer(Player):
    """Draws among the legal moves, evenly."""

    def __init__(self, name: str = "uniform") -> None:
        self.name = name

    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 moves."""
        return pick(env.forward_mask(positions.states), generator)


class PolicyPlayer(Player):
    """Moves as a policy says.

    Args:
        policy: It speaks for either side, whoever is to move.
        name: In tables.
        temperature: Logits are divided by it; 0 takes the likeliest move, ties at random.
    """

    def __init__(self, policy: Policy, name: str = "policy", temperature: float = 1.0) -> None:
        if not 0 <= temperature < torch.inf:
            raise ConfigError(
                f"PolicyPlayer: temperature must be 0 (the likeliest move) or more, got "
                f"{temperature}."
            )
        self.policy, self.name, self.temperature = policy, name, temperature

    @torch.no_grad()
    def log_prob(self, env: DiscreteEnvironment[Any], states: Any) -> Tensor:
        """(B, A) log-probabilities of the moves, -inf for illegal ones; equivalent ones merged."""
        home = next((p.device for p in self.policy.parameters()), torch.device("cpu"))
        found = []
        for rows in torch.arange(batch_size(states)).split(PART):
            part = take(states, rows)
            logits = self.policy.forward_logits(env, to_device(part, home)).cpu()
            law = env.forward_law(part, logits / (self.temperature or 1.0))
            found.append(law.table().masked_fill(~law.distinct, -torch.inf))
        return torch.cat(found)

    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 moves."""
        table = self.log_prob(env, positions.states)
        if self.temperature == 0:
            return pick(table == table.amax(-1, keepdim=True), generator)
        return sample_masked(table, table > -torch.inf, generator)


def pick(allowed: Tensor, generator: torch.Generator) -> Tensor:
    """(B,) int64 one of the allowed moves (B, A) bool in each row, evenly."""
    weight = torch.rand(allowed.shape, generator=generator)
    return weight.masked_fill(~allowed, -1.0).argmax(-1)

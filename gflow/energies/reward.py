"""The reward of a learned energy, which changes while a sampler follows it."""

from typing import Any

import torch
from torch import Tensor

from gflow.energies.networks import EnergyNetwork
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


class EnergyReward(LogReward[Tensor]):
    """log R(x) = log p~(x) of an `EnergyNetwork`, without gradient.

    Whoever changes the network raises `version`, as `ContrastiveStep` does, so that memories and
    caches score anew. The network is asked where its parameters are.

    Args:
        network: Gives log p~.

    Raises:
        ConfigError: If it is none.
    """

    has_partial = True

    def __init__(self, network: EnergyNetwork) -> None:
        if not isinstance(network, EnergyNetwork):
            raise ConfigError(
                f"EnergyReward: the network must be an `EnergyNetwork`, got "
                f"{type(network).__name__}. Derive it from that class."
            )
        self.network = network

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log p~ of (B, N) values, 0 for none yet."""
        first = next(self.network.parameters(), states)
        with torch.no_grad():
            return self.network.log_density(states.to(first.device)).to(states.device)

    def __repr__(self) -> str:
        return f"EnergyReward({type(self.network).__name__}, {self.network.sites} sites)"


def energy_of(reward: LogReward[Any]) -> EnergyReward | None:
    """The `EnergyReward` that a reward is, or is made of; None if there is none."""
    waiting = [reward]
    while waiting:
        found = waiting.pop()
        if isinstance(found, EnergyReward):
            return found
        waiting += found.inner_rewards()
    return None

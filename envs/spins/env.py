"""Discrete energy models: sites get their values one by one, in any order."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.spins.rewards import SiteReward
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.state import as_tuples

LARGEST_KEY = 2**62


class EnergyModel(DiscreteEnvironment[Tensor]):
    r"""Assignments of one of K values to each of N sites.

    **What is built.** A value for each site. **State.** (B, N) int64: 1 ... K, or 0 for none yet.

    **Forward actions.** i K + v gives the free site i the value v + 1. With all sites assigned the
    object is finished.

    **Backward actions.** i frees site i. All N! orders are equally likely under the uniform
    backward policy, which is thus the maximum-entropy one.

    **Reward.** Any `LogReward` of values, log R = -energy: `IsingReward`, `PairwiseModel`, or a
    network.

    **Size.** K^N objects, (K + 1)^N states.

    Args:
        reward: The energy model.
        sites: N; a `SiteReward` brings its own.
        values: K; likewise.

    Raises:
        ConfigError: If the sizes are missing or are not those of the reward.

    Example:
        >>> from gflow.envs.spins.rewards import IsingReward
        >>> env = EnergyModel(IsingReward(1, 4))
        >>> states = env.step(env.initial(1), torch.tensor([3]))
        >>> env.show(states), env.forward_mask(states).int().tolist()
        (['.2..'], [[1, 1, 0, 0, 1, 1, 1, 1]])

    Reference:
        Zhang et al., Generative Flow Networks for Discrete Probabilistic Modeling, 2022,
        https://arxiv.org/abs/2202.01361
    """

    def __init__(
        self, reward: LogReward[Tensor], sites: int | None = None, values: int | None = None
    ) -> None:
        if isinstance(reward, SiteReward):
            sites = reward.sites if sites is None else sites
            values = reward.values if values is None else values
            if (sites, values) != (reward.sites, reward.values):
                raise ConfigError(
                    f"EnergyModel: the reward {reward!r} is for {reward.sites} sites and "
                    f"{reward.values} values, got sites={sites} and values={values}."
                )
        if sites is None or values is None or sites < 1 or values < 1:
            raise ConfigError(
                f"EnergyModel: `sites` and `values` must be positive, got {sites} and {values}; "
                f"only a SiteReward brings its own."
            )
        self.reward, self.sites, self.values = reward, sites, values
        self.num_actions, self.num_backward_actions = sites * values, sites
        self.horizon = sites
        self.feature_sizes = (values + 1,) * sites
        if (values + 1) ** sites <= LARGEST_KEY:
            self.num_keys = (values + 1) ** sites
        else:
            self.has_keys = False  # type: ignore[misc]

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, N) zeros."""
        return torch.zeros(batch_size, self.sites, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, N K) every value at every free site."""
        free = (states == 0)[:, :, None]
        return free.expand(-1, -1, self.values).reshape(-1, self.num_actions)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, N) sites with a value."""
        return states > 0

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) all sites have values."""
        return (states > 0).all(-1)

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) the site."""
        return actions // self.values

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) the site with its present value."""
        value = states.gather(1, backward_actions[:, None]).squeeze(1)
        return backward_actions * self.values + (value - 1).clamp(min=0)

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) every value is that of the object."""
        return ((states == objects) | (states == 0)).all(-1)

    def key(self, states: Tensor) -> Tensor:
        """(B,) the values as digits to base K + 1."""
        return (states * self._radix(states.device)).sum(-1)

    def all_states(self, device: torch.device | str = "cpu") -> Tensor | None:
        """((K + 1)^N, N) all partial assignments."""
        if self.num_keys is None:
            return None
        keys = torch.arange(self.num_keys, device=device)
        return keys[:, None] // self._radix(keys.device) % (self.values + 1)

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, N) zeros: equally many trajectories reach every parent."""
        return torch.zeros(states.shape, device=states.device)

    def log_partition(self) -> float | None:
        """Log Z, if the reward knows it."""
        return self.reward.log_partition() if isinstance(self.reward, SiteReward) else None

    def show(self, states: Tensor) -> list[str]:
        """One digit per site, a dot where there is no value; numbers if K exceeds 9."""
        join = "" if self.values < 10 else " "
        return [join.join(str(v) if v else "." for v in row) for row in states.tolist()]

    def written(self, states: Tensor) -> list[Any]:
        """Values from 1, one for each site, as tuples of integers; of spins -1 and 1."""
        return as_tuples(2 * states - 3 if self.values == 2 else states)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        site = (actions // self.values)[:, None]
        return states.scatter(1, site, (actions % self.values + 1)[:, None])

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], 0)

    @cache
    def _radix(self, device: torch.device) -> Tensor:
        return (self.values + 1) ** torch.arange(self.sites, device=device)

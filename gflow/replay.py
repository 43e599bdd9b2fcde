"""Replay: trajectories kept as their actions, rebuilt and re-evaluated when drawn again."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.env import Environment
from gflow.errors import ConfigError
from gflow.rollout import Sampler
from gflow.trajectories import Trajectories

Keep = Literal["recent", "best"]


class ReplayBuffer:
    """A bounded memory of whole trajectories.

    Only actions, lengths, rewards, scores and conditions are kept: states follow from the actions,
    and log-probabilities are never remembered.

    Args:
        env: The environment.
        capacity: Number of trajectories kept.
        keep: "recent" drops the oldest when full; "best" drops the lowest log-reward, and draws in
            proportion to the reward.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170
    """

    def __init__(self, env: Environment[Any], capacity: int, keep: Keep = "recent") -> None:
        if capacity < 1:
            raise ConfigError(f"ReplayBuffer: capacity must be positive, got {capacity}.")
        if keep not in ("recent", "best"):
            raise ConfigError(f"ReplayBuffer: keep must be 'recent' or 'best', got {keep!r}.")
        self.env, self.capacity, self.keep = env, capacity, keep
        self.actions = torch.zeros(0, env.horizon, dtype=torch.int64)
        self.length = torch.zeros(0, dtype=torch.int64)
        self.log_reward = torch.zeros(0)
        self.scores: Tensor | None = None
        self.condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.length)

    def add(self, batch: Trajectories[Any]) -> None:
        """Remember the trajectories of a batch, dropping others if the memory is full."""
        batch = batch.to("cpu")
        pad = self.env.horizon - batch.actions.shape[1]
        actions = torch.nn.functional.pad(batch.actions, (0, max(pad, 0)))[:, : self.env.horizon]
        self.actions = torch.cat([self.actions, actions])
        self.length = torch.cat([self.length, batch.length])
        self.log_reward = torch.cat([self.log_reward.to(batch.log_reward.dtype), batch.log_reward])
        if batch.scores is not None:
            known = () if self.scores is None else (self.scores,)
            self.scores = torch.cat([*known, batch.scores])
        if batch.condition is not None:
            old = () if self.condition is None else (self.condition,)
            self.condition = torch.cat([*old, batch.condition])
        if len(self) > self.capacity:
            order = torch.arange(len(self))
            if self.keep == "best":
                order = torch.argsort(self.log_reward, stable=True)
            self._keep(order[-self.capacity :])

    def sample(
        self,
        sampler: Sampler,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Trajectories[Any]:
        """`count` trajectories drawn with replacement and rebuilt on a device.

        Raises:
            ConfigError: If the memory is empty.
        """
        if not len(self):
            raise ConfigError("ReplayBuffer: nothing was added yet, so nothing can be drawn.")
        drawn_on = generator.device if generator is not None else torch.device("cpu")
        if self.keep == "best":
            weight = (self.log_reward - self.log_reward.max()).exp().to(drawn_on)
            rows = torch.multinomial(weight, count, replacement=True, generator=generator)
        else:
            rows = torch.randint(len(self), (count,), generator=generator, device=drawn_on)
        rows = rows.cpu()
        length = self.length[rows]
        return sampler.along(
            self.actions[rows, : int(length.max())].to(device),
            length.to(device),
            log_reward=self.log_reward[rows].to(device),
            scores=None if self.scores is None else self.scores[rows].to(device),
            condition=None if self.condition is None else self.condition[rows].to(device),
        )

    def _keep(self, rows: Tensor) -> None:
        self.actions, self.length = self.actions[rows], self.length[rows]
        self.log_reward = self.log_reward[rows]
        if self.scores is not None:
            self.scores = self.scores[rows]
        if self.condition is not None:
            self.condition = self.condition[rows]

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "actions": self.actions,
            "length": self.length,
            "log_reward": self.log_reward,
            "scores": self.scores,
            "condition": self.condition,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.actions, self.length = state["actions"], state["length"]
        self.log_reward, self.condition = state["log_reward"], state["condition"]
        self.scores = state["scores"]

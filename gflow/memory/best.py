"""The best distinct objects seen so far."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.evaluation.anchored import plain_log_reward
from gflow.rewards.scalarizations import LogSum
from gflow.shown import in_a_line
from gflow.state import batch_size, cat, take, tensors, to_device, tree_map
from gflow.trajectories import Trajectories


def under_its_condition(log_reward: Tensor, condition: Tensor) -> Tensor:
    """(B,) log-rewards as they are, each for what was asked."""
    return log_reward


class BestObjects:
    """Remembers the `capacity` distinct objects of highest log-reward.

    A trainer callback. Rewards are the objects' own, not the corrected training targets nor their
    shares among states that stand for one object, which is kept once (`Environment.object_key`).
    Where they depend on a condition and there are several scores, the logarithm of the mean score
    counts. When the reward has changed (`LogReward.version`), all are scored anew.

    Args:
        env: An environment with keys.
        capacity: Objects kept.
        without: (B,) log-rewards and their (B, C) conditions to those by which objects of different
            conditions are compared; by default as they are.

    Attributes:
        device: Where the reward computes when it scores anew: where batches came from.
    """

    @checked
    def __init__(
        self,
        env: Environment[Any],
        capacity: Count = 100,
        without: Callable[[Tensor, Tensor], Tensor] = under_its_condition,
    ) -> None:
        self.env, self.capacity, self.without = env, capacity, without
        self._states: Any = take(env.initial(1), torch.zeros(0, dtype=torch.int64))
        self._log_reward = torch.zeros(0)
        self._condition: Tensor | None = None
        self.keys = torch.zeros(0, dtype=torch.int64)
        self._scored_by = env.reward.version
        self.device: torch.device | str = "cpu"

    def __repr__(self) -> str:
        return in_a_line(self, f"{len(self)} held")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def states(self) -> Any:
        """N objects, best first, under the reward as it is."""
        self.refresh()
        return self._states

    @property
    def log_reward(self) -> Tensor:
        """(N,) their log-rewards."""
        self.refresh()
        return self._log_reward

    def __call__(self, trainer: Any, batch: Trajectories[Any], record: dict[str, float]) -> None:
        """See the objects of a training batch."""
        if not len(batch):
            return
        self.device = batch.length.device
        objects, condition = to_device(batch.final_states, "cpu"), batch.condition
        if condition is not None and batch.scores is not None:
            self.add(objects, LogSum()(batch.scores.cpu()))
            return
        value = plain_log_reward(self.env, batch).cpu()
        if condition is not None:
            condition = condition.cpu()
            value = self.without(value, condition)
        self.add(objects, value, condition)

    def add(self, objects: Any, log_reward: Tensor, condition: Tensor | None = None) -> None:
        """See finished objects with their log-rewards, each the whole reward of its object.

        Args:
            objects: B finished objects.
            log_reward: (B,).
            condition: (B, C) what the rewards depend on, or None.
        """
        self.refresh()
        if len(self) == self.capacity:
            good = (log_reward > self._log_reward[-1]).nonzero().squeeze(1)
            if not len(good):
                return
            objects, log_reward = take(objects, good), log_reward[good]
            condition = None if condition is None else condition[good]
        keys = torch.cat([self.keys, self.env.object_key(objects)])
        values = torch.cat([self._log_reward.to(log_reward.dtype), log_reward])
        if condition is not None and self._condition is not None:
            condition = torch.cat([self._condition, condition])
        self._condition = condition
        self._rank(cat([self._states, objects]) if len(self) else objects, keys, values)

    def absorb(self, state: dict[str, Any]) -> None:
        """See what another one has seen, given what its `state_dict` gave."""
        if len(state["keys"]):
            parts = iter(state["states"])
            objects = tree_map(lambda _: next(parts), self.env.initial(1))
            self.add(objects, state["log_reward"], state["condition"])

    def refresh(self) -> None:
        """Score all anew, in one batch, if the reward has changed since."""
        version = self.env.reward.version
        if self._scored_by == version:
            return
        self._scored_by = version
        if not len(self):
            return
        objects, condition = to_device(self._states, self.device), self._condition
        if condition is None and self.env.condition_dim and self.env.num_scores:
            value = LogSum()(self.env.scores(objects))
        else:
            given = None if condition is None else condition.to(self.device)
            value = self.env.log_reward(objects, given)
            share = self.env.log_multiplicity(objects)
            value = value if share is None else value + share.to(value.dtype)
            value = value if given is None else self.without(value, given)
        self._rank(self._states, self.keys, value.cpu())

    def _rank(self, states: Any, keys: Tensor, values: Tensor) -> None:
        """Keep the best objects, one per key, the oldest."""
        _, group = torch.unique(keys, return_inverse=True)
        order = torch.arange(len(keys))
        first = torch.full_like(order, len(keys)).scatter_reduce_(0, group, order, "amin")
        rows = first[: int(group.max()) + 1].sort().values
        rows = rows[torch.argsort(values[rows], descending=True, stable=True)][: self.capacity]
        self._states, self.keys, self._log_reward = take(states, rows), keys[rows], values[rows]
        if self._condition is not None:
            self._condition = self._condition[rows]

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "states": tensors(self._states),
            "log_reward": self._log_reward,
            "condition": self._condition,
            "keys": self.keys,
            "version": self._scored_by,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        parts = iter(state["states"])
        self._states = tree_map(lambda _: next(parts), self.env.initial(1))
        assert batch_size(self._states) == len(state["keys"])
        self._log_reward, self.keys = state["log_reward"], state["keys"]
        self._condition, self._scored_by = state["condition"], state["version"]

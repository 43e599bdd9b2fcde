"""The best distinct objects seen so far."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.evaluation.anchored import plain_log_reward
from gflow.rewards.scalarizations import LogSum
from gflow.state import batch_size, cat, take, tensors, to_device, tree_map
from gflow.trajectories import Trajectories


class BestObjects:
    """Remembers the `capacity` distinct objects of highest log-reward.

    A trainer callback. Rewards are the objects' own, not the corrected training targets nor their
    shares among states that stand for one object, which is kept once (`Environment.object_key`).
    Where they depend on a condition and there are several scores, the logarithm of the mean score
    counts.

    Args:
        env: An environment with keys.
        capacity: Objects kept.
    """

    def __init__(self, env: DiscreteEnvironment[Any], capacity: int = 100) -> None:
        self.env, self.capacity = env, capacity
        self.states: Any = take(env.initial(1), torch.zeros(0, dtype=torch.int64))
        self.log_reward = torch.zeros(0)
        self.keys = torch.zeros(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def __call__(self, trainer: Any, batch: Trajectories[Any], record: dict[str, float]) -> None:
        """See the objects of a training batch."""
        objects = to_device(batch.final_states, "cpu")
        if batch.condition is not None and batch.scores is not None:
            self.add(objects, LogSum()(batch.scores.cpu()))
            return
        self.add(objects, plain_log_reward(self.env, batch).cpu())

    def add(self, objects: Any, log_reward: Tensor) -> None:
        """See finished objects with their log-rewards, each the whole reward of its object."""
        if len(self) == self.capacity:
            good = (log_reward > self.log_reward[-1]).nonzero().squeeze(1)
            if not len(good):
                return
            objects, log_reward = take(objects, good), log_reward[good]
        keys = torch.cat([self.keys, self.env.object_key(objects)])
        values = torch.cat([self.log_reward.to(log_reward.dtype), log_reward])
        states = cat([self.states, objects]) if len(self) else objects
        _, group = torch.unique(keys, return_inverse=True)
        order = torch.arange(len(keys))
        first = torch.full_like(order, len(keys)).scatter_reduce_(0, group, order, "amin")
        rows = first[: int(group.max()) + 1].sort().values  # one per key, the oldest
        rows = rows[torch.argsort(values[rows], descending=True, stable=True)][: self.capacity]
        self.states, self.keys, self.log_reward = take(states, rows), keys[rows], values[rows]

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "states": tensors(self.states),
            "log_reward": self.log_reward,
            "keys": self.keys,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        parts = iter(state["states"])
        self.states = tree_map(lambda _: next(parts), self.env.initial(1))
        assert batch_size(self.states) == len(state["keys"])
        self.log_reward, self.keys = state["log_reward"], state["keys"]

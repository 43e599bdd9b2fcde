"""The same environment with its arrows turned round."""

from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.sampling.walk import Walk

S = TypeVar("S")


class Reversed(DiscreteEnvironment[S]):
    """Walks from objects to the source: forward actions are the backward actions of `env`.

    It ends by force at s0 and has no stop action, because undoing a stop changes no state. So one
    rollout serves both directions.
    """

    def __init__(self, env: Environment[S]) -> None:
        env = require_numbered(env, "Reversed", "Sampler(env).backward walks back in either kind.")
        self.env = env
        self.num_actions = env.num_backward_actions
        self.num_backward_actions = env.num_actions
        self.horizon = env.horizon
        self.feature_sizes = env.feature_sizes
        self.num_keys = env.num_keys
        self.has_keys = env.has_keys  # type: ignore[misc]

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> S:
        """A reversed walk has no single source: start from objects."""
        raise TypeError(f"Reversed({self.env.name}) starts from given objects, not from a source.")

    def forward_mask(self, states: S) -> Tensor:
        """(B, P) the backward mask."""
        return self.env.backward_mask(states)

    def backward_mask(self, states: S) -> Tensor:
        """(B, A) the forward mask, without the stop action, which leads to no state."""
        mask = self.env.forward_mask(states)
        if self.env.stop_action is not None:
            mask = mask.clone()
            mask[:, self.env.stop_action] = False
        return mask

    def _step(self, states: S, actions: Tensor) -> S:
        return self.env._backstep(states, actions)

    def _backstep(self, states: S, actions: Tensor) -> S:
        return self.env._step(states, actions)

    def backward_action(self, states: S, actions: Tensor) -> Tensor:
        """(B,) the forward action that undoes a backward one."""
        return self.env.forward_action(states, actions)

    def forward_action(self, states: S, backward_actions: Tensor) -> Tensor:
        """(B,) the backward action that undoes a forward one."""
        return self.env.backward_action(states, backward_actions)

    def is_terminal(self, states: S) -> Tensor:
        """(B,) whether the walk has reached s0."""
        return self.env.is_initial(states)

    def encode(self, states: S) -> Any:
        """As `env` encodes."""
        return self.env.encode(states)

    def key(self, states: S) -> Tensor:
        """As `env`."""
        return self.env.key(states)

    def show(self, states: S) -> list[str]:
        """As `env`."""
        return self.env.show(states)

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"Reversed({self.env.name})"


def turned(env: Environment[S], walk: Walk[S], objects: S) -> Walk[S]:
    """A walk from objects to the source, read in forward time, with its stop if it needs one."""
    steps = walk.length
    stopped = torch.zeros_like(walk.stopped)
    if env.stop_action is not None:
        stopped = ~env.is_terminal(objects) if env.has_forced_terminals else ~stopped
    length = steps + stopped
    horizon = walk.actions.shape[1] + int(env.stop_action is not None)
    time = torch.arange(horizon, device=steps.device)
    back = (steps[:, None] - 1 - time).clamp(min=0)
    moving = time < steps[:, None]
    back = back.clamp(max=walk.actions.shape[1] - 1)
    actions = walk.inverse.gather(1, back).where(moving, 0)
    inverse = walk.actions.gather(1, back).where(moving, 0)
    if env.stop_action is not None:
        ends = stopped[:, None] & (time == steps[:, None])
        actions = actions.masked_fill(ends, env.stop_action)
    time = torch.arange(horizon + 1, device=steps.device)
    back = (steps[:, None] - time).clamp(min=0)
    index = walk.state_index.gather(1, back)
    return Walk(walk.states, index, actions, inverse, length, stopped, walk.owner)

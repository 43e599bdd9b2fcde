"""Sampling trajectories: forward from the source, backward from objects, or along given actions."""

from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.env import Environment
from gflow.errors import ConfigError, IllegalActionError, ShapeError
from gflow.exploration import ON_POLICY, Exploration
from gflow.masking import sample_masked
from gflow.policy import Policy
from gflow.reversed import Reversed
from gflow.state import batch_size, device_of, take
from gflow.trajectories import Trajectories
from gflow.walk import Choose, Walk, walk_ragged, walk_static

S = TypeVar("S")
Plan = Literal["auto", "ragged", "static"]

SHARE_FROM = 32
"""Batches at least this large look for equal states; below, looking costs what it saves..."""

SHARE_KEYS = 16
"""... unless there are fewer keys than this many per trajectory."""


class Sampler:
    """Draws trajectories of one environment.

    Args:
        env: The environment.
        plan: "ragged" (CPU), "static" (GPU), or "auto" by the device of the states.
        share: Whether equal states are evaluated once; None decides by the size of the batch.
            Sharing changes no result. It needs `env.key` and an unconditional batch.
    """

    def __init__(self, env: Environment[Any], plan: Plan = "auto", share: bool | None = None) -> None:
        if plan not in ("auto", "ragged", "static"):
            raise ConfigError(f"plan must be auto, ragged or static, got {plan!r}.")
        if share and not env.has_keys:
            raise ConfigError(f"share=True needs states with keys; {env.name} defines no `key`.")
        self.env, self.plan, self.share = env, plan, share
        self._distinct = Distinct(env.num_keys)

    @torch.no_grad()
    def forward(
        self,
        policy: Policy,
        count: int,
        *,
        exploration: Exploration = ON_POLICY,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Trajectories[Any]:
        """`count` trajectories from s0, their actions drawn from the policy as explored.

        Args:
            policy: Gives the forward logits.
            count: B.
            exploration: How to depart from the policy.
            condition: (B, C) or None.
            generator: Source of all randomness.
            device: Where to sample.

        Returns:
            B trajectories with the target log-rewards of their objects.

        Raises:
            IllegalActionError: If a state has no legal action and is not finished.
            RewardError: If a reward is not finite.
        """
        if count < 1:
            raise ConfigError(f"A batch needs at least one trajectory, got {count}.")
        env = self.env
        uniform = None
        if exploration.trajectory_epsilon:
            draw = torch.rand(count, device=device, generator=generator)
            uniform = draw < exploration.trajectory_epsilon
        may_stick = not (env.every_state_stops or self._static(device))

        def choose(time: int, states: Any, group: Tensor | None, rows: Tensor) -> Tensor:
            given = None if condition is None else condition[rows]
            logits = policy.forward_logits(policy.encode(env, states), given)
            mask = env.forward_mask(states)
            if may_stick and not bool(mask.any(-1).all()):
                env.refuse_stuck(states, mask)
            other = None
            if exploration.other is not None:
                other = exploration.other
                other = other.forward_logits(other.encode(env, states), given)
            if group is not None:
                logits, mask = logits[group], mask[group]
                other = None if other is None else other[group]
            if exploration is ON_POLICY:
                return sample_masked(logits, mask, generator)
            far = None if uniform is None else uniform[rows]
            return exploration.draw(logits, mask, other, far, env.stop_action, generator)

        walk = self._walk(env, env.initial(count, device), choose, condition)
        return self._finish(walk, condition)

    @torch.no_grad()
    def backward(
        self,
        policy: Policy,
        objects: Any,
        *,
        log_reward: Tensor | None = None,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trajectories[Any]:
        """Trajectories that end in the given objects, drawn with the backward policy.

        Args:
            policy: Gives the backward logits.
            objects: B finished objects.
            log_reward: (B,) target log-rewards if they are known already.
            condition: (B, C) or None.
            generator: Source of all randomness.

        Returns:
            B trajectories in forward time order.
        """
        env = self.env
        view = Reversed(env)

        def choose(time: int, states: Any, group: Tensor | None, rows: Tensor) -> Tensor:
            given = None if condition is None else condition[rows]
            logits, mask = backward_logits(env, policy, states, given)
            if group is not None:
                logits, mask = logits[group], mask[group]
            return sample_masked(logits, mask, generator)

        walk = self._walk(view, objects, choose, condition)
        return self._finish(_turn(env, walk, objects), condition, log_reward)

    @torch.no_grad()
    def along(
        self,
        actions: Tensor,
        length: Tensor,
        *,
        log_reward: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Trajectories[Any]:
        """Trajectories that take given actions: replay, data, tests.

        Args:
            actions: (B, T) int64 forward actions, stops included, padded with anything.
            length: (B,) int64 number of actions of each.
            log_reward: (B,) target log-rewards if they are known already.
            condition: (B, C) or None.

        Raises:
            IllegalActionError: If an action is illegal where it is taken, or the actions of a
                trajectory end before its object is finished.
        """
        env = self.env
        if actions.dim() != 2 or tuple(length.shape) != (actions.shape[0],):
            raise ShapeError(
                f"`actions` must be (B, T) and `length` (B,), got {tuple(actions.shape)} and "
                f"{tuple(length.shape)}."
            )
        count = actions.shape[0]

        def choose(time: int, states: Any, group: Tensor | None, rows: Tensor) -> Tensor:
            short = length[rows] <= time
            if bool(short.any()):
                row = int(rows[short][0])
                raise IllegalActionError(
                    f"{env.name}: trajectory {row} is not finished after its {int(length[row])} "
                    f"actions. Give all actions up to the end, a stop included."
                )
            chosen = actions[rows, time]
            at = states if group is None else take(states, group)
            env._refuse_illegal("forward", at, env.forward_mask(at), chosen)
            return chosen

        share = self._shared(count, condition)
        walk = walk_ragged(env, env.initial(count, actions.device), choose, share)
        if bool((walk.length < length).any()):
            row = int((walk.length < length).nonzero()[0])
            raise IllegalActionError(
                f"{env.name}: trajectory {row} is finished after {int(walk.length[row])} of its "
                f"{int(length[row])} actions."
            )
        return self._finish(walk, condition, log_reward)

    # ------------------------------------------------------------------ plans

    def _static(self, device: torch.device | str) -> bool:
        if self.plan == "auto":
            return torch.device(device).type != "cpu"
        return self.plan == "static"

    def _shared(self, count: int, condition: Tensor | None) -> Distinct | None:
        if condition is not None or not self.env.has_keys:
            return None
        wanted = self.share
        if wanted is None:
            keys = self.env.num_keys
            wanted = count >= SHARE_FROM or (keys is not None and keys <= SHARE_KEYS * count)
        return self._distinct if wanted else None

    def _walk(
        self, env: Environment[S], start: S, choose: Choose, condition: Tensor | None
    ) -> Walk[S]:
        if self._static(device_of(start)):
            return walk_static(env, start, choose)
        return walk_ragged(env, start, choose, self._shared(batch_size(start), condition))

    def _finish(
        self, walk: Walk[Any], condition: Tensor | None, log_reward: Tensor | None = None
    ) -> Trajectories[Any]:
        if log_reward is None:
            last = walk.state_index.gather(1, walk.length[:, None]).squeeze(1)
            log_reward = self.env.target_log_reward(take(walk.states, last), condition)
        return Trajectories(
            states=walk.states,
            state_index=walk.state_index,
            actions=walk.actions,
            backward_actions=walk.inverse,
            length=walk.length,
            stopped=walk.stopped,
            log_reward=log_reward,
            condition=condition,
            owner=None if condition is None else walk.owner,
        )


def backward_logits(
    env: Environment[S], policy: Policy, states: S, condition: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(N, P) logits and mask of the backward policy, whichever kind it is."""
    mask = env.backward_mask(states)
    logits: Tensor | None = None
    if policy.backward == "learned":
        logits = policy.backward_logits(policy.encode(env, states), condition)
    elif policy.backward == "maxent":
        logits = env.max_entropy_logits(states)
    if logits is None:
        logits = torch.zeros(mask.shape, device=mask.device)
    return logits, mask


def _turn(env: Environment[S], walk: Walk[S], objects: S) -> Walk[S]:
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

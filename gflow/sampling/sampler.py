"""Sampling trajectories: forward from the source, backward from objects, or along given actions."""

from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.keys import check_num_keys
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.policies.base import Policy
from gflow.sampling.densities import DensityMoves
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.numbered import NumberedMoves
from gflow.sampling.walk import Walk
from gflow.shown import in_a_line
from gflow.state import device_of, take
from gflow.trajectories import Trajectories

S = TypeVar("S")
Plan = Literal["auto", "ragged", "static"]


class Sampler:
    """Draws trajectories of one environment, of either kind.

    Where moves have densities there is one plan: rows leave the batch as they finish unless
    all have the same length, and neither `plan` nor `share` changes anything.

    Args:
        env: The environment.
        plan: "ragged" (CPU), "static" (GPU), or "auto" by the device of the states.
        share: Whether equal states of large batches are evaluated once; None does so too, and lists
            all states where they are few.
            Sharing changes no result. It needs `env.key` and an unconditional batch.
    """

    def __init__(
        self, env: Environment[Any], plan: Plan = "auto", share: bool | None = None
    ) -> None:
        if plan not in ("auto", "ragged", "static"):
            raise ConfigError(f"plan must be auto, ragged or static, got {plan!r}.")
        if share and not env.has_keys:
            raise ConfigError(f"share=True needs states with keys; {env.name} defines no `key`.")
        check_num_keys(env)
        kind: Any = NumberedMoves if env.numbered else DensityMoves
        self.env, self.moves = env, kind(env, plan, share)

    __repr__ = in_a_line

    @torch.no_grad()
    def forward(
        self,
        policy: Policy,
        count: int,
        *,
        exploration: Exploration = ON_POLICY,
        condition: Tensor | None = None,
        limit: int | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        record: bool = False,
    ) -> Trajectories[Any]:
        """`count` trajectories from s0, their actions drawn from the policy as explored.

        Args:
            policy: Gives the forward logits.
            count: B.
            exploration: How to depart from the policy.
            condition: (B, C) or None.
            limit: Cut trajectories after so many transitions; None lets all run to their end.
            generator: Source of all randomness.
            device: Where to sample.
            record: Keep what the layers of the policy hold, where it can (`Policy.record`), so
                that a loss before its next change needs no second pass; it takes the memory now
                that the loss would take.

        Returns:
            B trajectories with the target log-rewards of their objects.

        Raises:
            IllegalActionError: If a state has no legal action and is not finished.
            RewardError: If a reward is not finite.
        """
        if count < 1:
            raise ConfigError(f"A batch needs at least one trajectory, got {count}.")
        start = self.env.start(count, device, condition)
        recorded = policy.record(self.env, count, condition) if record else None
        session = policy.begin(self.env, count, condition) if recorded is None else recorded
        walk = self.moves.forward(policy, start, session, exploration, condition, limit, generator)
        found = self._finish(walk, condition, cut=limit is not None)
        return found if recorded is None else replace(found, recorded=recorded)

    @torch.no_grad()
    def resume(
        self,
        policy: Policy,
        trajectories: Trajectories[S],
        keep: Tensor,
        *,
        exploration: Exploration = ON_POLICY,
        limit: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Trajectories[S]:
        """The first transitions of given trajectories, continued by the policy as explored.

        Rows may be resumed at different times. What a policy remembers of a rollout from the source
        (`Policy.begin`) is not used: each state is read anew.

        Args:
            policy: Gives the forward logits.
            trajectories: B trajectories, whole or cut short.
            keep: (B,) int64 how many transitions of each to keep, in 0 ... length. A finished
                object that is kept stays as it is.
            exploration: How to depart from the policy.
            limit: Cut trajectories after so many new transitions; None lets all run to their end.
            generator: Source of all randomness.

        Returns:
            B trajectories from s0, with the target log-rewards of their new objects.

        Raises:
            ShapeError: If `keep` is no (B,).
            ConfigError: If it lies outside a trajectory, or keeps a stop, which nothing follows.
        """
        self._check_keep(trajectories, keep)
        condition = trajectories.condition
        start = trajectories.states_after(keep)
        end = limit
        if self.moves.static(device_of(start)):  # which walks to the horizon in any case
            left = self.env.horizon - int(keep.min())
            end = left if limit is None else min(limit, left)
        walk = self.moves.forward(policy, start, None, exploration, condition, end, generator)
        tail = self._finish(walk, condition, cut=limit is not None)
        return trajectories.splice(keep, tail)

    def _check_keep(self, trajectories: Trajectories[Any], keep: Tensor) -> None:
        if keep.shape != trajectories.length.shape:
            raise ShapeError(
                f"`keep` must hold one number per trajectory, ({len(trajectories)},), got "
                f"{tuple(keep.shape)}."
            )
        last = trajectories.length - trajectories.stopped.long()
        wrong = (keep < 0) | (keep > last)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise ConfigError(
                f"{self.env.name}: trajectory {row} cannot be resumed after {int(keep[row])} of "
                f"{int(trajectories.length[row])} transitions; allowed: 0 to {int(last[row])} (a "
                f"stop cannot be kept: nothing comes after it)."
            )

    @torch.no_grad()
    def backward(
        self,
        policy: Policy,
        objects: Any,
        *,
        log_reward: Tensor | None = None,
        scores: Tensor | None = None,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trajectories[Any]:
        """Trajectories that end in the given objects, drawn with the backward policy.

        Args:
            policy: Gives the backward logits.
            objects: B finished objects.
            log_reward: (B,) target log-rewards if they are known already.
            scores: (B, K) raw objectives if they are known already.
            condition: (B, C) or None.
            generator: Source of all randomness.

        Returns:
            B trajectories in forward time order.

        Raises:
            IncompatibleError: If the environment defines no moves back.
        """
        if not self.env.has_backward:
            raise IncompatibleError(
                f"{self.env.name} defines no moves back, so no trajectories can be drawn from its "
                f"objects. Define `backward_mask` and `_backstep`, or sample forward."
            )
        walk = self.moves.backward(policy, objects, condition, generator)
        return self._finish(walk, condition, log_reward, scores)

    @torch.no_grad()
    def along(
        self,
        actions: Tensor,
        length: Tensor,
        *,
        log_reward: Tensor | None = None,
        scores: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Trajectories[Any]:
        """Trajectories that take given actions: replay, data, tests.

        Args:
            actions: (B, T) int64 forward actions, stops included, padded with anything.
            length: (B,) int64 number of actions of each.
            log_reward: (B,) target log-rewards if they are known already.
            scores: (B, K) raw objectives if they are known already.
            condition: (B, C) or None.

        Raises:
            IllegalActionError: If an action is illegal where it is taken, or the actions of a
                trajectory end before its object is finished.
            IncompatibleError: If moves have densities: actions alone repeat no trajectory.
        """
        walk = self.moves.along(actions, length, condition)
        return self._finish(walk, condition, log_reward, scores)

    def _finish(
        self,
        walk: Walk[Any],
        condition: Tensor | None,
        log_reward: Tensor | None = None,
        scores: Tensor | None = None,
        cut: bool = False,
    ) -> Trajectories[Any]:
        """Trajectories from a walk, with the rewards of those that reached their end."""
        env = self.env
        complete, late = None, None
        if log_reward is None or (env.num_scores and scores is None):
            last = walk.state_index.gather(1, walk.length[:, None]).squeeze(1)
            if cut:
                complete = walk.stopped
                if env.has_forced_terminals:
                    complete = complete | env.is_terminal(take(walk.states, last))
                rows = complete.nonzero().squeeze(1)
                given = None if condition is None else condition[rows]
                value, known = env.outcome(take(walk.states, last[rows]), given)
                log_reward = value.new_zeros(len(last)).index_put((rows,), value)
                if known is not None:
                    scores = known.new_zeros(len(last), known.shape[1]).index_put((rows,), known)
            else:
                objects = take(walk.states, last)
                if log_reward is None and not env.num_scores and env.foresee(objects):
                    late = partial(_target, env, objects, condition)
                else:
                    value, scores = env.outcome(objects, condition)
                    log_reward = value if log_reward is None else log_reward
        found = Trajectories(
            states=walk.states,
            state_index=walk.state_index,
            actions=walk.actions,
            backward_actions=walk.inverse,
            length=walk.length,
            stopped=walk.stopped,
            log_reward=torch.empty(0) if log_reward is None else log_reward,
            scores=scores,
            condition=condition,
            owner=None if condition is None else walk.owner,
            complete=complete,
        )
        if late is not None:
            found.await_reward(late)
        return found


@torch.no_grad()
def _target(env: Environment[Any], objects: Any, condition: Tensor | None) -> Tensor:
    """(B,) target log-rewards, once the workers have them."""
    return env.outcome(objects, condition)[0]

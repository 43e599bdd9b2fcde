"""Sampling trajectories: forward from the source, backward from objects, or along given actions."""

from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.keys import check_num_keys
from gflow.errors import ConfigError, IllegalActionError, IncompatibleError, ShapeError
from gflow.masking import sample_masked
from gflow.policies.base import Policy, Session, backward_scores
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.reversed import Reversed, turned
from gflow.sampling.walk import Draw, Score, Scores, Walk, walk_listed, walk_ragged, walk_static
from gflow.state import batch_size, device_of, take
from gflow.trajectories import Trajectories

S = TypeVar("S")
Plan = Literal["auto", "ragged", "static"]

LIST_KEYS = 8
"""With at most this many keys per trajectory, all states are evaluated at once."""


class Sampler:
    """Draws trajectories of one environment.

    Args:
        env: The environment.
        plan: "ragged" (CPU), "static" (GPU), or "auto" by the device of the states.
        share: Whether equal states of large batches are evaluated once; None does so too, and lists
            all states where they are few.
            Sharing changes no result. It needs `env.key` and an unconditional batch.
    """

    def __init__(
        self, env: DiscreteEnvironment[Any], plan: Plan = "auto", share: bool | None = None
    ) -> None:
        if isinstance(env, ContinuousEnvironment):
            raise IncompatibleError(
                f"{env.name}: its moves have densities, and Sampler walks by numbered actions. Use "
                f"KernelSampler(env), or sampler_of(env) for either."
            )
        if plan not in ("auto", "ragged", "static"):
            raise ConfigError(f"plan must be auto, ragged or static, got {plan!r}.")
        if share and not env.has_keys:
            raise ConfigError(f"share=True needs states with keys; {env.name} defines no `key`.")
        check_num_keys(env)
        self.env, self.plan, self.share = env, plan, share
        self._distinct = Distinct(env.num_keys)
        self._all: Any = None

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

        Returns:
            B trajectories with the target log-rewards of their objects.

        Raises:
            IllegalActionError: If a state has no legal action and is not finished.
            RewardError: If a reward is not finite.
        """
        if count < 1:
            raise ConfigError(f"A batch needs at least one trajectory, got {count}.")
        start = self.env.start(count, device, condition)
        session = policy.begin(self.env, count, condition)
        walk = self._forward(policy, start, session, exploration, condition, limit, generator)
        return self._finish(walk, condition, cut=limit is not None)

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
        if self._static(device_of(start)):  # which walks to the horizon in any case
            left = self.env.horizon - int(keep.min())
            end = left if limit is None else min(limit, left)
        walk = self._forward(policy, start, None, exploration, condition, end, generator)
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
        """
        env = self.env
        view = Reversed(env)

        def score(states: Any, rows: Tensor) -> Scores:
            given = None if condition is None else condition[rows]
            learned = None
            if policy.backward == "learned":
                learned = policy.backward_logits(env, states, given)
            return backward_scores(env, policy, states, learned)[:2]

        def draw(scores: Scores, rows: Tensor, time: int) -> Tensor:
            logits, mask = scores
            assert logits is not None
            assert mask is not None
            return sample_masked(logits, mask, generator)

        walk = self._walk(view, objects, score, draw, condition)
        return self._finish(turned(env, walk, objects), condition, log_reward, scores)

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
        """
        env = self.env
        if actions.dim() != 2 or tuple(length.shape) != (actions.shape[0],):
            raise ShapeError(
                f"`actions` must be (B, T) and `length` (B,), got {tuple(actions.shape)} and "
                f"{tuple(length.shape)}."
            )
        count = actions.shape[0]

        def score(states: Any, rows: Tensor) -> Scores:
            return (env.forward_mask(states),)

        def draw(scores: Scores, rows: Tensor, time: int) -> Tensor:
            short = length[rows] <= time
            if bool(short.any()):
                row = int(rows[short][0])
                raise IllegalActionError(
                    f"{env.name}: trajectory {row} is not finished after its {int(length[row])} "
                    f"actions. Give all actions up to the end, a stop included."
                )
            chosen, mask = actions[rows, time], scores[0]
            assert mask is not None
            illegal = ~mask.gather(1, chosen[:, None].clamp(0, env.num_actions - 1)).squeeze(1)
            illegal |= (chosen < 0) | (chosen >= env.num_actions)
            if bool(illegal.any()):
                row = int(illegal.nonzero()[0])
                raise IllegalActionError(
                    f"{env.name}: action {int(chosen[row])} of trajectory {int(rows[row])} is "
                    f"illegal at time {time}; legal: {mask[row].nonzero().flatten().tolist()}."
                )
            return chosen

        share = self._shared(count, condition)
        walk = walk_ragged(env, env.start(count, actions.device, condition), score, draw, share)
        if bool((walk.length < length).any()):
            row = int((walk.length < length).nonzero()[0])
            raise IllegalActionError(
                f"{env.name}: trajectory {row} is finished after {int(walk.length[row])} of its "
                f"{int(length[row])} actions."
            )
        return self._finish(walk, condition, log_reward, scores)

    # ------------------------------------------------------------------ plans

    def _forward(
        self,
        policy: Policy,
        start: S,
        session: Session | None,
        exploration: Exploration,
        condition: Tensor | None,
        limit: int | None,
        generator: torch.Generator | None,
    ) -> Walk[S]:
        """Walk on from B states with the policy as explored, for at most `limit` transitions."""
        env, count, device = self.env, batch_size(start), device_of(start)
        uniform = None
        if exploration.trajectory_epsilon:
            coin = torch.rand(count, device=device, generator=generator)
            uniform = coin < exploration.trajectory_epsilon
        may_stick = not (env.every_state_stops or self._static(device))
        other = exploration.other

        def score(states: Any, rows: Tensor) -> Scores:
            given = None if condition is None else condition[rows]
            mask = env.forward_mask(states)
            if may_stick and not bool(mask.any(-1).all()):
                _refuse_stuck(env, states, mask)
            if session is None:
                logits = policy.forward_logits(env, states, given)
            else:
                logits = session(states, rows)
            if other is None:
                return logits, mask, None
            return logits, mask, other.forward_logits(env, states, given)

        def draw(scores: Scores, rows: Tensor, time: int) -> Tensor:
            logits, mask, mixed = scores
            assert logits is not None
            assert mask is not None
            if exploration is ON_POLICY:
                return sample_masked(logits, mask, generator)
            far = None if uniform is None else uniform[rows]
            return exploration.draw(logits, mask, mixed, far, env.stop_action, generator)

        return self._walk(env, start, score, draw, condition, session is not None, limit)

    def _static(self, device: torch.device | str) -> bool:
        if self.plan == "auto":
            return torch.device(device).type != "cpu"
        return self.plan == "static"

    def _shared(self, count: int, condition: Tensor | None) -> Distinct | None:
        if condition is not None or not self.env.has_keys:
            return None
        return self._distinct if self.share is not False else None

    def _listed(self, count: int, device: torch.device, condition: Tensor | None) -> Any:
        """All states, if evaluating them all is less work than walking, else None."""
        keys = self.env.num_keys
        if condition is not None or self.share is not None or keys is None:
            return None
        if keys > LIST_KEYS * count:
            return None
        if self._all is None or device_of(self._all) != device:
            self._all = self.env.all_states(device)
        return self._all

    def _walk(
        self,
        env: DiscreteEnvironment[S],
        start: S,
        score: Score,
        draw: Draw,
        condition: Tensor | None,
        apart: bool = False,
        limit: int | None = None,
    ) -> Walk[S]:
        """A walk by the plan in force; `apart` keeps equal states of different rows apart."""
        count, device = batch_size(start), device_of(start)
        if self._static(device):
            return walk_static(env, start, score, draw, limit)
        if apart:
            return walk_ragged(env, start, score, draw, limit=limit)
        listed = self._listed(count, device, condition)
        if listed is not None:
            return walk_listed(env, start, listed, score, draw, limit)
        return walk_ragged(env, start, score, draw, self._shared(count, condition), limit)

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
        complete = None
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
                value, scores = env.outcome(take(walk.states, last), condition)
                log_reward = value if log_reward is None else log_reward
        return Trajectories(
            states=walk.states,
            state_index=walk.state_index,
            actions=walk.actions,
            backward_actions=walk.inverse,
            length=walk.length,
            stopped=walk.stopped,
            log_reward=log_reward,
            scores=scores,
            condition=condition,
            owner=None if condition is None else walk.owner,
            complete=complete,
        )


def _refuse_stuck(env: DiscreteEnvironment[Any], states: Any, mask: Tensor) -> None:
    """Complain if a state without legal action is not a finished object."""
    stuck = ~mask.any(-1) & ~env.is_terminal(states)
    if bool(stuck.any()):
        rows = stuck.nonzero().squeeze(1)
        env.refuse_stuck(take(states, rows), mask[rows])

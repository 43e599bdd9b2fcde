"""Sampling trajectories in environments whose moves have densities."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.kernel import Kernel
from gflow.errors import IllegalActionError, IncompatibleError
from gflow.policies.base import Policy, Session
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.reversed import turned
from gflow.sampling.sampler import Plan, Sampler
from gflow.sampling.walk import Walk, assemble
from gflow.state import batch_size, cat, device_of, take, where
from gflow.trajectories import Trajectories

S = TypeVar("S")


def sampler_of(env: Environment[Any], plan: Plan = "auto") -> Sampler:
    """The sampler for either kind of environment."""
    if isinstance(env, ContinuousEnvironment):
        return KernelSampler(env, plan)
    assert isinstance(env, DiscreteEnvironment)
    return Sampler(env, plan)


class KernelSampler(Sampler):
    """Draws trajectories of an environment whose moves have densities; used like `Sampler`.

    Actions are 0 for moves and 1 for stops, so given actions say nothing (`along` refuses). Rows
    leave the batch as they finish unless all have the same length; on a GPU too, where environments
    of one length (diffusions, tori) read nothing on the host.

    Args:
        env: The environment.
        plan: As of `Sampler`; there is only one way to walk here, and it is ignored.
    """

    env: Any

    def __init__(self, env: ContinuousEnvironment[Any], plan: Plan = "auto") -> None:
        self.env, self.plan, self.share = env, plan, None

    def along(self, actions: Tensor, length: Tensor, **known: Any) -> Trajectories[Any]:
        """Refused: moves are pairs of states here.

        Raises:
            IncompatibleError: Always.
        """
        raise IncompatibleError(
            f"{self.env.name}: its moves have densities, so actions alone repeat no trajectory. "
            f"Draw trajectories backward from the objects: replay_rebuild='backward'."
        )

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
        env = self.env
        check_exploration(env, exploration)
        count, device = batch_size(start), device_of(start)
        free = None
        if exploration.trajectory_epsilon:
            coin = torch.rand(count, device=device, generator=generator)
            free = coin < exploration.trajectory_epsilon

        def move(states: S, rows: Tensor) -> tuple[S, Tensor | None]:
            if session is not None:
                outputs = session(states, rows)
            else:
                given = None if condition is None else condition[rows]
                outputs = policy.forward_logits(env, states, given)
            kernel: Kernel[S] = env.forward_kernel(states, outputs)
            reached, stops = kernel.sample(generator, exploration.noise)
            if exploration is ON_POLICY or not (exploration.epsilon or free is not None):
                return reached, stops
            other, other_stops = env.exploration_kernel(states).sample(generator)
            swap = torch.rand(len(rows), device=device, generator=generator) < exploration.epsilon
            if free is not None:
                swap = swap | free[rows]
            if stops is not None:
                stops = torch.where(swap, other_stops, stops)
            return where(swap, other, reached), stops

        return walk_kernels(env, start, move, limit=limit)

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

        See `Sampler.backward`.
        """
        env = self.env

        def move(states: Any, rows: Tensor) -> tuple[Any, None]:
            learned = None
            if policy.backward == "learned":
                given = None if condition is None else condition[rows]
                learned = policy.backward_logits(env, states, given)
            return env.backward_kernel(states, learned).sample(generator)[0], None

        walk = walk_kernels(env, objects, move, backward=True)
        return self._finish(turned(env, walk, objects), condition, log_reward, scores)


def check_exploration(env: Environment[Any], exploration: Exploration) -> None:
    """Refuse ways to explore that an environment does not know.

    Raises:
        IncompatibleError: With what it knows.
    """
    if not isinstance(env, ContinuousEnvironment):
        if exploration.noise:
            raise IncompatibleError(
                f"{env.name} cannot explore by noise: its actions are numbered. Use epsilon."
            )
        return
    wrong = [
        name
        for name, plain in (("temperature", 1.0), ("stop_bias", 0.0), ("other_weight", 0.0))
        if getattr(exploration, name) != plain
    ]
    if exploration.noise and not env.takes_noise:
        wrong.append("noise")
    if exploration.epsilon or exploration.trajectory_epsilon:
        state = env.initial(1)
        if env.exploration_kernel(state) is None:
            wrong.append("epsilon")
    if wrong:
        raise IncompatibleError(
            f"{env.name} cannot explore by {', '.join(wrong)}: its moves have densities. It takes "
            f"{'noise' if env.takes_noise else 'epsilon or trajectory_epsilon'}."
        )


def walk_kernels(
    env: ContinuousEnvironment[S],
    start: S,
    move: Callable[[S, Tensor], tuple[S, Tensor | None]],
    backward: bool = False,
    limit: int | None = None,
) -> Walk[S]:
    """Walk until every row has ended; the store holds one time after the other.

    Nothing is read by the host per step where all rows are as far from their end.

    Args:
        env: The environment.
        start: B states.
        move: ``(L states, (L,) rows) -> next states, (L,) stops or None``.
        backward: Walk from objects to the source.
        limit: Steps after which every row is left where it is, or None.

    Raises:
        IllegalActionError: If a row is still going after `env.horizon` steps.
    """
    count, device = batch_size(start), device_of(start)
    first, last = env.is_initial, env.is_terminal
    if backward:
        first, last = last, first
    together = env.fixed_length and bool(first(start).all())

    def going(states: S, rows: Tensor, ended: Tensor) -> tuple[S, Tensor]:
        if not bool(ended.any()):
            return states, rows
        kept = (~ended).nonzero().squeeze(1)
        return take(states, kept), rows[kept]

    states, rows = start, torch.arange(count, device=device)
    store, visits = [start], [rows]
    moves: list[tuple[Tensor, Tensor]] = []
    steps = env.horizon if limit is None else min(limit, env.horizon)
    if not together:
        states, rows = going(states, rows, last(states))
    while rows.shape[0] and len(moves) < steps:
        states, stops = move(states, rows)
        moves.append((rows, torch.zeros_like(rows) if stops is None else stops.long()))
        if stops is not None:
            states, rows = going(states, rows, stops)
            if not rows.shape[0]:
                break
        store.append(states)
        visits.append(rows)
        if not together:
            states, rows = going(states, rows, last(states))
    if rows.shape[0] and limit is None and not together:
        which = env.shown(states, 0)
        raise IllegalActionError(
            f"{env.name}: a trajectory is still going after horizon = {env.horizon} transitions, "
            f"in the state {which}. Raise `horizon`, or make `is_terminal` end it."
        )
    owner = torch.cat(visits)
    place = torch.arange(len(owner), device=device)
    return assemble(env, count, cat(store), visits, place, moves, owner)

"""How a batch walks where moves have densities."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density
from gflow.environment.movers import CHANCE
from gflow.errors import IllegalActionError, IncompatibleError
from gflow.policies.base import Policy, Session, backward_law
from gflow.sampling.exploration import ON_POLICY, Exploration, check_exploration
from gflow.sampling.reversed import turned
from gflow.sampling.walk import Walk, assemble
from gflow.state import batch_size, cat, device_of, take, where

S = TypeVar("S")


class DensityMoves:
    """Walks by densities; see `Sampler` for what the arguments mean.

    Actions are 0 for moves and 1 for stops. Rows leave the batch as they finish unless all have the
    same length; on a GPU too, where environments of one length (diffusions, tori) read nothing on
    the host.

    Args:
        env: The environment.
        plan: Ignored: there is only one plan here.
        share: Ignored: no state is met twice.
    """

    def __init__(self, env: ContinuousEnvironment[Any], plan: str, share: bool | None) -> None:
        self.env: Any = env

    def static(self, device: torch.device | str) -> bool:
        """Never: rows leave the batch as they finish."""
        return False

    def forward(
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
        env = self.env
        check_exploration(env, exploration)
        count, device = batch_size(start), device_of(start)
        free = None
        if exploration.trajectory_epsilon:
            coin = torch.rand(count, device=device, generator=generator)
            free = coin < exploration.trajectory_epsilon

        def move(states: S, rows: Tensor, made: int | None) -> tuple[S, Tensor | None]:
            if session is not None:
                outputs = session(states, rows)
            else:
                given = None if condition is None else condition[rows]
                outputs = policy.forward_logits(env, states, given)
            law: Density[S] = env.law(states, outputs)
            if made is not None:
                law = law.timed(made, 1)
            reached, stops = law.sample(generator, exploration.noise)
            if exploration is ON_POLICY or not (exploration.epsilon or free is not None):
                return reached, stops
            other, other_stops = env.exploration_law(states).sample(generator)
            swap = torch.rand(len(rows), device=device, generator=generator) < exploration.epsilon
            if free is not None:
                swap = swap | free[rows]
            if (mover := env.mover(states)) is not None:
                swap = swap & (mover != CHANCE)
            if stops is not None:
                stops = torch.where(swap, other_stops, stops)
            return where(swap, other, reached), stops

        return walk_densities(env, start, move, limit=limit)

    def backward(
        self,
        policy: Policy,
        objects: S,
        condition: Tensor | None,
        generator: torch.Generator | None,
    ) -> Walk[S]:
        """A walk from B objects to the source by the backward policy, in forward time."""
        env = self.env

        def move(states: S, rows: Tensor, made: int | None) -> tuple[S, None]:
            learned = None
            if policy.backward == "learned":
                given = None if condition is None else condition[rows]
                learned = policy.backward_logits(env, states, given)
            law = backward_law(env, policy, states, learned)
            if made is not None:
                law = law.timed(env.horizon - made, 1)
            return law.sample(generator)[0], None

        return turned(env, walk_densities(env, objects, move, backward=True), objects)

    def along(self, actions: Tensor, length: Tensor, condition: Tensor | None) -> Walk[Any]:
        """Refused: moves are pairs of states here.

        Raises:
            IncompatibleError: Always.
        """
        raise IncompatibleError(
            f"{self.env.name}: its moves have densities, so actions alone repeat no trajectory. "
            f"Draw trajectories backward from the objects: replay_rebuild='backward'."
        )


def walk_densities(
    env: ContinuousEnvironment[S],
    start: S,
    move: Callable[[S, Tensor, int | None], tuple[S, Tensor | None]],
    backward: bool = False,
    limit: int | None = None,
) -> Walk[S]:
    """Walk until every row has ended; the store holds one time after the other.

    Nothing is read by the host per step where all rows are as far from their end.

    Args:
        env: The environment.
        start: B states.
        move: ``(L states, (L,) rows, moves made) -> next states, (L,) stops or None``; the number
            of moves is None unless all rows have made as many.
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
        states, stops = move(states, rows, len(moves) if together else None)
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

"""Walking a batch through an environment: three execution plans with one meaning.

*Ragged*: rows leave the batch as they finish, and equal states are looked at once. For CPUs, where
work counts and reading a tensor on the host is free. *Listed*: the same where all states are few
enough to be looked at in one go. *Static*: buffers of fixed size, finished rows step along and are
ignored, nothing is read by the host. For GPUs, where launches and synchronisation count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IllegalActionError
from gflow.state import batch_size, cat, clone, device_of, take, where

S = TypeVar("S")

SHARE_FROM = 24
"""Fewer live rows than this do not look for equal states at each time, which costs what it saves.
Where the batch is that small, the stored states are compared once, at the end, for the loss."""


class Known(Protocol):
    """What is known of the next move at U states: a law, or a law with more beside it."""

    def take(self, rows: Tensor) -> Any:
        """The same for some of the states, repeatedly."""


Ask = Callable[[Any, Tensor], Any]
"""(U states, rows) to what is known of the moves there, `Known`; row i is in state i unless equal
states are shared, which is done only where nothing depends on the row."""

Draw = Callable[[Any, Tensor, int], Tensor]
"""(what is known of the states of L rows, (L,) rows, time) to (L,) actions."""


@dataclass(frozen=True)
class Walk(Generic[S]):
    """What a walk of B rows left behind; the fields are those of `Trajectories`.

    `inverse` holds, for each action, the one of the opposite direction that undoes it.
    """

    states: S
    state_index: Tensor
    actions: Tensor
    inverse: Tensor
    length: Tensor
    stopped: Tensor
    owner: Tensor


def walk_ragged(
    env: DiscreteEnvironment[S],
    start: S,
    ask: Ask,
    draw: Draw,
    share: Distinct | None = None,
    limit: int | None = None,
) -> Walk[S]:
    """Walk until every row has ended, dropping rows as they end.

    Args:
        env: DiscreteEnvironment, or its `Reversed` view.
        start: B states to start from.
        ask: Asked once per distinct live state.
        draw: Draws an action for each live row.
        share: Groups equal states so that each is looked at once, or None.
        limit: Steps after which every row is left where it is, or None.

    Raises:
        IllegalActionError: If a row is still going after `env.horizon` steps.
    """
    count, device = batch_size(start), device_of(start)
    rows = torch.arange(count, device=device)
    store: list[S] = []
    owners: list[Tensor] = []
    visits: list[tuple[Tensor, Tensor | None]] = []  # per time: rows, their place in the level
    moves: list[tuple[Tensor, Tensor]] = []  # per time: rows, actions
    undo: list[Tensor | None] = []  # per time: what undoes the moves that are no stops

    def enter(states: S, rows: Tensor) -> tuple[S, Tensor | None, Tensor]:
        """Store the states that `rows` reached; return the live ones, and who is in which."""
        group = None
        owner = rows
        if share is not None and rows.shape[0] >= SHARE_FROM:
            chosen, group = share(env.key(states))
            states, owner = take(states, chosen), rows[chosen]
        store.append(states)
        owners.append(owner)
        visits.append((rows, group))
        if not env.has_forced_terminals:
            return states, group, rows
        done = env.is_terminal(states)
        if not bool(done.any()):
            return states, group, rows
        live = ~done
        kept = live.nonzero().squeeze(1)
        if group is None:
            return take(states, kept), None, rows[kept]
        number = torch.empty_like(live, dtype=torch.int64)
        number[kept] = torch.arange(kept.shape[0], device=device)
        going = live[group]
        return take(states, kept), number[group[going]], rows[going]

    level, group, rows = enter(start, rows)
    time = 0
    while rows.shape[0] and time != limit:
        if time >= env.horizon:
            _refuse_endless(env, level)
        known: Known = ask(level, rows)
        actions = draw(known if group is None else known.take(group), rows, time)
        moves.append((rows, actions))
        parents = level if group is None else take(level, group)
        if env.stop_action is not None:
            stops = actions == env.stop_action
            if bool(stops.any()):
                going = (~stops).nonzero().squeeze(1)
                rows, parents, actions = rows[going], take(parents, going), actions[going]
        time += 1
        if not rows.shape[0]:
            break
        reached, undone = env._step_undone(parents, actions)
        undo.append(undone)
        level, group, rows = enter(reached, rows)
    seen = [rows for rows, _ in visits]
    place = _places(
        [batch_size(states) for states in store], [group for _, group in visits], device
    )
    states, owner = cat(store), torch.cat(owners)
    if share is not None and count < SHARE_FROM:
        chosen, place = share(env.key(states))
        states, owner = take(states, chosen), owner[chosen]
    return assemble(env, count, states, seen, place, moves, owner, undo)


def _places(sizes: list[int], groups: list[Tensor | None], device: torch.device) -> Tensor:
    """Where the visited states are in the store; levels without groups are visited in order."""
    if all(group is None for group in groups):
        return torch.arange(sum(sizes), device=device)
    place, first = [], 0
    for size, group in zip(sizes, groups, strict=True):
        place.append(
            torch.arange(first, first + size, device=device) if group is None else group + first
        )
        first += size
    return torch.cat(place)


def walk_listed(
    env: DiscreteEnvironment[S],
    start: S,
    listed: S,
    ask: Ask,
    draw: Draw,
    limit: int | None = None,
) -> Walk[S]:
    """Walk through an environment so small that all its states are listed, by their keys.

    Same distribution as `walk_ragged`; the store is the list itself.

    Args:
        env: DiscreteEnvironment, or its `Reversed` view.
        start: B states to start from.
        listed: All states in the order of their keys.
        ask: Asked once, about all states.
        draw: Draws an action for each live row.
        limit: Steps after which every row is left where it is, or None.
    """
    count, device = batch_size(start), device_of(start)
    rows, states = torch.arange(count, device=device), start
    known: Known = ask(listed, rows)
    done = env.is_terminal(listed) if env.has_forced_terminals else None
    visits: list[Tensor] = []
    place: list[Tensor] = []
    moves: list[tuple[Tensor, Tensor]] = []
    while rows.shape[0]:
        keys = env.key(states)
        visits.append(rows)
        place.append(keys)
        if done is not None:
            kept = (~done[keys]).nonzero().squeeze(1)
            if kept.shape[0] < rows.shape[0]:
                rows, states, keys = rows[kept], take(states, kept), keys[kept]
                if not rows.shape[0]:
                    break
        if len(moves) == limit:
            break
        if len(moves) >= env.horizon:
            _refuse_endless(env, states)
        actions = draw(known.take(keys), rows, len(moves))
        moves.append((rows, actions))
        if env.stop_action is not None:
            kept = (actions != env.stop_action).nonzero().squeeze(1)
            if kept.shape[0] < rows.shape[0]:
                rows, states, actions = rows[kept], take(states, kept), actions[kept]
                if not rows.shape[0]:
                    break
        states = env._step(states, actions)
    owner = torch.zeros(0, dtype=torch.int64, device=device)
    return assemble(env, count, listed, visits, torch.cat(place), moves, owner)


def assemble(
    env: Environment[S],
    count: int,
    states: S,
    visits: list[Tensor],
    place: Tensor,
    moves: list[tuple[Tensor, Tensor]],
    owner: Tensor,
    undo: Sequence[Tensor | None] = (),
) -> Walk[S]:
    """Tables from what was noted at each time.

    Args:
        env: The environment.
        count: B.
        states: The store.
        visits: Rows that were in some state at each time.
        place: Where these states are in the store, one time after the other.
        moves: Rows and actions of each time.
        owner: Row that found each stored state.
        undo: What undoes the moves to the states of all but the first time, if that is known.
    """
    device = place.device
    if moves and moves[-1][0].shape[0] == visits[-1].shape[0] == count:
        return _assemble_full(env, states, place.view(-1, count).T, moves, owner, undo)
    width = max(len(visits), len(moves) + 1, 2)
    seen, times = _cells(visits, device)
    index = torch.zeros(count, width, dtype=torch.int64, device=device)
    index[seen, times] = place
    actions = torch.zeros(count, width - 1, dtype=torch.int64, device=device)
    length = torch.zeros(count, dtype=torch.int64, device=device)
    if moves:
        if env.has_forced_terminals or len(visits) != len(moves):
            seen, times = _cells([rows for rows, _ in moves], device)
        actions[seen, times] = torch.cat([taken for _, taken in moves])
        length = torch.bincount(seen, minlength=count)
    stopped = torch.zeros_like(length, dtype=torch.bool)
    if env.stop_action is not None:
        last = actions.gather(1, (length - 1).clamp(min=0)[:, None]).squeeze(1)
        stopped = (last == env.stop_action) & (length > 0)
    index = _fill_after_end(index, length - stopped.long())
    known = [undone for undone in undo if undone is not None]
    if known:
        inverse = torch.zeros_like(actions)
        inverse[_cells(visits[1:], device)] = torch.cat(known)
    else:
        inverse = _inverse(env, states, index, actions, length - stopped.long())
    return Walk(states, index, actions, inverse, length, stopped, owner)


def _assemble_full(
    env: Environment[S],
    states: S,
    index: Tensor,
    moves: list[tuple[Tensor, Tensor]],
    owner: Tensor,
    undo: Sequence[Tensor | None],
) -> Walk[S]:
    """The same where all rows ended at one time, so that nothing is to be filled in."""
    actions = torch.stack([taken for _, taken in moves], 1)
    stops = actions.shape[1] == index.shape[1]
    if stops:
        index = torch.cat([index, index[:, -1:]], 1)
    length = torch.full_like(index[:, 0], actions.shape[1])
    stopped = torch.full_like(length, stops, dtype=torch.bool)
    known = [undone for undone in undo if undone is not None]
    if known:
        inverse = torch.stack(known + [torch.zeros_like(length)] * stops, 1)
    else:
        inverse = _inverse(env, states, index, actions, length - 1 if stops else None)
    return Walk(states, index.contiguous(), actions, inverse, length, stopped, owner)


def _cells(rows: list[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and times of all entries noted time after time."""
    sizes = torch.tensor([part.shape[0] for part in rows], device=device)
    return torch.cat(rows), torch.arange(len(rows), device=device).repeat_interleave(sizes)


def _inverse(
    env: Environment[S], states: S, index: Tensor, actions: Tensor, moves: Tensor | None
) -> Tensor:
    """(B, T) the actions of the other direction that undo the first `moves` (B,) ones, or all."""
    going = None
    if moves is not None:
        going = torch.arange(actions.shape[1], device=actions.device) < moves[:, None]
        actions = actions.where(going, 0)
    if type(env).backward_action is Environment.backward_action:
        return actions
    inverse = env.backward_action(take(states, index[:, :-1].flatten()), actions.flatten())
    inverse = inverse.view(actions.shape)
    return inverse if going is None else inverse.where(going, 0)


def _fill_after_end(index: Tensor, last: Tensor) -> Tensor:
    """Repeat the last state of each row to the right, so that every entry is a valid row."""
    steps = torch.arange(index.shape[1], device=index.device)
    return index.where(steps <= last[:, None], index.gather(1, last[:, None]))


def walk_static(
    env: DiscreteEnvironment[S], start: S, ask: Ask, draw: Draw, limit: int | None = None
) -> Walk[S]:
    """Walk `env.horizon` steps (at most `limit`) with all rows, noting which were still alive.

    Same distribution as `walk_ragged`, no read by the host; the store holds B (T + 1) states.
    """
    count, device = batch_size(start), device_of(start)
    rows = torch.arange(count, device=device)
    states, store = start, [clone(start)]
    live = ~env.is_terminal(states) if env.has_forced_terminals else torch.ones_like(rows) > 0
    stopped = torch.zeros_like(live)
    length = torch.zeros_like(rows)
    actions_taken = []
    steps = env.horizon if limit is None else min(limit, env.horizon)
    for time in range(steps):
        actions = draw(ask(states, rows), rows, time).where(live, 0)
        going = live
        length = length + live
        if env.stop_action is not None:
            stops = live & (actions == env.stop_action)
            stopped = stopped | stops
            going = live & ~stops
        actions_taken.append(actions)
        states = where(going, env._step(states, actions.where(going, 0)), states)
        store.append(states)
        live = going & ~env.is_terminal(states) if env.has_forced_terminals else going
    index = rows[:, None] + count * torch.arange(steps + 1, device=device)
    index = _fill_after_end(index, length - stopped.long())
    owner = rows.repeat(steps + 1)
    states, taken = cat(store), torch.stack(actions_taken, 1)
    inverse = _inverse(env, states, index, taken, length - stopped.long())
    return Walk(states, index, taken, inverse, length, stopped, owner)


def walk_whole(
    env: DiscreteEnvironment[S],
    start: S,
    listed: S,
    ask: Ask,
    draw: Draw,
    limit: int | None = None,
) -> Walk[S]:
    """`walk_static` where all states are listed by their keys, and asked about in one go.

    Args:
        env: DiscreteEnvironment, or its `Reversed` view.
        start: B states to start from.
        listed: All states in the order of their keys; they are the store.
        ask: Asked once, about all states.
        draw: Draws an action for each row.
        limit: Steps after which every row is left where it is, or None.
    """
    known: Known = ask(listed, torch.arange(batch_size(listed), device=device_of(listed)))
    walk = walk_static(env, start, lambda s, _: known.take(env.key(s)), draw, limit)
    index = env.key(walk.states)[walk.state_index]
    return replace(walk, states=listed, state_index=index, owner=index[:0, 0])


def _refuse_endless(env: DiscreteEnvironment[S], states: S) -> None:
    which = env.shown(states, 0)
    raise IllegalActionError(
        f"{env.name}: a trajectory is still going after horizon = {env.horizon} transitions, in "
        f"the state {which}. Raise `horizon`, or make `forward_mask` and `is_terminal` end it."
    )

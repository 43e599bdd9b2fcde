"""Walking a batch through an environment: two execution plans with one meaning.

*Ragged*: rows leave the batch as they finish, and equal states are stepped once. For CPUs, where
work counts and reading a tensor on the host is free. *Static*: buffers of fixed size, finished rows
step along and are ignored, nothing is read by the host. For GPUs, where launches and
synchronisation count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.env import Environment
from gflow.errors import IllegalActionError
from gflow.state import batch_size, cat, clone, device_of, take, where

S = TypeVar("S")

Choose = Callable[[int, Any, Tensor | None, Tensor], Tensor]
"""(time, U distinct live states, (L,) state of each live row or None if the same, (L,) rows)
to (L,) actions."""


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
    env: Environment[S], start: S, choose: Choose, share: Distinct | None = None
) -> Walk[S]:
    """Walk until every row has ended, dropping rows as they end.

    Args:
        env: Environment, or its `Reversed` view.
        start: B states to start from.
        choose: Draws an action for each live row.
        share: Groups equal states so that each is looked at once, or None.

    Raises:
        IllegalActionError: If a row is still going after `env.horizon` steps.
    """
    count, device = batch_size(start), device_of(start)
    rows = torch.arange(count, device=device)
    store: list[S] = []
    visits: list[tuple[Tensor, Tensor]] = []  # per time: rows, place in the store
    moves: list[tuple[Tensor, Tensor]] = []  # per time: rows, actions
    undos: list[tuple[Tensor, Tensor]] = []  # per time: rows that moved on, inverse actions
    owners: list[Tensor] = []
    size = 0

    def enter(states: S, rows: Tensor) -> tuple[S, Tensor | None, Tensor]:
        """Store the states that `rows` reached; return the live ones, and who is in which."""
        nonlocal size
        group = None
        if share is None:
            owners.append(rows)
        else:
            chosen, group = share(env.key(states))
            states = take(states, chosen)
            owners.append(rows[chosen])
        found = batch_size(states)
        place = torch.arange(size, size + found, device=device) if group is None else group + size
        store.append(states)
        visits.append((rows, place))
        size += found
        if not env.has_forced_terminals:
            return states, group, rows
        live = ~env.is_terminal(states)
        kept = live.nonzero().squeeze(1)
        if kept.shape[0] == found:
            return states, group, rows
        if group is None:
            return take(states, kept), None, rows[kept]
        number = torch.empty_like(live, dtype=torch.int64)
        number[kept] = torch.arange(kept.shape[0], device=device)
        going = live[group]
        return take(states, kept), number[group[going]], rows[going]

    level, group, rows = enter(start, rows)
    time = 0
    while rows.shape[0]:
        if time > env.horizon:
            _refuse_endless(env, level)
        actions = choose(time, level, group, rows)
        moves.append((rows, actions))
        parents = level if group is None else take(level, group)
        if env.stop_action is not None:
            going = (actions != env.stop_action).nonzero().squeeze(1)
            if going.shape[0] < rows.shape[0]:
                rows, parents, actions = rows[going], take(parents, going), actions[going]
        undos.append((rows, env.backward_action(parents, actions)))
        time += 1
        if not rows.shape[0]:
            break
        level, group, rows = enter(env._step(parents, actions), rows)
    actions_taken = _table(count, moves, device)
    inverse = _table(count, undos, device)
    index = _table(count, visits, device)
    length = torch.bincount(torch.cat([rows for rows, _ in moves]), minlength=count) if moves else (
        torch.zeros(count, dtype=torch.int64, device=device)
    )
    last = actions_taken.gather(1, (length - 1).clamp(min=0)[:, None]).squeeze(1)
    stopped = (last == env.stop_action) & (length > 0) if env.stop_action is not None else length < 0
    if index.shape[1] == actions_taken.shape[1]:  # the last ones all stopped
        index = torch.nn.functional.pad(index, (0, 1))
    index = _fill_after_end(index, length - stopped.long())
    owner = torch.cat(owners)
    return Walk(cat(store), index, actions_taken, inverse, length, stopped, owner)


def _table(count: int, entries: list[tuple[Tensor, Tensor]], device: torch.device) -> Tensor:
    """(B, T) int64 with the entries (rows, values) of each time in its column, zero elsewhere."""
    table = torch.zeros(count, max(len(entries), 1), dtype=torch.int64, device=device)
    if entries:
        sizes = torch.tensor([rows.shape[0] for rows, _ in entries], device=device)
        times = torch.arange(len(entries), device=device).repeat_interleave(sizes)
        table[torch.cat([rows for rows, _ in entries]), times] = torch.cat([v for _, v in entries])
    return table


def _fill_after_end(index: Tensor, last: Tensor) -> Tensor:
    """Repeat the last state of each row to the right, so that every entry is a valid row."""
    steps = torch.arange(index.shape[1], device=index.device)
    return index.where(steps <= last[:, None], index.gather(1, last[:, None]))


def walk_static(env: Environment[S], start: S, choose: Choose) -> Walk[S]:
    """Walk `env.horizon` steps with all rows, recording which were still alive.

    Same law as `walk_ragged`, without a read by the host; the store holds B (T + 1) states.
    """
    count, device = batch_size(start), device_of(start)
    rows = torch.arange(count, device=device)
    states, store = start, [clone(start)]
    live = ~env.is_terminal(states) if env.has_forced_terminals else torch.ones_like(rows) > 0
    stopped = torch.zeros_like(live)
    length = torch.zeros_like(rows)
    actions_taken, inverse_taken = [], []
    for time in range(env.horizon):
        actions = choose(time, states, None, rows).where(live, 0)
        going = live
        length = length + live
        if env.stop_action is not None:
            stops = live & (actions == env.stop_action)
            stopped = stopped | stops
            going = live & ~stops
        moves = actions.where(going, 0)
        inverse_taken.append(env.backward_action(states, moves).where(going, 0))
        actions_taken.append(actions)
        states = where(going, env._step(states, moves), states)
        store.append(states)
        live = going & ~env.is_terminal(states) if env.has_forced_terminals else going
    index = rows[:, None] + count * torch.arange(env.horizon + 1, device=device)
    index = _fill_after_end(index, length - stopped.long())
    owner = rows.repeat(env.horizon + 1)
    return Walk(
        cat(store),
        index,
        torch.stack(actions_taken, 1),
        torch.stack(inverse_taken, 1),
        length,
        stopped,
        owner,
    )


def _refuse_endless(env: Environment[S], states: S) -> None:
    which = env.show(take(states, torch.zeros(1, dtype=torch.int64, device=device_of(states))))[0]
    raise IllegalActionError(
        f"{env.name}: a trajectory is still going after horizon = {env.horizon} transitions, in "
        f"the state {which}. Raise `horizon`, or make `forward_mask` and `is_terminal` end it."
    )

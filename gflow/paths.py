"""Trajectories that come from elsewhere: a prover, a data set, another machine.

Nothing is stepped. States and actions are taken as they are given; what undoes an action, and where
trajectories begin and end, follows from the states.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.base import Environment
from gflow.errors import IllegalActionError, ShapeError
from gflow.state import batch_size, cat, device_of, take, tensors, tree_map
from gflow.trajectories import Trajectories

S = TypeVar("S")


def from_paths(
    env: Environment[S],
    states: S | Sequence[S],
    actions: Tensor | Sequence[Tensor] | None = None,
    length: Tensor | None = None,
    **known: Any,
) -> Trajectories[S]:
    """Finished trajectories from the source; see `Trajectories.from_paths`."""
    batch = segments(env, states, actions, length, **known)
    for name, flags, wrong in (
        ("from_source", batch.from_source, "does not begin at the source"),
        ("complete", batch.complete, "does not run to its end (the last action is no stop)"),
    ):
        if flags is not None:
            row = int((~flags).nonzero()[0])
            at = take(batch.states, batch.state_index[row : row + 1, 0])
            last = batch.select(torch.tensor([row], device=flags.device)).final_states
            shown = env.show(at if name == "from_source" else last)[0]
            raise IllegalActionError(
                f"{env.name}: path {row} {wrong}: it stands at {shown}. Give whole trajectories, "
                f"or use Trajectories.segments, for objectives that need no more (db, subtb, fm)."
            )
    return batch


def segments(
    env: Environment[S],
    states: S | Sequence[S],
    actions: Tensor | Sequence[Tensor] | None = None,
    length: Tensor | None = None,
    *,
    log_reward: Tensor | None = None,
    scores: Tensor | None = None,
    condition: Tensor | None = None,
    check: bool = True,
) -> Trajectories[S]:
    """Trajectories that begin and end anywhere; see `Trajectories.segments`."""
    if isinstance(states, list | tuple):
        store, index, actions, length = _listed(env, states, actions)
    else:
        store, index, actions, length = _padded(env, states, actions, length)
    count, longest = actions.shape
    device = length.device
    time = torch.arange(longest, device=device)
    stopped = torch.zeros(count, dtype=torch.bool, device=device)
    if env.stop_action is not None:
        stopped = actions.gather(1, length[:, None] - 1).squeeze(1) == env.stop_action
    moves = time < (length - stopped.long())[:, None]
    actions = actions.where(time < length[:, None], 0)
    rows, times = moves.nonzero(as_tuple=True)
    before, taken = take(store, index[rows, times]), actions[rows, times]
    last = take(store, index.gather(1, length[:, None]).squeeze(1))
    kind: Any = env if check and env.numbered else None
    if kind is not None:
        mask = kind.forward_mask(before)
        if env.stop_action is not None:  # the last action of a path is not among these
            mask = mask.clone()
            mask[:, env.stop_action] = False
        _check_legal(env, before, mask, taken, rows, times, "action")
        ends = stopped.nonzero().squeeze(1)
        here = take(last, ends)
        mask = kind.forward_mask(here)
        at = length[ends] - 1
        _check_legal(env, here, mask, actions[ends, at], ends, at, "stop")
    undo = env.backward_action(before, taken)
    if kind is not None and env.has_backward:
        after = take(store, index[rows, times + 1])
        _check_legal(env, after, kind.backward_mask(after), undo, rows, times, "the move back")
    complete = stopped | env.is_terminal(last) if env.has_forced_terminals else stopped
    start = env.is_initial(take(store, index[:, 0]))
    log_reward, scores = _outcome(env, last, complete, log_reward, scores, condition)
    owner = None
    if condition is not None:
        owner = torch.empty(batch_size(store), dtype=torch.int64, device=device)
        owner[index] = torch.arange(count, device=device)[:, None].expand_as(index)
    elif env.has_keys:  # equal states once
        first, group = Distinct(env.num_keys)(_keys(env, store))
        store, index = take(store, first), group[index]
    return Trajectories(
        states=store,
        state_index=index,
        actions=actions,
        backward_actions=torch.zeros_like(actions).index_put((rows, times), undo),
        length=length,
        stopped=stopped,
        log_reward=log_reward,
        scores=scores,
        condition=condition,
        owner=owner,
        complete=None if bool(complete.all()) else complete,
        from_source=None if bool(start.all()) else start,
    )


def transitions(
    env: Environment[S], before: S, actions: Tensor, after: S, **known: Any
) -> Trajectories[S]:
    """Single transitions; see `Trajectories.transitions`."""
    pairs = tree_map(lambda a, b: torch.stack([a, b], 1), before, after)
    return segments(env, pairs, actions[:, None], torch.ones_like(actions), **known)


def _listed(
    env: Environment[Any], states: Sequence[Any], actions: Any
) -> tuple[Any, Tensor, Tensor, Tensor]:
    """Store, (B, T + 1) rows in it, (B, T) actions and (B,) lengths of paths one by one."""
    if not states:
        raise ShapeError(f"{env.name}: there are no paths; give at least one.")
    sizes = [batch_size(path) for path in states]
    device = device_of(states[0])
    if actions is None:
        actions = [torch.zeros(size - 1, dtype=torch.int64, device=device) for size in sizes]
    if len(actions) != len(states):
        raise ShapeError(
            f"{env.name}: {len(states)} paths of states came with {len(actions)} of actions."
        )
    for row, (size, taken) in enumerate(zip(sizes, actions, strict=True)):
        stops = env.stop_action is not None and len(taken) and int(taken[-1]) == env.stop_action
        if (
            taken.dim() != 1
            or not len(taken)
            or size not in (len(taken) + 1, len(taken) + 1 - stops)
        ):
            raise ShapeError(
                f"{env.name}: path {row} has {size} states and actions of shape "
                f"{tuple(taken.shape)}. Give n actions, at least one, and n + 1 states; behind a "
                f"stop the last state need not be repeated."
            )
    length = torch.tensor([len(taken) for taken in actions], device=device)
    padded = torch.nn.utils.rnn.pad_sequence(list(actions), batch_first=True)
    index = _rows(torch.tensor(sizes, device=device), padded.shape[1])
    return cat(list(states)), index, _whole_numbers(env, padded), length


def _padded(
    env: Environment[Any], states: Any, actions: Any, length: Tensor | None
) -> tuple[Any, Tensor, Tensor, Tensor]:
    """The same of paths that are padded to one length; what is padded is left out."""
    parts = tensors(states)
    count, columns = parts[0].shape[:2]
    device = parts[0].device
    if actions is None:
        actions = torch.zeros(count, columns - 1, dtype=torch.int64, device=device)
    longest = actions.shape[-1]
    if length is None:
        length = torch.full((count,), longest, device=device)
    shapes = actions.shape == (count, longest) and length.shape == (count,)
    if not shapes or any(part.shape[:2] != (count, columns) for part in parts):
        raise ShapeError(
            f"{env.name}: states must be (B, T + 1, ...), `actions` (B, T) and `length` (B,), got "
            f"{', '.join(str(tuple(p.shape)) for p in parts)}, {tuple(actions.shape)} and "
            f"{tuple(length.shape)}."
        )
    actions = _whole_numbers(env, actions)
    if bool(((length < 1) | (length > longest)).any()):
        raise ShapeError(
            f"{env.name}: every length must lie in 1 ... {longest}, got {length.tolist()}."
        )
    size = length + 1
    if env.stop_action is not None:
        size = size - (actions.gather(1, length[:, None] - 1).squeeze(1) == env.stop_action).long()
    if bool((size > columns).any()):
        raise ShapeError(
            f"{env.name}: path {int((size > columns).nonzero()[0])} needs more states than the "
            f"{columns} given. Give one more than actions (behind a stop it may be missing)."
        )
    exists = torch.arange(columns, device=device) < size[:, None]
    store = tree_map(lambda part: part[exists], states)
    return store, _rows(size, longest), actions, length


def _rows(size: Tensor, longest: int) -> Tensor:
    """(B, T + 1) rows of paths of (B,) `size` states that lie one after the other."""
    time = torch.arange(longest + 1, device=size.device)
    return (size.cumsum(0) - size)[:, None] + torch.minimum(time, size[:, None] - 1)


def _whole_numbers(env: Environment[Any], actions: Tensor) -> Tensor:
    if actions.is_floating_point() or actions.dtype == torch.bool:
        raise ShapeError(f"{env.name}: actions are whole numbers, got {actions.dtype}.")
    return actions.long()


def _keys(env: Environment[Any], states: Any) -> Tensor:
    """(N,) keys of states that may be none of this environment."""
    keys = env.key(states)
    if env.num_keys is not None:
        wrong = (keys < 0) | (keys >= env.num_keys)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise IllegalActionError(
                f"{env.name}: {env.shown(states, row)} has the key {int(keys[row])}, outside "
                f"range({env.num_keys}), so it is no state of this environment. Give the states "
                f"before and after each action as the environment writes them."
            )
    return keys


def _check_legal(
    env: Environment[Any],
    states: Any,
    mask: Tensor,
    actions: Tensor,
    rows: Tensor,
    times: Tensor,
    what: str,
) -> None:
    """Refuse (M,) actions that (M, A) `mask` does not allow, naming path and time."""
    legal = (actions >= 0) & (actions < mask.shape[1])
    legal &= mask.gather(1, actions.clamp(0, mask.shape[1] - 1)[:, None]).squeeze(1)
    if bool(legal.all()):
        return
    k = int((~legal).nonzero()[0])
    where = env.show(take(states, torch.tensor([k], device=actions.device)))[0]
    raise IllegalActionError(
        f"{env.name}: {what} {int(actions[k])} of path {int(rows[k])} at time {int(times[k])} is "
        f"illegal at {where}; legal: {mask[k].nonzero().flatten().tolist()}. Give the states "
        f"before and after each action in their order; a stop comes last."
    )


def _outcome(
    env: Environment[Any],
    last: Any,
    complete: Tensor,
    log_reward: Tensor | None,
    scores: Tensor | None,
    condition: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """(B,) target log-rewards and (B, K) scores: those given, or of what is finished."""
    if log_reward is not None and log_reward.shape != complete.shape:
        raise ShapeError(
            f"{env.name}: `log_reward` must be ({len(complete)},), one per path, got "
            f"{tuple(log_reward.shape)}."
        )
    if log_reward is not None and not (env.num_scores and scores is None):
        return log_reward, scores
    rows = complete.nonzero().squeeze(1)
    if not len(rows):
        value = torch.zeros(len(complete), device=complete.device)
        known = value.new_zeros(len(complete), env.num_scores) if env.num_scores else None
        return value if log_reward is None else log_reward, known
    given = None if condition is None else condition[rows]
    found, found_scores = env.outcome(take(last, rows), given)
    if log_reward is None:
        log_reward = found.new_zeros(len(complete)).index_put((rows,), found)
    if found_scores is not None:
        empty = found_scores.new_zeros(len(complete), found_scores.shape[1])
        scores = empty.index_put((rows,), found_scores)
    return log_reward, scores

"""States of an environment under suspicion: all if there are few, else from random walks."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.masking import sample_masked
from gflow.state import batch_size, cat, take
from gflow.testing.findings import AbandonedError
from gflow.testing.probe import Probe

MOST_EDGES = 20_000
"""In random walks no more transitions than this are looked at."""


@dataclass
class Explored:
    """States that were reached, and the transitions out of them.

    Attributes:
        states: N distinct states (from walks without keys, perhaps repeated); the first is s0.
        parent: (E,) int64 rows of the parents.
        action: (E,) int64 legal actions taken, no stops.
        children: E states they led to.
        child: (E,) int64 rows of the children; empty if not exhaustive.
        exhaustive: Whether these are all states.
        strayed: Transitions whose child lies outside `feature_sizes`; not among the others.
        longest: Number of transitions of the longest trajectory seen, stops included.
    """

    states: Any
    parent: Tensor
    action: Tensor
    children: Any
    child: Tensor
    exhaustive: bool
    strayed: tuple[Any, Tensor, Any] | None
    longest: int = 0


def explore(probe: Probe, examples: int, limit: int, generator: torch.Generator) -> Explored:
    """All states if there are at most `limit` of them, else those of random walks."""
    if probe.env.has_keys:
        found = _enumerate(probe, limit)
        if found is not None:
            return found
    return _walk(probe, examples, limit, generator)


def moves(probe: Probe, states: Any) -> tuple[Tensor, Tensor]:
    """Rows and actions of all legal transitions that are not stops."""
    mask = probe.call("forward_mask", states).clone()
    if probe.env.stop_action is not None:
        mask[:, probe.env.stop_action] = False
    rows, actions = mask.nonzero(as_tuple=True)
    return rows, actions


def _enumerate(probe: Probe, limit: int) -> Explored | None:
    frontier = probe.start(1)
    known = {int(probe.call("key", frontier)[0]): 0}
    store, parts, strays = [frontier], [], []
    start = 0
    while batch_size(frontier):
        rows, actions = moves(probe, frontier)
        if not len(rows):
            break
        if len(rows) > 20 * limit:
            return None
        parents = take(frontier, rows)
        children = probe.step(parents, actions)
        inside = probe.in_range(children)
        if not bool(inside.all()):
            lost = (~inside).nonzero().squeeze(1)
            strays.append((take(parents, lost), actions[lost], take(children, lost)))
            kept = inside.nonzero().squeeze(1)
            rows, actions, children = rows[kept], actions[kept], take(children, kept)
        place, fresh = [], []
        for i, k in enumerate(probe.call("key", children).tolist()):
            if k not in known:
                known[k] = len(known)
                fresh.append(i)
            place.append(known[k])
        parts.append((rows + start, actions, children, torch.tensor(place, dtype=torch.int64)))
        if len(known) > limit:
            return None
        start += batch_size(frontier)
        frontier = take(children, torch.tensor(fresh, dtype=torch.int64))
        store.append(frontier)
    return _collected(probe, cat(store), parts, strays, exhaustive=True)


def _walk(probe: Probe, examples: int, limit: int, generator: torch.Generator) -> Explored:
    """States on uniformly random walks from the source, and back from their ends."""
    env = probe.env
    states = probe.start(examples)
    store = [probe.start(1)]
    longest, ends = 0, []
    patience = 4 * env.horizon + 64
    for time in range(patience + 1):
        mask = probe.call("forward_mask", states)
        live = mask.any(1)
        action = sample_masked(torch.zeros(mask.shape), mask, generator)
        stops = live & (action == env.stop_action) if env.stop_action is not None else ~live
        if bool((stops | ~live).any()):
            ends.append(take(states, (stops | ~live).nonzero().squeeze(1)))
            longest = max(longest, time + int(bool((stops & live).any())))
        going = (live & ~stops).nonzero().squeeze(1)
        if not len(going):
            break
        if time == patience:
            probe.findings.add(
                "never-ends",
                f"A random walk was still going after {time} transitions (horizon = "
                f"{env.horizon}), in the state {probe.show(states, int(going[0]))}.",
                "Every walk must run into a state without legal actions or into a stop: no object "
                "can be built otherwise.",
            )
            raise AbandonedError
        states = probe.step(take(states, going), action[going])
        store.append(states)
    last = cat(ends)
    store += _walk_back(probe, last, generator)
    seen = cat([store[0], last, *store[1:]])  # the ends are among those that are kept
    seen = take(seen, _some(_distinct(probe, seen), batch_size(last), limit, generator))
    rows, actions = moves(probe, seen)
    if len(rows) > MOST_EDGES:
        some = torch.randperm(len(rows), generator=generator)[:MOST_EDGES].sort().values
        rows, actions = rows[some], actions[some]
    parts, strays = [], []
    if len(rows):
        parents = take(seen, rows)
        children = probe.step(parents, actions)
        inside = probe.in_range(children)
        if not bool(inside.all()):
            lost = (~inside).nonzero().squeeze(1)
            strays.append((take(parents, lost), actions[lost], take(children, lost)))
            kept = inside.nonzero().squeeze(1)
            rows, actions, children = rows[kept], actions[kept], take(children, kept)
        parts.append((rows, actions, children, torch.zeros(0, dtype=torch.int64)))
    found = _collected(probe, seen, parts, strays, exhaustive=False)
    found.longest = longest
    return found


def _walk_back(probe: Probe, ends: Any, generator: torch.Generator) -> list[Any]:
    env, states = probe.env, ends
    store: list[Any] = []
    for time in range(env.horizon + 1):
        mask = probe.call("backward_mask", states)
        going = mask.any(1).nonzero().squeeze(1)
        if not len(going):
            return store
        if time == env.horizon:
            probe.findings.add(
                "no-path-to-source",
                f"A backward walk from an object took more than horizon = {env.horizon} steps and "
                f"is in the state {probe.show(states, int(going[0]))}.",
                "Backward moves must lead to s0 in at most `horizon` steps: check `_backstep` and "
                "`backward_mask`, or raise `horizon`.",
            )
            return store
        mask = mask[going]
        action = sample_masked(torch.zeros(mask.shape), mask, generator)
        states = probe.backstep(take(states, going), action)
        store.append(states)
    return store


def _some(rows: Tensor, ends: int, limit: int, generator: torch.Generator) -> Tensor:
    """At most `limit` of the sorted rows: the source, ends of walks, and others evenly."""
    if len(rows) <= limit:
        return rows
    first = rows[rows <= ends][: 1 + limit // 4]
    rest = rows[~torch.isin(rows, first)]
    others = rest[torch.randperm(len(rest), generator=generator)[: limit - len(first)]]
    return torch.cat([first, others.sort().values])


def _distinct(probe: Probe, states: Any) -> Tensor:
    number = torch.unique(probe.identity(states), return_inverse=True)[1]
    order = torch.arange(len(number))
    count = int(number.max()) + 1
    first = torch.full((count,), len(number)).scatter_reduce(0, number, order, "amin")
    return first.sort().values


def _collected(
    probe: Probe, states: Any, parts: list[Any], strays: list[Any], exhaustive: bool
) -> Explored:
    empty = torch.zeros(0, dtype=torch.int64)
    if parts:
        parent, action, children, child = zip(*parts, strict=True)
        columns = (torch.cat(parent), torch.cat(action), cat(list(children)), torch.cat(child))
    else:
        columns = (empty, empty, take(states, empty), empty)
    strayed = None
    if strays:
        before, actions, after = zip(*strays, strict=True)
        strayed = (cat(list(before)), torch.cat(actions), cat(list(after)))
    return Explored(states, *columns, exhaustive, strayed)

"""Rules about keys: in their range, equal for equal states, different for different ones."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.state import batch_size, equal_rows, take
from gflow.testing.discrete.explore import Explored, moves
from gflow.testing.findings import AbandonedError
from gflow.testing.probe import Probe, row_numbers

MOST_LISTED = 1 << 18
"""Longer lists of all states are not looked at; samplers do not read them either."""


def check_keys(probe: Probe, found: Explored) -> None:
    """Keys lie in their range, are equal for equal states and different for different ones."""
    env, findings = probe.env, probe.findings
    if not env.has_keys:
        return
    keys = probe.call("key", found.states)
    if env.num_keys is not None:
        out = (keys < 0) | (keys >= env.num_keys)
        if bool(out.any()):
            row = int(out.nonzero()[0])
            findings.add(
                "key-out-of-range",
                f"The key of {probe.show(found.states, row)} is {int(keys[row])}, and num_keys = "
                f"{env.num_keys}.",
                "Keys must lie in range(num_keys): tables are that long. Correct `key`, or set "
                "num_keys = None if the range is not known.",
            )
            raise AbandonedError
    numbers = row_numbers(found.states)
    lowest, highest = _extremes(numbers, keys)
    if bool((lowest != highest)[numbers].any()):
        row = int((lowest != highest)[numbers].nonzero()[0])
        findings.add(
            "key-not-a-function",
            f"Equal states {probe.show(found.states, row)} have the keys "
            f"{int(lowest[numbers[row]])} and {int(highest[numbers[row]])}.",
            "`key` must depend on the state alone.",
        )
        raise AbandonedError
    _check_collisions(probe, found)


def check_all_states(probe: Probe, found: Explored) -> None:
    """`all_states` lists the states in the order of their keys."""
    env, findings = probe.env, probe.findings
    if type(env).all_states is DiscreteEnvironment.all_states:
        return
    if env.num_keys is not None and env.num_keys > MOST_LISTED:
        return
    try:
        listed = env.all_states()
    except Exception as error:
        findings.add(
            "raises",
            f"`all_states` raised {type(error).__name__}: {error}.",
            "Return the states with keys 0 ... num_keys - 1, or None.",
        )
        return
    if listed is None:
        return
    if env.num_keys is None:
        findings.add(
            "wrong-all-states",
            f"`all_states` lists {batch_size(listed)} states, and num_keys is None.",
            "Set num_keys to their number: the list is read by key.",
        )
        return
    probe.expect_states("all_states", listed, env.num_keys)
    keys = probe.call("key", found.states)
    at = take(listed, keys)
    got = probe.call("key", at)
    wrong = got != keys
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        findings.add(
            "wrong-all-states",
            f"`all_states` has {probe.show(at, row)} in row {int(keys[row])}, which is the key of "
            f"{probe.show(found.states, row)}; the key of the state listed there is "
            f"{int(got[row])}.",
            "Row k must be the state with key k: samplers read the list by key, and would follow "
            "the policy of other states. Order the list by key, or do not define `all_states`.",
        )
        return
    for row in (~equal_rows(at, found.states)).nonzero().squeeze(1)[:64].tolist():
        here, there = take(found.states, torch.tensor([row])), take(at, torch.tensor([row]))
        for method in ("forward_mask", "backward_mask", "encode"):
            one, other = probe.call(method, here), probe.call(method, there)
            if isinstance(one, Tensor) and not torch.equal(one, other):
                findings.add(
                    "wrong-all-states",
                    f"`all_states` has {probe.show(at, row)} in the place of "
                    f"{probe.show(found.states, row)}: the keys agree and `{method}` differs.",
                    "Row k must be the state with key k, with all its fields.",
                )
                return


def _check_collisions(probe: Probe, found: Explored) -> None:
    """States of one key may be written differently only if they behave alike."""
    if not len(found.parent):
        return
    keys = probe.call("key", found.states)
    order = torch.argsort(keys)
    childs = probe.call("key", found.children).contiguous()
    place = order[torch.searchsorted(keys[order], childs).clamp(max=len(keys) - 1)]
    differ = (keys[place] == childs) & ~equal_rows(found.children, take(found.states, place))
    for row in differ.nonzero().squeeze(1)[:64].tolist():
        one = take(found.children, torch.tensor([row]))
        two = take(found.states, place[row : row + 1])
        for what, describe in _BEHAVIOUR.items():
            first, second = describe(probe, one), describe(probe, two)
            if first != second:
                probe.findings.add(
                    "key-collision",
                    f"{probe.show(one, 0)} and {probe.show(two, 0)} have the same key, "
                    f"{int(childs[row])}, and are different states: {what} are {first} and "
                    f"{second}.",
                    "`key` must differ for different states. (States that are the same object may "
                    "share one.) If there are too many states for 62 bits: return "
                    "`gflow.environment.keys.hash_rows(states)`, or define no `key`.",
                )
                raise AbandonedError


def _reachable(direction: str) -> Callable[[Probe, Any], list[int]]:
    def describe(probe: Probe, state: Any) -> list[int]:
        if direction == "forward":
            rows, actions = moves(probe, state)
            step = "_step"
        else:
            rows, actions = probe.call("backward_mask", state).nonzero(as_tuple=True)
            step = "_backstep"
        if not len(rows):
            return []
        keys: list[int] = probe.call("key", probe.call(step, take(state, rows), actions)).tolist()
        return sorted(keys)

    return describe


def _score(probe: Probe, state: Any) -> float | None:
    if not bool(probe.env.can_end(state)[0]) or probe.env.condition_dim:
        return None
    value = probe.reward(state)
    return round(float(value.reshape(-1)[0]), 4) if isinstance(value, Tensor) else None


_BEHAVIOUR: dict[str, Callable[[Probe, Any], Any]] = {
    "the keys of their parents": _reachable("backward"),
    "the keys of their children": _reachable("forward"),
    "whether they can end": lambda probe, state: bool(probe.env.can_end(state)[0]),
    "their log-rewards": _score,
}


def _extremes(group: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    size = int(group.max()) + 1
    low = torch.full((size,), torch.iinfo(torch.int64).max).scatter_reduce(0, group, value, "amin")
    high = torch.full((size,), torch.iinfo(torch.int64).min).scatter_reduce(0, group, value, "amax")
    return low, high

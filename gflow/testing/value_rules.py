"""Rules about values: sizes, s0, keys, rewards, closed forms."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.masking import masked_log_softmax
from gflow.state import batch_size, equal_rows, take
from gflow.testing.explore import Explored, moves
from gflow.testing.findings import AbandonedError, Findings
from gflow.testing.probe import Probe, row_numbers

ENERGIES = 256
"""Energies of so many states are looked at: some rewards are slow."""

CLOSE = 1e-4
"""Closed forms may differ from sums by this much, relatively: rewards may be float32."""


def check_attributes(env: DiscreteEnvironment[Any], findings: Findings) -> None:
    """Sizes are positive and the stop action is the last one."""
    for name in ("num_actions", "num_backward_actions", "horizon"):
        value = getattr(env, name, None)
        if not isinstance(value, int) or value < 1:
            findings.add(
                "attributes",
                f"`{name}` is {value!r}.",
                f"Set `self.{name}` to a positive int in `__init__`.",
            )
    if not hasattr(env, "reward"):
        findings.add("attributes", "`reward` is not set.", "Set `self.reward` to a LogReward.")
    if findings:
        raise AbandonedError
    if env.stop_action is not None and env.stop_action != env.num_actions - 1:
        findings.add(
            "stop-index",
            f"stop_action = {env.stop_action}, and there are {env.num_actions} actions.",
            "The stop action is the last forward action: num_actions - 1.",
        )
        raise AbandonedError
    for promise, value in (("every_state_stops", True), ("has_forced_terminals", False)):
        if env.stop_action is None and getattr(env, promise) is value:
            findings.add(
                "broken-promise",
                f"{promise} is {value}, and there is no stop action.",
                "Without `stop_action` objects end by force: every_state_stops = False and "
                "has_forced_terminals = True.",
            )


def check_source(probe: Probe) -> None:
    """`initial` gives equal copies of one state that is initial and has no parent."""
    env, findings = probe.env, probe.findings
    try:
        states, one = env.initial(3, "cpu"), env.initial(1)
    except Exception as error:
        findings.add(
            "raises",
            f"`initial` raised {type(error).__name__}: {error}.",
            "`initial(batch_size, device)` must work for every batch size.",
        )
        raise AbandonedError from error
    probe.expect_states("initial", states, 3)
    probe.expect_states("initial", one, 1)
    if not bool(equal_rows(states, take(one, torch.zeros(3, dtype=torch.int64))).all()):
        findings.add(
            "initial-state",
            f"`initial(3)` gives {[probe.show(states, row) for row in range(3)]}, "
            f"`initial(1)` gives {probe.show(one, 0)}.",
            "All initial states must be the same s0.",
        )
    if not bool(probe.call("is_initial", states).all()):
        findings.add(
            "initial-state",
            f"`is_initial` is false for s0 = {probe.show(one, 0)}.",
            "It must be true there.",
        )
    back = probe.call("backward_mask", one)[0]
    if bool(back.any()):
        findings.add(
            "initial-state",
            f"s0 = {probe.show(one, 0)} allows the backward actions "
            f"{back.nonzero().flatten().tolist()}.",
            "Nothing leads into s0: forbid all backward actions there.",
        )
    if bool(probe.call("is_terminal", one).any()):
        findings.add(
            "initial-state",
            f"s0 = {probe.show(one, 0)} is terminal: nothing can be built.",
            "Check `is_terminal`.",
        )
    if not bool(probe.in_range(one).all()):
        findings.add(
            "encode-out-of-range",
            f"s0 is encoded as {env.encode(one)[0].tolist()}, outside feature_sizes = "
            f"{env.feature_sizes}.",
            "Column k of `encode` must lie in range(feature_sizes[k]).",
        )
        raise AbandonedError
    try:
        lines: Any = env.show(states)
    except Exception as error:
        lines = f"{type(error).__name__}: {error}"
    if not (isinstance(lines, list) and len(lines) == 3):
        findings.add(
            "shape", f"`show` gave {lines!r} for 3 states.", "Return one string per state."
        )


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


def _check_collisions(probe: Probe, found: Explored) -> None:
    """States of one key may be written differently only if they behave alike."""
    if not len(found.parent):
        return
    keys = probe.call("key", found.states)
    order = torch.argsort(keys)
    childs = probe.call("key", found.children)
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
                    "`key` must differ for different states. (States may be written in several "
                    "ways under one key only if they are the same object.)",
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
    value = probe.reward(state, None)
    return round(float(value.reshape(-1)[0]), 4) if isinstance(value, Tensor) else None


_BEHAVIOUR: dict[str, Callable[[Probe, Any], Any]] = {
    "the keys of their parents": _reachable("backward"),
    "the keys of their children": _reachable("forward"),
    "whether they can end": lambda probe, state: bool(probe.env.can_end(state)[0]),
    "their log-rewards": _score,
}


def check_reward(probe: Probe, found: Explored, condition: Tensor | None) -> None:
    """One finite floating-point log-reward per object, whatever the batch."""
    env, findings = probe.env, probe.findings
    rows = env.can_end(found.states).nonzero().squeeze(1)[:1024]
    if not len(rows):
        return
    objects = take(found.states, rows)
    value = probe.reward(objects, condition)
    if not isinstance(value, Tensor) or tuple(value.shape) != (len(rows),):
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        findings.add(
            "reward-shape",
            f"The reward {env.reward!r} returned {got} for {len(rows)} objects.",
            f"Return one log-reward per object, shape ({len(rows)},): sum or squeeze the last "
            f"axis.",
        )
        return
    if not value.is_floating_point():
        findings.add(
            "reward-shape",
            f"The reward {env.reward!r} returned {value.dtype}.",
            "Log-rewards are floating-point numbers.",
        )
        return
    bad = ~value.isfinite()
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        findings.add(
            "reward-not-finite",
            f"log R = {float(value[row])} for {probe.show(objects, row)} ({int(bad.sum())} of "
            f"{len(rows)} objects).",
            "NaN comes from the log of a negative number or 0/0, -inf from a reward of zero: give "
            "such objects a small positive reward, or make them unreachable.",
        )
        return
    some = torch.arange(len(rows))[:16].flip(0)
    given = value[some]
    again = probe.reward(take(objects, some), condition)
    single = torch.cat([probe.reward(take(objects, i[None]), condition).reshape(1) for i in some])
    for other, how in ((again, "in another batch"), (single, "alone")):
        wrong = ~torch.isclose(other, given, rtol=1e-4, atol=1e-5)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            findings.add(
                "batch-dependence",
                f"The log-reward of {probe.show(take(objects, some), row)} is "
                f"{float(given[row]):.6g} in one batch and {float(other[row]):.6g} {how}.",
                "A reward must depend on the object alone: no normalisation over the batch, no "
                "randomness.",
            )
            return
    symmetry = probe.call("log_symmetry", objects)
    if symmetry is not None and not bool(symmetry.isfinite().all()):
        findings.add(
            "reward-not-finite", "`log_symmetry` is not finite.", "It is the log of a count >= 1."
        )


def check_energies(probe: Probe, found: Explored, condition: Tensor | None) -> None:
    """Where unfinished objects have energies, they are finite and those of objects are -log R."""
    env, findings = probe.env, probe.findings
    if not env.has_partial:
        return
    states = take(found.states, torch.arange(batch_size(found.states))[:ENERGIES])
    count = batch_size(states)
    given = None if condition is None else condition.expand(count, -1)
    try:
        value = env.partial_log_reward(states, given)
    except Exception as error:
        findings.add(
            "energies",
            f"`partial_log_reward` raised {type(error).__name__}: {error}",
            "A reward with `has_partial` gives every state a finite log-reward; without it "
            "forward-looking objectives are refused.",
        )
        return
    rows = env.can_end(states).nonzero().squeeze(1)
    if not len(rows):
        return
    objects = take(states, rows)
    wanted = env.log_reward(objects, None if given is None else given[rows])
    wrong = ~torch.isclose(value[rows], wanted.to(value.dtype), rtol=1e-4, atol=1e-5)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        findings.add(
            "energies",
            f"`partial_log_reward` is {float(value[rows][row]):.6g} for the finished object "
            f"{probe.show(objects, row)}, whose log R is {float(wanted[row]):.6g}.",
            "The energies of unfinished objects may be anything, those of objects are -log R: "
            "apply the same transforms (clipping, tempering) to both.",
        )


def check_closed_forms(probe: Probe, found: Explored) -> None:
    """`log_partition` and `max_entropy_logits` agree with sums over all states."""
    env, findings, states = probe.env, probe.findings, found.states
    if not found.exhaustive:
        return
    claimed = env.log_partition()
    if claimed is not None and not env.condition_dim:
        objects = env.can_end(states).nonzero().squeeze(1)
        exact = float(probe.reward(take(states, objects), None).double().logsumexp(0))
        if not abs(claimed - exact) <= CLOSE * max(1.0, abs(exact)):
            findings.add(
                "wrong-log-partition",
                f"`log_partition` is {claimed:.6g}, and the log of the sum of the rewards of the "
                f"{len(objects)} objects is {exact:.6g}.",
                "Correct the closed form, or return None.",
            )
    logits = probe.call("max_entropy_logits", states)
    if logits is None or env.log_symmetry(states) is not None:
        return
    count = _log_ways(found)
    mask = probe.call("backward_mask", states)
    rows, undo = mask.nonzero(as_tuple=True)
    if not len(rows):
        return
    log_prob = masked_log_softmax(logits.double(), mask)[rows, undo]
    keys = probe.call("key", states)
    order = torch.argsort(keys)
    parents = probe.call("key", probe.backstep(take(states, rows), undo))
    place = order[torch.searchsorted(keys[order], parents)]
    # Several backward actions may lead to one parent: their probabilities add up.
    group: Tensor = torch.unique(rows * len(keys) + place, return_inverse=True)[1]
    total = log_prob.new_zeros(int(group.max()) + 1).index_add(0, group, log_prob.exp())[group]
    expected = (count[place] - count[rows]).exp()
    wrong = ~((total - expected).abs() <= CLOSE)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        findings.add(
            "wrong-max-entropy-logits",
            f"They give the parent {probe.show(states, int(place[at]))} of "
            f"{probe.show(states, int(rows[at]))} probability {float(total[at]):.4f}; "
            f"n(parent)/n(state) is {float(expected[at]):.4f}, n counting ways from s0.",
            "Return log n(parent) up to a constant per row, or do not define the method.",
        )


def _log_ways(found: Explored) -> Tensor:
    """(N,) float64 log of the number of ways from s0, equal actions counted once."""
    size = batch_size(found.states)
    edges = torch.unique(torch.stack([found.parent, found.child], 1), dim=0)
    parent, child = edges.unbind(1)
    start = torch.zeros(size, dtype=torch.float64)
    start[0] = 1
    ways = start
    while True:  # as many rounds as the longest way is long
        more = start.index_add(0, child, ways[parent])
        if torch.equal(more, ways):
            return ways.log()
        ways = more


def _extremes(group: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    size = int(group.max()) + 1
    low = torch.full((size,), torch.iinfo(torch.int64).max).scatter_reduce(0, group, value, "amin")
    high = torch.full((size,), torch.iinfo(torch.int64).min).scatter_reduce(0, group, value, "amax")
    return low, high

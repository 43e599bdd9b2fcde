"""Rules about moves: masks, steps, moves back, equivalent actions."""

from typing import Any

import torch
from torch import Tensor

from gflow.state import take
from gflow.testing.discrete.explore import Explored
from gflow.testing.findings import Findings
from gflow.testing.probe import Probe

EXPLAINED = 16
"""Of the transitions that fail, so many are explained: they may fail for different reasons."""


def check_strays(probe: Probe, found: Explored) -> None:
    """Transitions that leave the range of features: is the mask too wide or the code too small?"""
    if found.strayed is None:
        return
    before, actions, after = found.strayed
    env = probe.env
    code = env.encode(take(after, torch.tensor([0])))[0].tolist()
    seen = (
        f"In {probe.show(before, 0)} the legal action {int(actions[0])} leads to "
        f"{probe.show(after, 0)}, encoded as {code}, outside feature_sizes = {env.feature_sizes}"
    )
    wide = False
    if env.has_keys:
        key = probe.call("key", after)
        known = probe.call("key", found.states)
        clash = torch.isin(key, known)
        beyond = torch.zeros_like(clash)
        if env.num_keys is not None:
            beyond = (key < 0) | (key >= env.num_keys)
        wide = bool((clash | beyond).any())
    if wide:
        probe.findings.add(
            "forward-mask-too-wide",
            f"{seen}, and its key is out of range or that of another state.",
            "It is no state of this environment: forbid the action there in `forward_mask`.",
        )
    else:
        probe.findings.add(
            "encode-out-of-range",
            f"{seen}.",
            "Column k of `encode` must lie in range(feature_sizes[k]). If the state itself should "
            "not exist, `forward_mask` is too wide; else correct `encode` or `feature_sizes`.",
        )


def check_undoing(probe: Probe, found: Explored) -> None:
    """Every legal forward action must be undone by the backward action that is declared."""
    if not len(found.parent):
        return
    env, findings = probe.env, probe.findings
    parents, children = take(found.states, found.parent), found.children
    undo = probe.call("backward_action", parents, found.action)
    loop = probe.same(parents, children)
    if bool(loop.any()):
        row = int(loop.nonzero()[0])
        findings.add(
            "forward-mask-too-wide",
            f"In {probe.show(parents, row)} the legal action {int(found.action[row])} leads to the "
            f"same state.",
            "Forbid in `forward_mask` what changes nothing: the graph must be acyclic. (If it does "
            "change the state, `key` does not see it.)",
        )
        _forget(found, loop)  # its consequences are not worth a finding each
        parents, children = take(found.states, found.parent), found.children
        undo = undo[~loop]
        if not len(undo):
            return
    if not env.has_backward:
        return
    inside = (undo >= 0) & (undo < env.num_backward_actions)
    if not bool(inside.all()):
        row = int((~inside).nonzero()[0])
        _wrong_map(
            findings,
            "backward_action",
            probe.show(parents, row),
            int(found.action[row]),
            int(undo[row]),
            f"a number in range({env.num_backward_actions})",
        )
        return
    legal = probe.call("backward_mask", children).gather(1, undo[:, None]).squeeze(1)
    good = legal.clone()
    rows = legal.nonzero().squeeze(1)
    if len(rows):
        back = probe.backstep(take(children, rows), undo[rows])
        good[rows] = probe.same(back, take(parents, rows))
    for row in (~good).nonzero().squeeze(1)[:EXPLAINED].tolist():
        at = torch.tensor([row])
        s, c = take(parents, at), take(children, at)
        a, b = int(found.action[row]), int(undo[row])
        seen = f"Action {a} leads from {probe.show(s, 0)} to {probe.show(c, 0)}"
        others = _matching(probe, "backward_mask", "_backstep", c, s)
        if not bool(probe.call("backward_mask", c).any()):
            findings.add(
                "no-parent",
                f"{seen}, which allows no backward action.",
                "`backward_mask` may be empty at s0 only: allow every move back to a parent.",
            )
        elif others:
            _wrong_map(
                findings,
                "backward_action",
                probe.show(s, 0),
                a,
                b,
                f"{others[0]}, which leads back from {probe.show(c, 0)}",
            )
        elif bool(legal[row]):
            got = probe.show(probe.backstep(c, undo[at]), 0)
            findings.add(
                "wrong-backstep",
                f"{seen}, and undoing it there by backward action {b} leads to {got}; no other "
                f"legal backward action leads back either.",
                "`_backstep(_step(s, a), backward_action(s, a))` must be s: one of `_step` and "
                "`_backstep` computes another state than the other thinks.",
            )
        elif _leads(probe, "_backstep", c, b, s):
            findings.add(
                "backward-mask-too-narrow",
                f"{seen}; backward action {b} there would lead back, and `backward_mask` forbids "
                f"it.",
                "`backward_mask` must allow every move back to a parent.",
            )
        else:
            findings.add(
                "forward-mask-too-wide",
                f"{seen}, which does not know that parent: none of its legal backward actions "
                f"leads back, nor does the declared one, {b}.",
                "If that move should not exist, forbid it in `forward_mask`; else let "
                "`backward_mask` and `_backstep` lead back.",
            )


def check_parents(probe: Probe, found: Explored) -> None:
    """Every legal backward action must lead to a parent from which a legal action leads here."""
    env, findings = probe.env, probe.findings
    mask = probe.call("backward_mask", found.states)
    rows, undo = mask.nonzero(as_tuple=True)
    if not len(rows):
        return
    states = take(found.states, rows)
    parents = probe.backstep(states, undo)
    redo = probe.call("forward_action", states, undo)
    moves = env.num_actions - (env.stop_action is not None)
    inside = (redo >= 0) & (redo < env.num_actions) & (redo != env.stop_action)
    if not bool(inside.all()):
        row = int((~inside).nonzero()[0])
        _wrong_map(
            findings,
            "forward_action",
            probe.show(states, row),
            int(undo[row]),
            int(redo[row]),
            f"a number in range({moves}), not the stop",
        )
        return
    known = torch.ones(len(rows), dtype=torch.bool)
    if found.exhaustive and found.strayed is None:
        known = torch.isin(probe.call("key", parents), probe.call("key", found.states))
    legal = probe.call("forward_mask", parents).gather(1, redo[:, None]).squeeze(1)
    good = legal.clone()
    there = legal.nonzero().squeeze(1)
    if len(there):
        again = probe.step(take(parents, there), redo[there])
        good[there] = probe.same(again, take(states, there))
    for row in (~(good & known)).nonzero().squeeze(1)[:EXPLAINED].tolist():
        at = torch.tensor([row])
        s, p = take(states, at), take(parents, at)
        a, b = int(redo[row]), int(undo[row])
        seen = f"Backward action {b} leads from {probe.show(s, 0)} to {probe.show(p, 0)}"
        others = _matching(probe, "forward_mask", "_step", p, s, skip=env.stop_action)
        inside_range = bool(probe.in_range(p))
        if good[row] and inside_range:
            findings.add(
                "unreachable-parent",
                f"{seen}, which cannot be reached from s0 by legal actions.",
                "Either `backward_mask` allows too much, or `forward_mask` forbids a state that "
                "should exist.",
            )
        elif others and inside_range:
            _wrong_map(
                findings,
                "forward_action",
                probe.show(s, 0),
                b,
                a,
                f"{others[0]}, which leads there from {probe.show(p, 0)}",
            )
        elif bool(legal[row]) and inside_range:
            got = probe.show(probe.step(p, redo[at]), 0)
            findings.add(
                "wrong-backstep",
                f"{seen}, from where forward action {a} leads to {got}; no other legal action "
                f"leads to the first state either.",
                "`_step(_backstep(s, b), forward_action(s, b))` must be s: one of `_step` and "
                "`_backstep` computes another state than the other thinks.",
            )
        elif (
            bool(known[row])
            and inside_range
            and not bool(probe.call("is_terminal", p))
            and _leads(probe, "_step", p, a, s)
        ):
            findings.add(
                "forward-mask-too-narrow",
                f"{seen}, from where action {a} would lead to the first state, and `forward_mask` "
                f"forbids it.",
                "`forward_mask` must allow what `backward_mask` can undo: allow the action there, "
                "or forbid the move back.",
            )
        else:
            findings.add(
                "backward-mask-too-wide",
                f"{seen}, "
                + (
                    "from where no legal action leads to the first state."
                    if inside_range
                    else "which is encoded outside `feature_sizes`."
                ),
                "`backward_mask` must allow moves to parents only.",
            )


def check_equivalent_actions(probe: Probe, found: Explored) -> None:
    """Actions with one child, and backward actions with one parent, must be declared."""
    env = probe.env
    declared = env.log_symmetry(take(found.states, torch.tensor([0]))) is not None
    if len(found.parent):
        _check_classes(
            probe, found.states, found.parent, found.action, found.children, "forward", declared
        )
    rows, undo = probe.call("backward_mask", found.states).nonzero(as_tuple=True)
    if len(rows):
        parents = probe.backstep(take(found.states, rows), undo)
        _check_classes(probe, found.states, rows, undo, parents, "backward", declared)


# ---------------------------------------------------------------------- helpers


def _forget(found: Explored, edges: Tensor) -> None:
    kept = (~edges).nonzero().squeeze(1)
    found.parent, found.action = found.parent[kept], found.action[kept]
    found.children = take(found.children, kept)
    found.child = found.child[kept] if found.exhaustive else found.child


def _check_classes(
    probe: Probe, states: Any, row: Tensor, action: Tensor, reached: Any, side: str, declared: bool
) -> None:
    env, findings = probe.env, probe.findings
    method = f"{side}_classes"
    what = "child" if side == "forward" else "parent"
    plural = "children" if side == "forward" else "parents"
    order = torch.argsort(row * (int(action.max()) + 1) + action)
    pairs = torch.stack([row, probe.identity(reached)], 1)[order]
    group: Tensor = torch.unique(pairs, dim=0, return_inverse=True)[1]
    first = action.new_full((int(group.max()) + 1,), int(action.max()) + 1)
    expected = torch.empty_like(action)
    expected[order] = first.scatter_reduce(0, group, action[order], "amin")[group]
    classes = probe.call(method, states)
    if classes is None:
        wrong = expected != action
        if bool(wrong.any()) and not declared:
            at = int(wrong.nonzero()[0])
            kind = "" if side == "forward" else "backward "
            findings.add(
                f"duplicate-{plural}",
                f"In {probe.show(states, int(row[at]))} the {kind}actions {int(expected[at])} and "
                f"{int(action[at])} lead to the same {what}, {probe.show(reached, at)}.",
                f"Declare it with `{method}`, so that the engine sums over equal actions; or "
                f"forbid one of them. Left alone, objects with more labellings are "
                f"sampled too often. (Environments that distinguish labels on "
                f"purpose define `log_symmetry`.)",
            )
        return
    got = classes[row, action]
    wrong = got != expected
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        findings.add(
            "wrong-classes",
            f"`{method}` puts action {int(action[at])} of {probe.show(states, int(row[at]))} into "
            f"class {int(got[at])}; the first legal action with the same {what} is "
            f"{int(expected[at])}.",
            f"Label each legal action with the first *legal* action that has the same {what}, "
            f"itself included.",
        )
    stop = env.stop_action
    if side == "forward" and stop is not None:
        legal = probe.call("forward_mask", states)
        shared = (classes == stop) & legal
        shared[:, stop] = legal[:, stop] & (classes[:, stop] != stop)
        if bool(shared.any()):
            at = int(shared.any(1).nonzero()[0])
            findings.add(
                "wrong-classes",
                f"`forward_classes` puts the stop action and a move of {probe.show(states, at)} "
                f"into one class.",
                "The stop action is a class of its own.",
            )


def _wrong_map(
    findings: Findings, method: str, state: str, given: int, got: int, right: str
) -> None:
    inverse = "forward" if method == "backward_action" else "backward"
    findings.add(
        "wrong-action-map",
        f"`{method}` says that {inverse} action {given} of {state} belongs to {got}; it must be "
        f"{right}.",
        f"Correct `{method}`. It is called with the state *before* the {inverse} action is taken.",
    )


def _matching(
    probe: Probe, mask: str, step: str, state: Any, goal: Any, skip: int | None = None
) -> list[int]:
    """Legal actions of one state that lead to another."""
    legal = probe.call(mask, state)[0].clone()
    if skip is not None:
        legal[skip] = False
    actions = legal.nonzero().squeeze(1)
    if not len(actions):
        return []
    row = torch.zeros_like(actions)
    hit = probe.same(probe.call(step, take(state, row), actions), take(goal, row))
    found: list[int] = actions[hit].tolist()
    return found


def _leads(probe: Probe, step: str, state: Any, action: int, goal: Any) -> bool:
    """Whether an action that may be illegal leads from one state to another."""
    out = probe.attempt(step, state, torch.tensor([action]))
    try:
        return out is not None and bool(probe.same(out, goal)[0])
    except Exception:
        return False

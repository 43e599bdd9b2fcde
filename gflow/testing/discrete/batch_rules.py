"""Rules about batches: rows do not touch each other, and illegal rows do no harm."""

from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, take, tensors
from gflow.testing.discrete.explore import Explored
from gflow.testing.probe import Probe


def check_batches(probe: Probe, found: Explored, generator: torch.Generator) -> None:
    """Each row's answer depends on that row alone, and is the same when asked again."""
    count = batch_size(found.states)
    rows = torch.randperm(count, generator=generator)[:12]
    states = take(found.states, rows)
    turn = torch.arange(len(rows)).flip(0)
    methods = ["forward_mask", "backward_mask", "is_terminal", "is_initial"]
    methods += ["forward_classes", "backward_classes", "log_symmetry", "encode"]
    methods += ["key"] if probe.env.has_keys else []
    for method in methods:
        _check_batch(probe, method, states, [], turn)
    if len(found.parent):
        some = torch.randperm(len(found.parent), generator=generator)[:12]
        turn = torch.arange(len(some)).flip(0)
        states, actions = take(found.states, found.parent[some]), found.action[some]
        for method in ("_step", "backward_action"):
            _check_batch(probe, method, states, [actions], turn)
    at, undo = probe.call("backward_mask", found.states).nonzero(as_tuple=True)
    if len(at):
        some = torch.randperm(len(at), generator=generator)[:12]
        turn = torch.arange(len(some)).flip(0)
        for method in ("_backstep", "forward_action"):
            _check_batch(probe, method, take(found.states, at[some]), [undo[some]], turn)


def _check_batch(probe: Probe, method: str, states: Any, args: list[Tensor], turn: Tensor) -> None:
    out = probe.call(method, states, *args)
    try:
        parts = tensors(out)
    except TypeError:  # None, or features of a kind of their own
        return

    def compare(other: Any, expected: list[Tensor]) -> bool:
        return all(
            torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5, equal_nan=True)
            for a, b in zip(tensors(other), expected, strict=True)
        )

    if not compare(probe.call(method, states, *args), parts):
        probe.findings.add(
            "not-deterministic",
            f"`{method}` gave two answers to the same {len(turn)} states.",
            "Environments hold no state and no randomness of their own.",
        )
        return
    good = True
    for row in turn.tolist():  # alone, and as the first of the batch
        for at in (torch.tensor([row]), torch.roll(turn, row + 1)):
            answer = probe.call(method, take(states, at), *[a[at] for a in args])
            good = good and compare(answer, [p[at] for p in parts])
    if not good:
        probe.findings.add(
            "batch-dependence",
            f"`{method}` answers otherwise for a state when the batch around it changes, such as "
            f"for {probe.show(states, 0)}.",
            "Each row of the result must depend on that row of the states (and actions) only.",
        )


def check_illegal_actions(probe: Probe, found: Explored) -> None:
    """No method may raise for an action that is illegal in a row: the result is thrown away."""
    env = probe.env
    for direction, methods, size in (
        ("forward", ("_step", "backward_action"), env.num_actions),
        ("backward", ("_backstep", "forward_action"), env.num_backward_actions),
    ):
        mask = probe.call(f"{direction}_mask", found.states).clone()
        if direction == "forward" and env.stop_action is not None:
            mask[:, env.stop_action] = True
        rows, actions = (~mask).nonzero(as_tuple=True)
        some = torch.arange(len(rows))[:: max(1, len(rows) // 2048)]
        if not len(some):
            continue
        states, taken = take(found.states, rows[some]), actions[some]
        for method in methods:
            try:
                getattr(env, method)(states, taken)
            except Exception as error:
                probe.findings.add(
                    "illegal-action-raises",
                    f"`{method}` raised {type(error).__name__}: {error} for {direction} actions "
                    f"that are illegal in their rows, such as {int(taken[0])} of {size} in "
                    f"{probe.show(found.states, int(rows[some[0]]))}.",
                    "On a GPU finished rows step along with the others and the result is thrown "
                    "away: return anything, e.g. clamp indices. Checks belong to `step`, which "
                    "has them.",
                )

"""Rules about where trajectories start, for environments of either kind."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.state import equal_rows, take
from gflow.testing.findings import AbandonedError
from gflow.testing.probe import Probe


def sources(probe: Probe) -> tuple[Any, Any]:
    """Three sources and one, for one condition: copies of one state.

    Raises:
        AbandonedError: If there are none.
    """
    env = probe.env
    reads = probe.condition is not None and env.source_reads_condition
    name = "start" if reads else "initial"
    try:
        states, one = probe.start(3), probe.start(1)
    except Exception as error:
        given = "" if not reads else f" for the condition {probe.shown_condition}"
        probe.findings.add(
            "raises",
            f"`{name}` raised {type(error).__name__}: {error}{given}.",
            "`initial(batch_size, device)` must work for every batch size. Pass a condition that "
            "makes sense: check_env(env, condition=condition).",
        )
        raise AbandonedError from error
    probe.expect_states(name, states, 3)
    probe.expect_states(name, one, 1)
    if not bool(equal_rows(states, take(one, torch.zeros(3, dtype=torch.int64))).all()):
        advice = "All initial states must be the same s0."
        if env.source_reads_condition and not reads:
            advice = (
                "Which source is meant? Say it: check_env(env, condition=condition), (1, C), which "
                "`start` is then given."
            )
        probe.findings.add(
            "initial-state",
            f"`{name}(3)` gives {[probe.show(states, row) for row in range(3)]}, "
            f"`{name}(1)` gives {probe.show(one, 0)}.",
            advice,
        )
    return states, one


def check_conditions(probe: Probe) -> None:
    """`source_reads_condition` says whether `start` reads its condition."""
    env, findings = probe.env, probe.findings
    own = type(env).start is not Environment.start
    if env.source_reads_condition and not own:
        findings.add(
            "source-reads-condition",
            "source_reads_condition is True, and `start` is not defined: every trajectory starts "
            "at the same s0.",
            "Define `start(batch_size, device, condition)`, or leave source_reads_condition False.",
        )
    if env.source_reads_condition or not own:
        return
    plain = env.initial(1, "cpu")
    for condition in _some_conditions(probe):
        try:
            other = env.start(1, "cpu", condition)
            same = bool(equal_rows(plain, other).all())
        except Exception:  # no condition that makes sense
            continue
        if not same:
            findings.add(
                "source-reads-condition",
                f"`start` gives {probe.show(other, 0)} for the condition {condition[0].tolist()} "
                f"and `initial` {probe.show(plain, 0)}, and source_reads_condition is False: "
                f"exact answers and the list of all states would start where no trajectory does.",
                "Set source_reads_condition = True in the class.",
            )
            return


def _some_conditions(probe: Probe) -> list[Tensor]:
    """(1, C) conditions: the one given, and plain numbers."""
    width = probe.env.condition_dim or 1
    some = [torch.full((1, width), value) for value in (1.0, 0.0, 2.0, 0.5)]
    some += [torch.arange(width)[None].to(some[0]), torch.arange(1, width + 1)[None].to(some[0])]
    return some if probe.condition is None else [probe.condition, *some]

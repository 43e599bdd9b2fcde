"""Rules about batches: a row's answer depends on that row alone, and is the same when repeated."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, take, tensors
from gflow.testing.continuous.outputs import RandomOutputs
from gflow.testing.continuous.probe import BACKWARD, FORWARD, ContinuousProbe
from gflow.testing.continuous.walks import Walks


def check_batches(
    probe: ContinuousProbe, walks: Walks, outputs: RandomOutputs, generator: torch.Generator
) -> None:
    """Answers about 12 moves, together, in another order and alone."""
    rows = torch.randperm(len(walks.row), generator=generator)[:12]
    before, after = take(walks.before, rows), take(walks.after, rows)

    def ahead(at: Tensor) -> Tensor:
        states = take(before, at)
        return probe.law(FORWARD, states, outputs.forward(states)).log_prob(take(after, at))

    def back(at: Tensor) -> Tensor:
        states = take(after, at)
        return probe.law(BACKWARD, states, outputs.backward(states)).log_prob(take(before, at))

    def stop(at: Tensor) -> Tensor:
        states = take(before, at)
        return probe.law(FORWARD, states, outputs.forward(states)).log_stop

    def plain(name: str) -> Callable[[Tensor], Any]:
        return lambda at: probe.call(name, take(after, at))

    names = ("is_terminal", "is_initial", "can_stop", "can_end", "log_symmetry", "encode")
    asked: dict[str, Callable[[Tensor], Any]] = {name: plain(name) for name in names}
    asked |= {"forward log_prob": ahead, "backward log_prob": back, "log_stop": stop}
    for name, ask in asked.items():
        _check(probe, name, ask, after)


def _check(probe: ContinuousProbe, name: str, ask: Callable[[Tensor], Any], states: Any) -> None:
    count = batch_size(states)
    every = torch.arange(count)
    out = ask(every)
    try:
        parts = tensors(out)
    except TypeError:  # None, or features of a kind of their own
        return
    if any(part.dim() == 0 or len(part) != count for part in parts):
        return  # what all rows share, such as a time

    def same(other: Any, at: Tensor) -> bool:
        return all(
            torch.allclose(a.double(), b[at].double(), rtol=1e-4, atol=1e-4, equal_nan=True)
            for a, b in zip(tensors(other), parts, strict=True)
        )

    if not same(ask(every), every):
        probe.findings.add(
            "not-deterministic",
            f"`{name}` gave two answers to the same {count} states.",
            "Environments hold no state and no randomness of their own; only `sample` is random.",
        )
        return
    turned = every.flip(0)
    if not (same(ask(turned), turned) and all(same(ask(i[None]), i[None]) for i in every)):
        probe.findings.add(
            "batch-dependence",
            f"`{name}` answers otherwise for a state when the batch around it changes, such as for "
            f"{probe.show(states, 0)}.",
            "Each row of the result must depend on that row of the states (and outputs) only.",
        )

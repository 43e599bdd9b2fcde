"""The rule about what can be reached from where."""

from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, clone, take
from gflow.testing.discrete.explore import Explored
from gflow.testing.probe import Probe

MOST_OBJECTS = 64
"""So many objects are asked about at each state."""


def check_reaches(probe: Probe, found: Explored) -> None:
    """`reaches` agrees with the transitions: all of them, or those that random walks met."""
    env = probe.env
    ends = probe.call("can_end", found.states).nonzero().squeeze(1)
    chosen = ends[torch.linspace(0, len(ends) - 1, min(len(ends), MOST_OBJECTS)).long()]
    claimed = _ask(probe, found.states, chosen)
    if claimed is None:
        return
    met = torch.zeros_like(claimed)
    met[chosen, torch.arange(len(chosen))] = True
    if found.exhaustive:
        _compare(probe, found, chosen, claimed, _closed(found, met))
        return
    met[0] = True  # all objects are reached from the source
    missed = met & ~claimed
    if bool(missed.any()):
        _note(probe, found, chosen, missed, "denies it, and moves led there")
        return
    after = env.reaches(*_pairs(found.children, take(found.states, chosen)))
    lost = after.view(-1, len(chosen)) & ~claimed[found.parent]
    if bool(lost.any()):
        row, column = lost.nonzero()[0].tolist()
        probe.findings.add(
            "wrong-reaches",
            f"`reaches` says that {probe.show(found.children, row)} leads to "
            f"{probe.show(found.states, int(chosen[column]))}, and that its parent "
            f"{probe.show(found.states, int(found.parent[row]))} does not.",
            "What a child leads to its parents lead to as well.",
        )


def _closed(found: Explored, reached: Tensor) -> Tensor:
    """(N, X) bool: which objects moves lead to from each state, and from objects themselves."""
    while True:  # as many rounds as the longest path is long
        more = reached.long().scatter_reduce(
            0,
            found.parent[:, None].expand(-1, reached.shape[1]),
            reached[found.child].long(),
            "amax",
        )
        if torch.equal(more > 0, reached):
            return reached
        reached = more > 0


def _compare(probe: Probe, found: Explored, chosen: Tensor, claimed: Tensor, truth: Tensor) -> None:
    if bool((truth & ~claimed).any()):
        _note(probe, found, chosen, truth & ~claimed, "denies it, and moves lead there")
    elif bool((claimed & ~truth).any()):
        _note(probe, found, chosen, claimed & ~truth, "promises it, and no moves lead there")


def _note(probe: Probe, found: Explored, chosen: Tensor, wrong: Tensor, what: str) -> None:
    row, column = wrong.nonzero()[0].tolist()
    probe.findings.add(
        "wrong-reaches",
        f"Asked whether {probe.show(found.states, row)} leads to the object "
        f"{probe.show(found.states, int(chosen[column]))}, `reaches` {what}.",
        "Return whether moves lead from each state to the object in its row (a finished object "
        "leads to itself), or None if that is not known.",
    )


def _ask(probe: Probe, states: Any, chosen: Tensor) -> Tensor | None:
    """(N, X) bool what `reaches` says of all pairs, or None if it says nothing."""
    one, two = _pairs(states, take(states, chosen))
    given, objects = clone(one), clone(two)
    try:
        answer: Any = probe.env.reaches(given, objects)
    except Exception as error:  # whatever a stranger's code raises
        probe.findings.add(
            "raises",
            f"`reaches` raised {type(error).__name__}: {error}.",
            "It must accept any batch of states, each with an object.",
        )
        return None
    probe.expect_unchanged("reaches", one, given, (), [])
    probe.expect_unchanged("reaches", two, objects, (), [])
    if answer is None:
        return None
    count = batch_size(one)
    if not isinstance(answer, Tensor) or answer.dtype != torch.bool or len(answer) != count:
        what = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        probe.findings.add(
            "shape", f"`reaches` returned {what} for {count} rows.", "Return (B,) bool, or None."
        )
        return None
    return answer.view(-1, len(chosen))


def _pairs(states: Any, objects: Any) -> tuple[Any, Any]:
    """Every state with every object, N X rows each."""
    rows = torch.arange(batch_size(states)).repeat_interleave(batch_size(objects))
    columns = torch.arange(batch_size(objects)).repeat(batch_size(states))
    return take(states, rows), take(objects, columns)

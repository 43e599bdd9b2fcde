"""Rules about closed forms: they agree with sums over all states."""

import torch
from torch import Tensor

from gflow.masking import masked_log_softmax
from gflow.state import batch_size, take
from gflow.testing.discrete.explore import Explored
from gflow.testing.probe import Probe

CLOSE = 1e-4
"""Closed forms may differ from sums by this much, relatively: rewards may be float32."""


def check_closed_forms(probe: Probe, found: Explored) -> None:
    """`log_partition` and `max_entropy_logits` agree with sums over all states."""
    env, findings, states = probe.env, probe.findings, found.states
    if not found.exhaustive:
        return
    claimed = env.log_partition()
    if claimed is not None and not env.condition_dim:
        objects = env.can_end(states).nonzero().squeeze(1)
        exact = float(probe.reward(take(states, objects)).double().logsumexp(0))
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
    count = _log_count(found)
    mask = probe.call("backward_mask", states)
    rows, undo = mask.nonzero(as_tuple=True)
    if not len(rows):
        return
    log_prob = masked_log_softmax(logits.double(), mask)[rows, undo]
    keys = probe.call("key", states)
    order = torch.argsort(keys)
    parents = probe.call("key", probe.backstep(take(states, rows), undo)).contiguous()
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
            f"n(parent)/n(state) is {float(expected[at]):.4f}, n counting paths from s0.",
            "Return log n(parent) up to a constant per row, or do not define the method.",
        )


def _log_count(found: Explored) -> Tensor:
    """(N,) float64 log of the number of paths from s0, equal actions counted once."""
    size = batch_size(found.states)
    edges = torch.unique(torch.stack([found.parent, found.child], 1), dim=0)
    parent, child = edges.unbind(1)
    start = torch.zeros(size, dtype=torch.float64)
    start[0] = 1
    count = start
    while True:  # as many rounds as the longest path is long
        more = start.index_add(0, child, count[parent])
        if torch.equal(more, count):
            return count.log()
        count = more

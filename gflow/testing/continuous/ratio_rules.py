"""Rules about both laws: the ratio of forward and backward log-probabilities of trajectories."""

from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, take
from gflow.testing.continuous.means import SIGMAS, apart, bounded, off_zero
from gflow.testing.continuous.outputs import RandomOutputs
from gflow.testing.continuous.probe import ContinuousProbe
from gflow.testing.continuous.walks import Walks, walk_back

OVERLAP = 0.01
"""Where laws have so little in common the comparison says nothing."""


def check_directions(
    probe: ContinuousProbe, walks: Walks, outputs: RandomOutputs, how: str
) -> bool:
    """Sampled moves have densities in the other direction."""
    for side, value, rule, first, last in (
        ("backward", walks.log_pb, "no-backward-density", walks.before, walks.after),
        ("forward", walks.log_pf, "no-forward-density", walks.before, walks.after),
    ):
        none = value == -torch.inf
        if bool(none.any()):
            row = int(none.nonzero()[0])
            probe.findings.add(
                rule,
                f"{how} a move between {probe.show(first, row)} and {probe.show(last, row)} was "
                f"drawn, and the {side} law calls it impossible ({int(none.sum())} of "
                f"{len(none)} moves).",
                "A move must be legal in both directions: where one law samples the other has a "
                "density.",
            )
            return False
    stuck = probe.call("is_terminal", walks.before)
    if bool(stuck.any()):
        row = int(stuck.nonzero()[0])
        probe.findings.add(
            "no-forward-density",
            f"{how} a move leaves {probe.show(walks.before, row)}, which is finished by force.",
            "Moves back must lead to states that can go on.",
        )
        return False
    return True


def check_ratio(
    probe: ContinuousProbe, walks: Walks, outputs: RandomOutputs, generator: torch.Generator
) -> Walks:
    r"""The trajectories of an object can be exchanged.

    With tau drawn by P_F, and tau' by P_B from the object x of tau, the pair has the density
    P_F(tau) P_B(tau' | x), and the pair turned round P_F(tau') P_B(tau | x). The ratio of the two
    is e^u, u = log P_F / P_B of tau' less that of tau, whatever the measure of objects; so for
    all h

    .. math:: E\Bigl[\frac{1}{1 + e^{-u}} (h(\tau) - h(\tau'))\Bigr] = 0

    Returns:
        The backward trajectories.
    """
    back = walk_back(probe, outputs, walks.objects, generator)
    if not check_directions(probe, back, outputs, "Backward"):
        return back
    share = torch.sigmoid(back.log_ratio - walks.log_ratio)
    if float(share.mean()) < OVERLAP or len(share) < 100:
        return back
    one, other = walks.features, back.features
    both = torch.cat([one, other])
    one, other = bounded(one, both), bounded(other, both)
    gap = torch.cat([one - other, one.square() - other.square()], 1)
    far = float(off_zero(share[:, None] * gap).max())
    if far > SIGMAS:
        probe.findings.add(
            "wrong-ratio",
            f"Trajectories drawn forward to objects and backward from the same objects do not have "
            f"the ratio that the sums of log P_F - log P_B say ({far:.0f} standard errors).",
            "Both laws of a transition must be densities per the same measure (area, arc length, "
            "volume), stops and forced moves probabilities, and what a law reads of a state "
            "(time, counter) the same on both sides. A dropped Jacobian shows here.",
        )
    return back


def check_log_z(
    probe: ContinuousProbe, walks: Walks, outputs: RandomOutputs, generator: torch.Generator
) -> None:
    """Log Z, where it is known, is that of the mean weight; exact objects are exact."""
    env = probe.env
    log_z = env.log_partition()
    if log_z is None or env.condition_dim:
        return
    weight = probe.reward(walks.objects).double() - log_z - walks.log_ratio
    weight = weight - _stops(probe, walks, outputs)
    if env.has_exact_objects:
        objects = env.exact_objects(len(walks.length), generator)
        probe.expect_states("exact_objects", objects, len(walks.length))
        back = walk_back(probe, outputs, objects, generator)
        if not check_directions(probe, back, outputs, "Backward from exact samples"):
            return
        other = probe.reward(objects).double() - log_z - back.log_ratio
        other = other - _stops(probe, back, outputs)
        one, two = torch.sigmoid(weight)[:, None], torch.sigmoid(-other)[:, None]
        if float(one.mean()) < OVERLAP or float(two.mean()) < OVERLAP:
            return
        far = float(apart(one, two).max())
        if far > SIGMAS:
            probe.findings.add(
                "wrong-objects",
                f"`exact_objects` traced back and trajectories of a policy do not have the ratio "
                f"that R / Z, P_F and P_B say, with log Z = {log_z:.4g} from `log_partition` "
                f"({far:.0f} standard errors).",
                "Is `log_partition` right, are `exact_objects` samples of R / Z, and is R a "
                "density per the measure of the laws?",
            )
        return
    top = weight.exp()
    size = float(top.sum() ** 2 / top.square().sum())
    if size < len(top) / 10:
        return
    mean, error = float(top.mean()), float((top.var() / len(top)).sqrt())
    if abs(mean - 1) > SIGMAS * error + 1e-3:
        probe.findings.add(
            "wrong-log-partition",
            f"`log_partition` is {log_z:.4g}, and the log of the mean of R P_B / P_F over "
            f"{len(top)} trajectories of a policy is {log_z + float(top.mean().log()):.4g} "
            f"(standard error {error / mean:.2g}).",
            "Correct the closed form or return None; or the laws are not densities per the "
            "measure of R.",
        )


def _stops(probe: ContinuousProbe, walks: Walks, outputs: RandomOutputs) -> Tensor:
    """(B,) log-probabilities of the stops."""
    value = torch.zeros(len(walks.length), dtype=torch.float64)
    if bool(walks.stopped.any()):
        objects = take(walks.objects, walks.stopped)
        law = probe.law("forward_law", objects, outputs.forward(objects))
        value[walks.stopped] = law.log_stop
    return value


def count_of(walks: list[Walks]) -> tuple[int, int, int]:
    """States and moves seen, and the transitions of the longest trajectory, stops included."""
    states = sum(batch_size(w.objects) + len(w.row) for w in walks)
    moves = sum(len(w.row) for w in walks)
    longest = max(int((w.length + w.stopped).max()) for w in walks)
    return states, moves, longest


def some_of(walks: Walks, count: int, generator: torch.Generator) -> tuple[Any, Any]:
    """`count` moves, spread over times: states before and after."""
    times = torch.unique(walks.time)
    chosen = []
    for i in range(count):
        time = times[(i * (len(times) - 1)) // max(1, count - 1)]
        at = (walks.time == time).nonzero().squeeze(1)
        chosen.append(at[torch.randint(len(at), (1,), generator=generator)])
    rows = torch.cat(chosen)
    return take(walks.before, rows), take(walks.after, rows)

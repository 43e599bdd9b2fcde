"""Trajectories of a continuous environment, walked move by move under suspicion."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, cat, take
from gflow.testing.continuous.outputs import RandomOutputs
from gflow.testing.continuous.probe import BACKWARD, FORWARD, ContinuousProbe, coordinates
from gflow.testing.findings import AbandonedError


@dataclass(frozen=True)
class Walks:
    """B trajectories with M moves in all.

    Attributes:
        objects: B finished objects.
        stopped: (B,) bool: ended by stopping.
        length: (B,) number of moves.
        before: M states that moves leave, in forward direction.
        after: M states that they reach.
        row: (M,) trajectory of each move.
        time: (M,) its number in the trajectory, from 0.
        log_pf: (M,) float64 forward log-densities.
        log_pb: (M,) float64 backward log-densities.
    """

    objects: Any
    stopped: Tensor
    length: Tensor
    before: Any
    after: Any
    row: Tensor
    time: Tensor
    log_pf: Tensor
    log_pb: Tensor

    @property
    def log_ratio(self) -> Tensor:
        """(B,) sums of log P_F - log P_B over the moves; the stop is not counted."""
        zero = self.log_pf.new_zeros(len(self.length))
        return zero.index_add(0, self.row, self.log_pf - self.log_pb)

    def at(self, time: Tensor) -> Tensor:
        """(B, m) coordinates of the state before the move `time` (B,) of each trajectory."""
        return self._of(self.before, time)

    def _of(self, states: Any, time: Tensor) -> Tensor:
        """(B, m) coordinates of those of M states that belong to the moves `time`; 0 for none."""
        place = torch.full((len(self.length),), -1)
        hit = self.time == time[self.row]
        place[self.row[hit]] = hit.nonzero().squeeze(1)
        found = coordinates(take(states, place.clamp(min=0)))
        return found.masked_fill((place < 0)[:, None], 0.0)

    @property
    def features(self) -> Tensor:
        """(B, 1 + 3 m) bounded numbers that tell trajectories apart."""
        parts = [
            self.length[:, None].double(),
            self._of(self.after, torch.zeros_like(self.length)),
            self.at(self.length // 2),
            self.at(self.length - 1),
        ]
        return torch.cat(parts, 1)


def walk_forward(
    probe: ContinuousProbe, outputs: RandomOutputs | None, count: int, generator: torch.Generator
) -> Walks:
    """`count` trajectories from the source; None draws from the exploration law.

    Raises:
        AbandonedError: If they do not end.
    """
    env, findings = probe.env, probe.findings
    states, rows = probe.start(count), torch.arange(count)
    parts: list[tuple[Any, Any, Tensor, int]] = []
    stopped, length = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.int64)
    ends: list[tuple[Tensor, Any]] = []
    for time in range(env.horizon + 1):
        done = probe.call("is_terminal", states)
        if bool(done.any()):
            ends.append((rows[done], take(states, done)))
            states, rows = take(states, ~done), rows[~done]
        if not len(rows):
            break
        if time == env.horizon:
            findings.add(
                "horizon-too-small",
                f"After horizon = {env.horizon} transitions {len(rows)} of {count} trajectories "
                f"are still going, one in {probe.show(states, 0)}.",
                "Raise `horizon` (the stop counts as a transition), or let `is_terminal` end them: "
                "a counter of moves in the state, or a least length of moves, bounds their number.",
            )
            raise AbandonedError
        law = (
            probe.law("exploration_law", states)
            if outputs is None
            else probe.law(FORWARD, states, outputs.forward(states))
        )
        reached, stops = law.sample(generator)
        _check_stops(probe, states, stops, law.method)
        if bool(stops.any()):
            stopped[rows[stops]] = True
            ends.append((rows[stops], take(states, stops)))
        going = ~stops
        before, states, rows = take(states, going), take(reached, going), rows[going]
        length[rows] += 1
        parts.append((before, states, rows, time))
        _check_not_source(probe, before, states)
    if not bool(length.any()):
        findings.add(
            "no-object",
            f"All {count} trajectories stop at the source: nothing is ever built.",
            "Check `can_stop` and `is_terminal`.",
        )
        raise AbandonedError
    return _gathered(probe, outputs, parts, ends, stopped, length)


def _gathered(
    probe: ContinuousProbe,
    outputs: RandomOutputs | None,
    parts: list[tuple[Any, Any, Tensor, int]],
    ends: list[tuple[Tensor, Any]],
    stopped: Tensor,
    length: Tensor,
) -> Walks:
    order = torch.argsort(torch.cat([rows for rows, _ in ends]))
    objects = take(cat([states for _, states in ends]), order)
    before, after = cat([p[0] for p in parts]), cat([p[1] for p in parts])
    row = torch.cat([p[2] for p in parts])
    time = torch.cat([torch.full_like(p[2], p[3]) for p in parts])
    log_pf = log_pb = torch.zeros(len(row), dtype=torch.float64)
    if outputs is not None and len(row):
        log_pf, log_pb = densities(probe, outputs, before, after)
    return Walks(objects, stopped, length, before, after, row, time, log_pf, log_pb)


def densities(
    probe: ContinuousProbe, outputs: RandomOutputs, before: Any, after: Any
) -> tuple[Tensor, Tensor]:
    """(M,) log P_F and log P_B of M moves."""
    ahead = probe.law(FORWARD, before, outputs.forward(before))
    back = probe.law(BACKWARD, after, outputs.backward(after))
    return ahead.log_prob(after), back.log_prob(before)


def walk_back(
    probe: ContinuousProbe, outputs: RandomOutputs, objects: Any, generator: torch.Generator
) -> Walks:
    """Trajectories that end in B objects, drawn backward.

    Raises:
        AbandonedError: If they do not lead to the source.
    """
    env, count = probe.env, batch_size(objects)
    states, rows = objects, torch.arange(count)
    parts: list[tuple[Any, Any, Tensor, int]] = []
    length = torch.zeros(count, dtype=torch.int64)
    for time in range(env.horizon + 1):
        home = probe.call("is_initial", states)
        _check_home(probe, take(states, home))
        states, rows = take(states, ~home), rows[~home]
        if not len(rows):
            break
        if time == env.horizon:
            probe.findings.add(
                "no-path-to-source",
                f"After horizon = {env.horizon} moves back from an object the walk is in "
                f"{probe.show(states, 0)}, which is not the source.",
                "Moves back must lead to s0: by force from the first move's end, or with a "
                "probability of its own.",
            )
            raise AbandonedError
        law = probe.law(BACKWARD, states, outputs.backward(states))
        parents, stops = law.sample(generator)
        if bool(stops.any()):
            law.refuse("sample", "rows that stop", "no stops: undoing a stop changes nothing")
        length[rows] += 1
        parts.append((parents, states, rows, time))
        states = parents
    before, after = cat([p[0] for p in parts]), cat([p[1] for p in parts])
    row = torch.cat([p[2] for p in parts])
    back = torch.cat([torch.full_like(p[2], p[3]) for p in parts])
    log_pf, log_pb = densities(probe, outputs, before, after)
    stopped = ~probe.call("is_terminal", objects)
    number = length[row] - 1 - back
    return Walks(objects, stopped, length, before, after, row, number, log_pf, log_pb)


def _check_stops(probe: ContinuousProbe, states: Any, stops: Tensor, method: str) -> None:
    wrong = stops & ~probe.call("can_stop", states)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        probe.findings.add(
            "wrong-stop",
            f"A sample of `{method}` stops in {probe.show(states, row)}, where `can_stop` is "
            f"false.",
            "Let `can_stop` be true there, or rule the stop out: log_stop = -inf. (Objects that "
            "end by stopping need stop_action = 1.)",
        )
        raise AbandonedError


def _check_not_source(probe: ContinuousProbe, before: Any, states: Any) -> None:
    if not batch_size(states):
        return
    wrong = probe.call("is_initial", states)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        probe.findings.add(
            "initial-state",
            f"A move leads from {probe.show(before, row)} to {probe.show(states, row)}, for which "
            f"`is_initial` is true.",
            "Only s0 is initial, and nothing leads into it. Count the moves in the state, or keep "
            "moves away from it.",
        )
        raise AbandonedError


def _check_home(probe: ContinuousProbe, states: Any) -> None:
    """What moves back call the source is the source."""
    count = batch_size(states)
    if not count:
        return
    away = (coordinates(states) - coordinates(probe.start(count))).abs()
    wrong = (away > 1e-4).any(1)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        probe.findings.add(
            "no-path-to-source",
            f"Moves back lead to {probe.show(states, row)}, for which `is_initial` is true, and "
            f"the source is {probe.show(probe.start(1), 0)}.",
            "The last move back must lead to s0 itself, by force.",
        )
        raise AbandonedError

"""Rules about one law: it samples as its `log_prob` and `log_stop` say."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.environment.keys import hash_rows
from gflow.state import take
from gflow.testing.continuous.means import SIGMAS, apart, bounded
from gflow.testing.continuous.probe import ContinuousProbe, LawProbe, coordinates, kinds
from gflow.testing.findings import AbandonedError

DRAWS = 2000
"""Draws from each law."""

Maker = Callable[[Any, Tensor | None], LawProbe]


def check_law(
    probe: ContinuousProbe,
    make: Maker,
    state: Any,
    outputs: Tensor,
    generator: torch.Generator,
) -> None:
    r"""Draws with two outputs have the ratio of their densities.

    With p and q the densities of `sample` under two outputs, and f and g the densities that
    `log_prob` says, f / p = g / q exactly if, for all h,

    .. math:: E_p\Bigl[\frac{g}{f + g} h\Bigr] = E_q\Bigl[\frac{f}{f + g} h\Bigr]

    Args:
        probe: The environment.
        make: The law of given states and outputs.
        state: One state.
        outputs: (2, A) two rows of outputs.
        generator: Source of randomness.
    """
    rows = torch.zeros(DRAWS, dtype=torch.int64)
    states = take(state, rows)
    laws = [make(states, outputs[i].expand(DRAWS, -1)) for i in (0, 1)]
    draws = [law.sample(generator) for law in laws]
    where = torch.cat([_described(reached, stops) for reached, stops in draws])
    tests = bounded(where, where)
    tests = torch.cat([torch.ones(2 * DRAWS, 1), tests, tests.square()], 1)
    sides = []
    for i, (reached, stops) in enumerate(draws):
        own, other = _log_prob(laws[i], reached, stops), _log_prob(laws[1 - i], reached, stops)
        if bool((own == -torch.inf).any()):
            row = int((own == -torch.inf).nonzero()[0])
            what = "a stop" if bool(stops[row]) else f"a move to {probe.show(reached, row)}"
            probe.findings.add(
                "wrong-density",
                f"`{laws[i].method}` samples {what} from {probe.show(state, 0)}, and calls that "
                f"impossible (-inf).",
                "`sample` and `log_prob` (`log_stop`) must be of one law.",
            )
            raise AbandonedError
        share = torch.sigmoid(other - own)[:, None]
        sides.append(share * tests[i * DRAWS : (i + 1) * DRAWS])
    gap = apart(*sides)
    if float(gap.max()) > SIGMAS:
        probe.findings.add(
            "wrong-density",
            f"What `{laws[0].method}` samples from {probe.show(state, 0)} is not distributed as "
            f"`log_prob` and `log_stop` say: two outputs were compared, and the ratio of "
            f"their densities is not that of what is drawn ({float(gap.max()):.0f} standard "
            f"errors).",
            "`sample` and `log_prob` must be of one law: the same mean, variance and weights, and "
            "log_prob must hold the log-probability of not stopping.",
        )


def check_stop(probe: ContinuousProbe, law: LawProbe, stops: Tensor, state: Any) -> None:
    """Stops are as frequent as `log_stop` says, and none where `can_stop` is false."""
    may = bool(probe.call("can_stop", take(state, torch.zeros(1, dtype=torch.int64)))[0])
    said, seen = float(law.log_stop[0].exp()), float(stops.double().mean())
    if may != (said > 0):
        probe.findings.add(
            "wrong-stop",
            f"In {probe.show(state, 0)} `log_stop` gives a stop probability {said:.3g}, and "
            f"`can_stop` is {may}.",
            "`can_stop` is true exactly where the policy may stop.",
        )
        return
    error = (max(said * (1 - said), 1e-4) / len(stops)) ** 0.5
    if abs(seen - said) > SIGMAS * error:
        probe.findings.add(
            "wrong-stop",
            f"{seen:.3f} of {len(stops)} samples from {probe.show(state, 0)} stop, and `log_stop` "
            f"says {said:.3f}.",
            "`sample` must stop with the probability exp(log_stop).",
        )


def check_atoms(
    probe: ContinuousProbe, law: LawProbe, reached: Any, stops: Tensor, log_prob: Tensor
) -> Tensor:
    """(N,) bool: the draw is a move to a place of its own, whose probability is checked."""
    count = len(stops)
    place_of = coordinates(reached).masked_fill(stops[:, None], torch.nan)
    number, size = _equal(torch.cat([place_of, _discrete(reached)], 1))
    merged = _equal(place_of)
    often = (size >= max(5, count // 200))[number] & ~stops
    for place in torch.unique(number[often])[:8].tolist():
        row = int((number == place).nonzero()[0])
        seen, said = float(size[place]) / count, float(log_prob[row].exp())
        # What kind of state it is may be chosen evenly in both directions, and left out of both.
        among = float(merged[1][merged[0][row]]) / count
        if all(_unlike(share, said, count) for share in (seen, among)):
            where_to = probe.show(reached, row)
            probe.findings.add(
                "wrong-atom",
                f"`{law.method}` moves from {probe.show(law.states, 0)} to just {where_to} with "
                f"probability {seen:.3f}, and `log_prob` is {float(log_prob[row]):.4g}, a "
                f"probability of {said:.3f}.",
                "A move to one place is an atom: its log_prob is the log of its probability, 0 "
                "where it is forced.",
            )
            raise AbandonedError
    return often


def _equal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) the group of equal rows of (N, K) numbers that each belongs to, and their sizes."""
    found = torch.unique(hash_rows(rows), return_inverse=True, return_counts=True)
    return found[1], found[2]


def _unlike(seen: float, said: float, count: int) -> bool:
    """Whether a share of `count` draws is not the probability that is said; exactly if forced."""
    if seen == 1.0:
        return abs(said - 1) > 1e-5
    return abs(seen - said) > SIGMAS * math.sqrt(max(seen * (1 - seen), 1e-4) / count)


def _discrete(states: Any) -> Tensor:
    return kinds(states)[:, None].double()


def _described(reached: Any, stops: Tensor) -> Tensor:
    """(N, 2 + m) whether it stops, what kind of state, and the coordinates."""
    where = torch.cat([_discrete(reached), coordinates(reached)], 1)
    return torch.cat([stops[:, None].double(), where.masked_fill(stops[:, None], 0.0)], 1)


def _log_prob(law: LawProbe, reached: Any, stops: Tensor) -> Tensor:
    """(N,) of the draws from one state; where a row stops the state reached means nothing."""
    if bool(stops.all()):
        return law.log_stop
    instead = torch.arange(len(stops)).where(~stops, int((~stops).nonzero()[0]))
    return torch.where(stops, law.log_stop, law.log_prob(take(reached, instead)))

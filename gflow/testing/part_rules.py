"""Rules about objectives that learn from parts of trajectories."""

import math

import torch

from gflow.objective import Solution
from gflow.testing.case import Case

ZERO = 1e-9
"""Residuals this small count as zero, in float64."""


def check_parts(case: Case) -> None:
    """Who claims to need no source, or no end, has residuals that vanish without it."""
    objective, needs = case.objective, case.objective.needs
    if objective.solution is Solution.ORDERED or not objective.self_contained:
        return
    if "residual-at-solution" in case.findings:
        return
    length = case.trajectories.length
    middle = length // 2
    source = torch.zeros_like(length)
    for claim, begin, end in (
        (None if needs.from_source else "from_source=False", middle, length),
        (None if needs.whole else "whole=False", source, middle.clamp(min=1)),
    ):
        if claim is None:
            continue
        part = case.trajectories.part(begin, end)
        terms = objective.evaluate(case.env, case.policy, part)
        residual = case.ask("residual", terms).detach()
        size = residual.abs().nan_to_num(nan=math.inf).reshape(len(residual), -1)
        if not size.numel() or float(size.max()) <= ZERO:
            continue
        row = int(size.amax(1).argmax())
        case.note(
            "parts",
            f"the objective says Needs({claim}), and at the exact solution the residual of "
            f"transitions {int(begin[row])} to {int(end[row])} of {case.shown(row)} is "
            f"{float(size[row].max()):.4g}, not 0.",
            "Leave it at True if log Z, log R or a sum over the whole trajectory enters; where a "
            "part ends, log F is that of its last state.",
        )

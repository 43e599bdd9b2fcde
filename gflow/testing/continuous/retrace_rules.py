"""Rules about noise, and about gradients through samples."""

from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, take
from gflow.testing.continuous.outputs import RandomOutputs
from gflow.testing.continuous.probe import FORWARD, ContinuousProbe, coordinates, moved_to

MOST_COORDINATES = 6
"""Gradients are checked in up to so many dimensions."""
NOISE_DRAWS = 2000


def check_noise(
    probe: ContinuousProbe, state: Any, outputs: RandomOutputs, generator: torch.Generator
) -> None:
    """Noise of a standard deviation adds its square to the variance of what moves."""
    states = take(state, torch.zeros(NOISE_DRAWS, dtype=torch.int64))
    law = probe.law(FORWARD, states, outputs.forward(states))
    plain = coordinates(law.sample(generator)[0])
    variance = plain.var(0)
    moves = variance > 1e-10
    if not bool(moves.any()):
        return
    noise = 1.5 * float(variance[moves].mean().sqrt())
    noisy = coordinates(law.sample(generator, noise)[0]).var(0)
    added = (noisy - variance)[moves].mean() / noise**2
    if not 0.7 < float(added) < 1.3:
        probe.findings.add(
            "wrong-noise",
            f"takes_noise is True, and noise {noise:.3g} adds {float(added) * noise**2:.3g} to the "
            f"variance of what is sampled from {probe.show(state, 0)}, not {noise**2:.3g}.",
            "`sample(generator, noise)` draws with variance v + noise^2. Where there is nothing to "
            "add to, set takes_noise = False.",
        )


def check_retrace(probe: ContinuousProbe, before: Any, after: Any, outputs: RandomOutputs) -> None:
    r"""`retrace` gives the values back, and gradients along which the density is carried.

    If a sample x moves with velocity v(x) as a parameter changes, the density at the moving sample
    changes by minus the divergence of v: log p(x + h v) + log det(I + h dv/dx) does not depend on
    the parameter h steps away. Tried are the outputs and the state that is left.
    """
    env = probe.env
    if coordinates(after).shape[1] > MOST_COORDINATES:
        rows = torch.arange(min(2, batch_size(before)))
        before, after = take(before, rows), take(after, rows)
    leaf = outputs.forward(before).detach()
    found = _retraced(probe, before, leaf, after)
    given, got = coordinates(after), coordinates(found)
    step = 1e-4 if leaf.dtype == torch.float64 else 1e-2
    if not torch.allclose(got, given, rtol=step / 10, atol=step / 10):
        row = int((got - given).abs().amax(1).argmax())
        probe.findings.add(
            "wrong-retrace",
            f"`retrace` turned {probe.show(after, row)} into {probe.show(found, row)}.",
            "It must give back the values that it is given: the noise found in them, put into the "
            "same formula as in `sample`.",
        )
        return
    if given.shape[1] > MOST_COORDINATES or not given.shape[1]:
        return
    generator = torch.Generator().manual_seed(1)
    turn = torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf)
    push = torch.randn(given.shape, generator=generator, dtype=torch.float64)
    for what, along in (("outputs", (turn, None)), ("the state", (None, push))):
        error, size = _drift(env, before, leaf, given, after, along, step)
        wrong = error.abs() > 100 * step * (1 + size)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            probe.findings.add(
                "wrong-retrace",
                f"The gradient of `retrace` with respect to {what}, at the move from "
                f"{probe.show(before, row)} to {probe.show(after, row)}, does not carry the "
                f"density along: it changes at a rate of {float(error[row]):.3g} where it should "
                f"stay.",
                "Write the next state as a differentiable function of outputs, state and a noise "
                "that is detached: x = mean + std * ((x - mean) / std).detach().",
            )
            return


def _retraced(probe: ContinuousProbe, before: Any, outputs: Tensor, after: Any) -> Any:
    try:
        return probe.env.forward_law(before, outputs).retrace(after)
    except Exception as error:
        probe.raised("`retrace`", error, after)


def _drift(
    env: Any,
    before: Any,
    outputs: Tensor,
    where: Tensor,
    after: Any,
    along: tuple[Tensor | None, Tensor | None],
    step: float,
) -> tuple[Tensor, Tensor]:
    """(N,) rate at which the carried density changes, and the size of its parts."""
    size = where.shape[1]
    velocity = _velocity(env, before, outputs, moved_to(after, where), along)
    columns = []
    for i in range(size):
        e = torch.zeros(size, dtype=torch.float64)
        e[i] = step
        ahead = _velocity(env, before, outputs, moved_to(after, where + e), along)
        behind = _velocity(env, before, outputs, moved_to(after, where - e), along)
        columns.append((ahead - behind) / (2 * step))
    jacobian = torch.stack(columns, -1)
    values = []
    for h in (step, -step):
        turn, push = along
        shifted = outputs if turn is None else outputs + h * turn
        start = before if push is None else moved_to(before, coordinates(before) + h * push)
        target = moved_to(after, where + h * velocity)
        with torch.no_grad():
            density = env.forward_law(start, shifted).log_prob(target).double()
            still = env.forward_law(start, shifted).log_prob(moved_to(after, where)).double()
        eye = torch.eye(size, dtype=torch.float64)
        values.append((density + torch.linalg.slogdet(eye + h * jacobian)[1], still))
    error = (values[0][0] - values[1][0]) / (2 * step)
    parts = ((values[0][1] - values[1][1]) / (2 * step)).abs()
    return error, parts


def _velocity(
    env: Any, before: Any, outputs: Tensor, after: Any, along: tuple[Tensor | None, Tensor | None]
) -> Tensor:
    """(N, m) derivative of the retraced coordinates along a direction of outputs or state."""
    turn, push = along
    leaf = outputs.clone().requires_grad_(turn is not None)
    place = coordinates(before).clone().requires_grad_(push is not None)
    start = before if push is None else moved_to(before, place)
    found = coordinates(env.forward_law(start, leaf).retrace(after))
    direction, source = (turn, leaf) if turn is not None else (push, place)
    assert direction is not None
    columns = []
    for i in range(found.shape[1]):
        grad = None
        if found.requires_grad:
            (grad,) = torch.autograd.grad(
                found[:, i].sum(), source, retain_graph=True, allow_unused=True
            )
        columns.append(
            torch.zeros(len(found), dtype=torch.float64)
            if grad is None
            else (grad.double() * direction.double()).sum(1)
        )
    return torch.stack(columns, -1)

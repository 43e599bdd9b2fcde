"""Rules about rewards and energies, for environments of either kind."""

from typing import Any

import torch

from gflow.environment.scored import REMEDY
from gflow.state import batch_size, take
from gflow.testing.probe import Probe

ENERGIES = 256
"""Energies of so many states are looked at: some rewards are slow."""


def check_reward(probe: Probe, states: Any, zero: bool = False) -> None:
    """One finite floating-point log-reward per object, whatever the batch.

    Args:
        probe: The environment.
        states: N states, objects or not.
        zero: Let -inf pass.
    """
    env, findings = probe.env, probe.findings
    rows = env.can_end(states).nonzero().squeeze(1)[:1024]
    if not len(rows):
        return
    objects = take(states, rows)
    value = probe.reward(objects)
    if tuple(value.shape) != (len(rows),):
        findings.add(
            "reward-shape",
            f"The reward {env.reward!r} returned {tuple(value.shape)} for {len(rows)} objects.",
            f"Return one log-reward per object, shape ({len(rows)},): sum or squeeze the last "
            f"axis.",
        )
        return
    bad = ~value.isfinite() & ~((value == -torch.inf) & zero)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        findings.add(
            "reward-not-finite",
            f"log R = {float(value[row])} for {probe.show(objects, row)} ({int(bad.sum())} of "
            f"{len(rows)} objects).",
            f"{REMEDY} (check_env(env, zero=True) lets -inf pass: objects without mass.)",
        )
        return
    some = torch.arange(len(rows))[:16].flip(0)
    given = value[some]
    again = probe.reward(take(objects, some))
    single = torch.cat([probe.reward(take(objects, i[None])).reshape(1) for i in some])
    for other, how in ((again, "in another batch"), (single, "alone")):
        wrong = ~torch.isclose(other, given, rtol=1e-4, atol=1e-5)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            findings.add(
                "batch-dependence",
                f"The log-reward of {probe.show(take(objects, some), row)} is "
                f"{float(given[row]):.6g} in one batch and {float(other[row]):.6g} {how}.",
                "A reward must depend on the object alone: no normalisation over the batch, no "
                "randomness.",
            )
            return
    symmetry = probe.call("log_symmetry", objects)
    if symmetry is not None and not bool(symmetry.isfinite().all()):
        findings.add(
            "reward-not-finite", "`log_symmetry` is not finite.", "It is the log of a count >= 1."
        )


def check_energies(probe: Probe, states: Any) -> None:
    """Where unfinished objects have energies, they are finite and those of objects are -log R."""
    env, findings, condition = probe.env, probe.findings, probe.condition
    if not env.has_partial:
        return
    states = take(states, torch.arange(batch_size(states))[:ENERGIES])
    count = batch_size(states)
    given = None if condition is None else condition.expand(count, -1)
    try:
        value = env.partial_log_reward(states, given)
    except Exception as error:
        findings.add(
            "energies",
            f"`partial_log_reward` raised {type(error).__name__}: {error}",
            "A reward with `has_partial` gives every state a finite log-reward; without it "
            "forward-looking objectives are refused.",
        )
        return
    rows = env.can_end(states).nonzero().squeeze(1)
    if not len(rows):
        return
    objects = take(states, rows)
    wanted = env.log_reward(objects, None if given is None else given[rows])
    wrong = ~torch.isclose(value[rows], wanted.to(value.dtype), rtol=1e-4, atol=1e-5)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        findings.add(
            "energies",
            f"`partial_log_reward` is {float(value[rows][row]):.6g} for the finished object "
            f"{probe.show(objects, row)}, whose log R is {float(wanted[row]):.6g}.",
            "The energies of unfinished objects may be anything, those of objects are -log R: "
            "apply the same transforms (clipping, tempering) to both.",
        )

"""All rules of environments whose moves have densities, in the order in which they build up."""

from typing import Any

import torch

from gflow.environment.movers import CHANCE
from gflow.state import take
from gflow.testing.continuous.batch_rules import check_batches
from gflow.testing.continuous.law_rules import check_atoms, check_law, check_stop
from gflow.testing.continuous.measure_rules import DRAWS, Volume, as_volume, check_measure, volume
from gflow.testing.continuous.outputs import RandomOutputs
from gflow.testing.continuous.probe import (
    BACKWARD,
    EXPLORATION,
    FORWARD,
    ContinuousProbe,
    coordinates,
)
from gflow.testing.continuous.ratio_rules import (
    check_directions,
    check_log_z,
    check_ratio,
    count_of,
    some_of,
)
from gflow.testing.continuous.retrace_rules import check_noise, check_retrace
from gflow.testing.continuous.walks import Walks, densities, walk_forward
from gflow.testing.findings import AbandonedError, attempt
from gflow.testing.plan import CheckedEnvironment, Plan
from gflow.testing.reward_rules import check_energies, check_reward
from gflow.testing.start_rules import check_conditions, sources

SCALES = (0.0, 0.3, 1.0)
"""Sizes of the outputs of the policies that are tried; the middle one where P_B is fixed only."""
WALKS = 2000
"""Trajectories of each."""
STATES = 4
"""States of each side at which laws are sampled."""


def check_continuous(env: Any, plan: Plan) -> CheckedEnvironment:
    """Apply every rule to a `ContinuousEnvironment`; what is broken goes into `plan.findings`.

    Raises:
        AbandonedError: If too much is broken to go on.
    """
    findings, generator = plan.findings, torch.Generator().manual_seed(plan.seed)
    _check_attributes(env, plan)
    probe = ContinuousProbe(env, findings, plan.condition)
    _check_source(probe)
    policies = _policies(env, plan.seed)
    walks = [walk_forward(probe, policy, WALKS, generator) for policy in policies]
    _check_lengths(probe, walks)
    attempt(check_reward, probe, walks[0].objects, plan.zero)
    if all(
        [check_directions(probe, w, p, "Forward") for w, p in zip(walks, policies, strict=True)]
    ):
        attempt(_check_batches, probe, walks[-1], policies[-1], generator)
        attempt(_check_laws, probe, walks, policies, generator)
        for found, policy in zip(walks, policies, strict=True):
            attempt(_check_ratio, probe, found, policy, generator)
        if not findings:
            for found, policy in zip(walks[:2], policies[:2], strict=True):
                attempt(check_log_z, probe, found, policy, generator)
    if not findings:
        if not plan.zero:
            attempt(check_energies, probe, walks[1].objects)
        attempt(_check_samples, probe, walks[1], policies[1], generator)
        attempt(_check_exploration, probe, policies[0], generator)
    states, moves, longest = count_of(walks)
    return CheckedEnvironment(states, moves, False, longest)


def _policies(env: Any, seed: int) -> list[RandomOutputs]:
    """Policies with small and large outputs, with the fixed backward law and a learned one."""
    fixed = not (env.num_backward_outputs and env.condition_dim)  # which it could not read
    found = [RandomOutputs(env, scale, seed, False) for scale in SCALES if fixed]
    if env.num_backward_outputs:
        mine = SCALES[::2] if fixed else SCALES
        found = found[:2] + [RandomOutputs(env, scale, seed, True) for scale in mine]
    return found


def _check_attributes(env: Any, plan: Plan) -> None:
    findings = plan.findings
    for name, least in (("num_outputs", 1), ("num_backward_outputs", 0), ("horizon", 1)):
        value = getattr(env, name, None)
        if not isinstance(value, int) or value < least:
            findings.add(
                "attributes",
                f"`{name}` is {value!r}.",
                f"Set `{name}` to an int of at least {least}.",
            )
    if env.stop_action not in (None, 1):
        findings.add(
            "attributes",
            f"stop_action is {env.stop_action!r}.",
            "It is 1 where objects may end by stopping, else None.",
        )
    if not hasattr(env, "reward"):
        findings.add("attributes", "`reward` is not set.", "Set `self.reward` to a LogReward.")
    if findings:
        raise AbandonedError


def _check_source(probe: ContinuousProbe) -> None:
    states, one = sources(probe)
    check_conditions(probe)
    for method, wanted in (("is_initial", True), ("is_terminal", False)):
        if bool((probe.call(method, states) != wanted).any()):
            probe.findings.add(
                "initial-state",
                f"`{method}` is {not wanted} for s0 = {probe.show(one, 0)}.",
                f"It must be {wanted} there.",
            )
            raise AbandonedError
    lines = probe.env.show(states)
    if not (isinstance(lines, list) and len(lines) == 3):
        probe.findings.add(
            "shape", f"`show` gave {lines!r} for 3 states.", "Return one string per state."
        )


def _check_lengths(probe: ContinuousProbe, walks: list[Walks]) -> None:
    env = probe.env
    short = [w for w in walks if bool((w.stopped | (w.length != env.horizon)).any())]
    if env.fixed_length and short:
        row = int((short[0].stopped | (short[0].length != env.horizon)).nonzero()[0])
        probe.findings.add(
            "fixed-length",
            f"fixed_length is True, and a trajectory ended in {probe.show(short[0].objects, row)} "
            f"after {int(short[0].length[row])} of horizon = {env.horizon} moves.",
            "Every trajectory must have exactly `horizon` moves and no stop, or fixed_length is "
            "False.",
        )
    stops = any(bool(w.stopped.any()) for w in walks)
    if stops and env.stop_action is None:
        probe.findings.add(
            "wrong-stop",
            "Trajectories stop, and stop_action is None.",
            "Set stop_action = 1: the log-probability of the stop is counted only then.",
        )


def _check_batches(
    probe: ContinuousProbe, walks: Walks, policy: RandomOutputs, generator: torch.Generator
) -> None:
    check_batches(probe, walks, policy, generator)


def _check_laws(
    probe: ContinuousProbe,
    walks: list[Walks],
    policies: list[RandomOutputs],
    generator: torch.Generator,
) -> None:
    """Each law alone: its samples, stops, atoms and measure."""
    found: list[Volume] = []
    for trajectories, policy in zip(walks, policies, strict=True):
        before, after = some_of(trajectories, STATES, generator)
        for side, states in ((FORWARD, before), (BACKWARD, after)):
            for i in range(STATES):
                state = take(states, torch.tensor([i]))
                attempt(_check_law_at, probe, side, state, policy, found, generator)
                if policy.scale == SCALES[-1] and (side == FORWARD or policy.learned):
                    _check_two(probe, side, state, generator)
    check_measure(probe, found)


def _check_law_at(
    probe: ContinuousProbe,
    side: str,
    state: Any,
    policy: RandomOutputs,
    found: list[Volume],
    generator: torch.Generator,
) -> None:
    states = take(state, torch.zeros(DRAWS, dtype=torch.int64))
    outputs = policy.forward(states) if side == FORWARD else policy.backward(states)
    law = probe.law(side, states, outputs)
    reached, stops = law.sample(generator)
    if side == FORWARD:
        check_stop(probe, law, stops, state)
    if bool(stops.all()):
        return
    going = (~stops).nonzero().squeeze(1)
    instead = torch.arange(DRAWS).where(~stops, going[0])  # where it stops the state means nothing
    log_prob = law.log_prob(take(reached, instead))
    moved = ~stops & ~check_atoms(probe, law, take(reached, instead), stops, log_prob)
    stay = float(1 - law.log_stop[0].exp())
    points = coordinates(take(reached, moved))
    what = volume(points, log_prob[moved], DRAWS, generator) if bool(moved.any()) else None
    if what is not None:
        name = "forward" if side == FORWARD else "backward"
        found.append(as_volume(name, probe.show(state, 0), what, stay))


def _check_two(probe: ContinuousProbe, side: str, state: Any, generator: torch.Generator) -> None:
    """What a law samples under two outputs, at several distances."""
    env = probe.env
    width = env.num_outputs if side == FORWARD else env.num_backward_outputs
    for scale in (0.3, 1.5):
        outputs = scale * torch.randn(2, width, generator=generator)
        attempt(
            check_law,
            probe,
            lambda states, given: probe.law(side, states, given),
            state,
            outputs,
            generator,
        )


def _check_ratio(
    probe: ContinuousProbe, walks: Walks, policy: RandomOutputs, generator: torch.Generator
) -> None:
    check_ratio(probe, walks, policy, generator)


def _check_samples(
    probe: ContinuousProbe, walks: Walks, policy: RandomOutputs, generator: torch.Generator
) -> None:
    before, after = some_of(walks, STATES, generator)
    if probe.env.takes_noise:
        mover = probe.env.mover(before)
        for i in range(STATES):
            if mover is None or int(mover[i]) != CHANCE:  # noise is added to the agent's moves
                check_noise(probe, take(before, torch.tensor([i])), policy, generator)
    if probe.env.reparametrised:
        check_retrace(probe, before, after, policy)


def _check_exploration(
    probe: ContinuousProbe, policy: RandomOutputs, generator: torch.Generator
) -> None:
    """What the exploration law draws is legal."""
    env = probe.env
    if env.exploration_law(probe.start(1)) is None:
        return
    walks = walk_forward(probe, None, WALKS // 4, generator)
    ahead, back = densities(probe, policy, walks.before, walks.after)
    none = (ahead == -torch.inf) | (back == -torch.inf)
    if bool(none.any()):
        row = int(none.nonzero()[0])
        probe.findings.add(
            "wrong-exploration",
            f"`{EXPLORATION}` moves from {probe.show(walks.before, row)} to "
            f"{probe.show(walks.after, row)}, which the laws call impossible.",
            "It must draw what is legal.",
        )

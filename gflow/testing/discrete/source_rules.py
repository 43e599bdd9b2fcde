"""Rules about sizes and sources."""

from typing import Any

from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.keys import LARGEST_KEY, WITHOUT_KEYS
from gflow.testing.findings import AbandonedError, Findings
from gflow.testing.probe import Probe
from gflow.testing.start_rules import check_conditions, sources


def check_attributes(env: DiscreteEnvironment[Any], findings: Findings) -> None:
    """Sizes are positive and the stop action is the last one."""
    for name in ("num_actions", "num_backward_actions", "horizon"):
        value = getattr(env, name, None)
        if name == "num_backward_actions" and value == 0 and not env.has_backward:
            continue
        if not isinstance(value, int) or value < 1:
            findings.add(
                "attributes",
                f"`{name}` is {value!r}.",
                f"Set `self.{name}` to a positive int in `__init__`.",
            )
    keys = env.num_keys
    if keys is not None and (not isinstance(keys, int) or keys < 1):
        findings.add(
            "attributes",
            f"`num_keys` is {keys!r}.",
            "Set `self.num_keys` to a positive int, or to None if the range is not known.",
        )
    elif env.has_keys and keys is not None and keys > LARGEST_KEY:
        findings.add(
            "key-overflow",
            f"num_keys takes {(keys - 1).bit_length()} bits, and keys of at most 62 bits fit: "
            f"`key` overflows, and different states share a key.",
            WITHOUT_KEYS,
        )
    if not hasattr(env, "reward"):
        findings.add("attributes", "`reward` is not set.", "Set `self.reward` to a LogReward.")
    if findings:
        raise AbandonedError
    if env.stop_action is not None and not 0 <= env.stop_action < env.num_actions:
        findings.add(
            "stop-index",
            f"stop_action = {env.stop_action}, and there are {env.num_actions} actions.",
            "The stop action is one of the forward actions, by convention the last.",
        )
        raise AbandonedError
    for promise, value in (("every_state_stops", True), ("has_forced_terminals", False)):
        if env.stop_action is None and getattr(env, promise) is value:
            findings.add(
                "broken-promise",
                f"{promise} is {value}, and there is no stop action.",
                "Without `stop_action` objects end by force: every_state_stops = False and "
                "has_forced_terminals = True.",
            )


def check_source(probe: Probe) -> None:
    """`initial` or `start` gives copies of one state that is initial and has no parent."""
    env, findings = probe.env, probe.findings
    states, one = sources(probe)
    check_conditions(probe)
    if not bool(probe.call("is_initial", states).all()):
        findings.add(
            "initial-state",
            f"`is_initial` is false for s0 = {probe.show(one, 0)}.",
            "It must be true there.",
        )
    back = probe.call("backward_mask", one)[0]
    if bool(back.any()):
        findings.add(
            "initial-state",
            f"s0 = {probe.show(one, 0)} allows the backward actions "
            f"{back.nonzero().flatten().tolist()}.",
            "Nothing leads into s0: forbid all backward actions there.",
        )
    if bool(probe.call("is_terminal", one).any()):
        findings.add(
            "initial-state",
            f"s0 = {probe.show(one, 0)} is terminal: nothing can be built.",
            "Check `is_terminal`.",
        )
    if not bool(probe.in_range(one).all()):
        findings.add(
            "encode-out-of-range",
            f"s0 is encoded as {env.encode(one)[0].tolist()}, outside feature_sizes = "
            f"{env.feature_sizes}.",
            "Column k of `encode` must lie in range(feature_sizes[k]).",
        )
        raise AbandonedError
    try:
        lines: Any = env.show(states)
    except Exception as error:
        lines = f"{type(error).__name__}: {error}"
    if not (isinstance(lines, list) and len(lines) == 3):
        findings.add(
            "shape", f"`show` gave {lines!r} for 3 states.", "Return one string per state."
        )

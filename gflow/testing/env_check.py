"""The contract of environments, as a test that anyone can run on their own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError
from gflow.state import batch_size
from gflow.testing.batch_rules import check_batches, check_illegal_actions
from gflow.testing.end_rules import check_ends, check_horizon
from gflow.testing.explore import Explored, explore
from gflow.testing.findings import AbandonedError, BrokenEnvironmentError, Findings
from gflow.testing.move_rules import (
    check_equivalent_actions,
    check_strays,
    check_way_back,
    check_way_forth,
)
from gflow.testing.probe import Probe
from gflow.testing.value_rules import (
    check_attributes,
    check_closed_forms,
    check_energies,
    check_keys,
    check_reward,
    check_source,
)


@dataclass(frozen=True)
class CheckedEnvironment:
    """What `check_env` looked at when it found nothing wrong.

    Attributes:
        num_states: Distinct states.
        num_transitions: Transitions, stops excluded.
        exhaustive: Whether these are all; otherwise they come from random walks.
        longest: Transitions of the longest trajectory seen; all of them if exhaustive.
    """

    num_states: int
    num_transitions: int
    exhaustive: bool
    longest: int


def check_env(
    env: DiscreteEnvironment[Any],
    *,
    examples: int = 64,
    limit: int = 2000,
    seed: int = 0,
    condition: Tensor | None = None,
) -> CheckedEnvironment:
    """Test that an environment keeps its contract, and explain every rule that it breaks.

    An environment with keys and few states is checked on all of them; others on the states of
    random walks from s0 and of random walks back from the objects.

    =========================  ================================================================
    attributes, stop-index     sizes are positive ints; the stop action is the last one
    shape, raises              every method gives what is documented and fails on no state
    initial-state              `initial` gives one s0, without parents
    mutates-input              no method changes what it is given
    forward-mask-too-wide      a legal action leads nowhere, or to a state with no way back
    forward-mask-too-narrow    a way that can be undone is not allowed
    backward-mask-too-wide     a legal backward action leads to what is no parent
    backward-mask-too-narrow   a way back is not allowed
    wrong-backstep             `_step` and `_backstep` disagree
    wrong-action-map           `backward_action` or `forward_action` names another action
    unreachable-parent         a backward move leads out of what can be reached
    duplicate-children         two actions with one child (-parents: one parent), not declared
    wrong-classes              `forward_classes` or `backward_classes` labels are wrong
    stuck-state, no-parent     a state without actions that is not terminal; without a way back
    terminal-has-actions       a terminal state that allows actions
    broken-promise             every_state_stops or has_forced_terminals is not true
    no-object, never-ends      nothing can be finished
    cycle, horizon-too-small   a state leads to itself; a trajectory is longer than `horizon`
    no-way-to-source           walking back takes longer than `horizon`
    key-collision              different states share a key
    key-out-of-range           a key outside range(num_keys)
    key-not-a-function         one state has two keys
    encode-out-of-range        features outside `feature_sizes`
    reward-shape               not one floating-point number per object
    reward-not-finite          NaN or infinite
    energies                   unfinished objects without a finite energy, or objects with another
                               than -log R
    batch-dependence           a row's result depends on other rows
    not-deterministic          two calls differ
    illegal-action-raises      a step raises for an illegal action instead of returning anything
    wrong-log-partition        the closed form of log Z is not the sum
    wrong-max-entropy-logits   they do not count the ways from s0
    =========================  ================================================================

    Args:
        env: The environment.
        examples: Number of random walks, if it is not enumerated.
        limit: Enumerate up to this many states.
        seed: For the random walks.
        condition: (1, C) condition under which to score rewards that need one; ones by default.

    Returns:
        What was checked.

    Raises:
        BrokenEnvironmentError: With all findings. It is an AssertionError too.

    Example:
        >>> from gflow.testing import TableEnvironment
        >>> diamond = TableEnvironment([[1, 2], [3], [3], []], [0.0, 0.0, 0.0, 1.0])
        >>> check_env(diamond)
        CheckedEnvironment(num_states=4, num_transitions=4, exhaustive=True, longest=2)
    """
    if examples < 1 or limit < 1:
        raise ConfigError(f"check_env: examples and limit must be positive: {examples}, {limit}.")
    findings = Findings()
    found = None
    try:
        found = _check(env, findings, examples, limit, seed, condition)
    except AbandonedError:
        pass
    if findings:
        raise BrokenEnvironmentError(_name(env), findings)
    assert found is not None
    count, edges = batch_size(found.states), len(found.parent)
    return CheckedEnvironment(count, edges, found.exhaustive, found.longest)


def _check(
    env: DiscreteEnvironment[Any],
    findings: Findings,
    examples: int,
    limit: int,
    seed: int,
    condition: Tensor | None,
) -> Explored:
    generator = torch.Generator().manual_seed(seed)
    if condition is None and env.condition_dim:
        condition = torch.ones(1, env.condition_dim)
    check_attributes(env, findings)
    probe = Probe(env, findings)
    check_source(probe)
    found = explore(probe, examples, limit, generator)
    check_strays(probe, found)
    check_keys(probe, found)  # what follows trusts keys
    for rule in (check_way_back, check_way_forth, check_ends, check_equivalent_actions):
        _attempt(rule, probe, found)
    _attempt(check_horizon, probe, found)
    _attempt(check_reward, probe, found, condition)
    if not findings:
        check_energies(probe, found, condition)
    _attempt(check_batches, probe, found, generator)
    _attempt(check_illegal_actions, probe, found)
    if not findings:
        check_closed_forms(probe, found)
    return found


def _attempt(rule: Any, *args: Any) -> None:
    """One rule that cannot be checked to its end does not keep the others from being checked."""
    try:
        rule(*args)
    except AbandonedError:
        return


def _name(env: DiscreteEnvironment[Any]) -> str:
    try:
        return env.name
    except Exception:
        return type(env).__name__

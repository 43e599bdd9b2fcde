"""The contract of environments, as a test that anyone can run on their own."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import ConfigError, ShapeError
from gflow.testing.continuous.rules import check_continuous
from gflow.testing.discrete.rules import check_discrete
from gflow.testing.findings import AbandonedError, BrokenEnvironmentError
from gflow.testing.plan import CheckedEnvironment, Plan


def check_env(
    env: Environment[Any],
    *,
    examples: int = 64,
    limit: int = 2000,
    seed: int = 0,
    condition: Tensor | None = None,
    zero: bool = False,
) -> CheckedEnvironment:
    """Test that an environment keeps its contract, and explain every rule that it breaks.

    Either kind of environment. These rules hold for both:

    =========================  ================================================================
    attributes                 sizes are positive ints
    shape, raises              every method gives what is documented and fails on no state
    initial-state              `initial` gives one s0, without parents
    source-reads-condition     it says whether `start` reads its condition
    mutates-input              no method changes what it is given
    terminal-has-actions, stuck-state, no-object, never-ends, horizon-too-small,
    no-path-to-source          walks end in objects within `horizon`, and lead back to s0
    reward-shape               not one floating-point number per object
    reward-not-finite          NaN or infinite
    energies                   unfinished objects without a finite energy, or objects with another
                               than -log R
    batch-dependence           a row's result depends on other rows
    not-deterministic          two calls differ
    wrong-log-partition        the closed form of log Z is not the sum, or integral
    =========================  ================================================================

    A `DiscreteEnvironment` with keys and few states is checked on all of them; others on the states
    of random walks from s0 and of random walks back from the objects.

    =========================  ================================================================
    stop-index                 the stop action is one of the actions
    forward-mask-too-wide      a legal action leads nowhere, or to a state that no move leaves
                               backward
    forward-mask-too-narrow    a move that can be undone is not allowed
    backward-mask-too-wide     a legal backward action leads to what is no parent
    backward-mask-too-narrow   the move back to a parent is not allowed
    wrong-backstep             `_step` and `_backstep` disagree
    wrong-action-map           `backward_action` or `forward_action` names another action
    unreachable-parent         a backward move leads out of what can be reached
    duplicate-children         two actions with one child (-parents: one parent), not declared
    wrong-classes              `forward_classes` or `backward_classes` labels are wrong
    no-parent                  a state without a move back
    broken-promise             every_state_stops or has_forced_terminals is not true
    cycle                      a state leads to itself
    key-overflow               num_keys is beyond 62 bits
    key-collision              different states share a key
    key-out-of-range           a key outside range(num_keys)
    key-not-a-function         one state has two keys
    wrong-all-states           row k of `all_states` is not the state with key k
    encode-out-of-range        features outside `feature_sizes`
    illegal-action-raises      a step raises for an illegal action instead of returning anything
    wrong-mover                `mover` gives other numbers than those of its table
    wrong-chance-law           `chance_law` allows illegal moves, or its probabilities are none
    wrong-max-entropy-logits   they do not count the paths from s0
    wrong-reaches              `reaches` says another thing than the moves
    =========================  ================================================================

    A `ContinuousEnvironment` is checked on sampled moves, with random policies; what is compared
    are bounded means, at six standard errors (see `gflow.testing.continuous`).

    =========================  ================================================================
    fixed-length               trajectories do not have `horizon` moves though it is promised
    wrong-stop                 a stop where `can_stop` is false, or none where it is true; other
                               probabilities of stopping than `log_stop`
    no-backward-density,
    no-forward-density         a sampled move has no density in the other direction
    wrong-density              the samples of a law are not distributed as its `log_prob` says
    wrong-atom                 a move to one place has another probability than `log_prob` says;
                               a forced move must have log-probability 0
    wrong-measure              the densities of one direction are not per length, area or volume as
                               those of the other are
    wrong-ratio                forward and backward log-probabilities of whole trajectories do not
                               have the ratio with which both are sampled
    wrong-retrace              `retrace` changes the values, or its gradients are not those of a
                               sample
    wrong-noise                `takes_noise` is not true
    wrong-exploration          `exploration_law` makes moves that are not legal
    wrong-objects              exact samples are not samples of R / Z
    =========================  ================================================================

    Args:
        env: The environment.
        examples: Number of random walks, if it is not enumerated.
        limit: Enumerate up to this many states.
        seed: For the random walks.
        condition: (1, C) or (C,) what sources and rewards read; ones by default.
        zero: Let log R be -inf: objects without mass. Exact answers and metrics have them;
            objectives refuse them when they are met.

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
    plan = Plan(examples, limit, seed, _condition(env, condition), zero)
    check = check_discrete if env.numbered else check_continuous
    checked = None
    try:
        checked = check(env, plan)
    except AbandonedError:
        pass
    if plan.findings:
        raise BrokenEnvironmentError(_name(env), plan.findings)
    assert checked is not None
    return checked


def _condition(env: Environment[Any], condition: Tensor | None) -> Tensor | None:
    """(1, C) the condition to check with, or None."""
    if condition is None:
        return torch.ones(1, env.condition_dim) if env.condition_dim else None
    one = condition[None] if condition.dim() == 1 else condition
    if one.dim() != 2 or one.shape[0] != 1 or (env.condition_dim or one.shape[1]) != one.shape[1]:
        raise ShapeError(
            f"check_env: the condition must be one row, (1, {env.condition_dim or 'C'}), got "
            f"{tuple(condition.shape)}."
        )
    return one


def _name(env: Environment[Any]) -> str:
    try:
        return env.name
    except Exception:
        return type(env).__name__

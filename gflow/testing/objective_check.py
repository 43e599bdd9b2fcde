"""The contract of objectives, as a test that anyone can run on their own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, IncompatibleError
from gflow.objective import Objective, Solution
from gflow.source import Source
from gflow.testing.case import Case
from gflow.testing.findings import AbandonedError, BrokenObjectiveError, Findings
from gflow.testing.learning_rules import check_fixed_point, check_gradients, check_keeps_order
from gflow.testing.objective_rules import (
    check_implied_reward,
    check_lengths,
    check_log_z,
    check_padding,
    check_permutation,
    check_sees_policy,
    check_shapes_and_weights,
    check_zero_at_solution,
    ordered,
)
from gflow.testing.part_rules import check_parts
from gflow.testing.samples import samples_for


@dataclass(frozen=True)
class CheckedObjective:
    """What `check_objective` looked at when it found nothing wrong.

    Attributes:
        environments: Number of environments on which the objective can work.
        refused: Number of those that it refuses (`Objective.refusal`).
        num_trajectories: All their trajectories together.
    """

    environments: int
    refused: int
    num_trajectories: int


def check_objective(
    factory: Callable[[], Objective],
    env: DiscreteEnvironment[Any] | Sequence[DiscreteEnvironment[Any]] | None = None,
    *,
    solve: bool = True,
    garbage: bool = False,
    limit: int = 2000,
    seed: int = 0,
) -> CheckedObjective:
    """Test that an objective keeps its contract, and explain every rule that it breaks.

    On each environment all states are listed, the flows are solved for a random backward policy,
    and every trajectory is put into one batch. Everything is in float64.

    =======================  ==================================================================
    raises, shape            `residual`, `weight`, `per_trajectory`, `log_z_estimate`: (B, ...)
    weights                  finite, not negative, not all zero, without gradient
    residual-at-solution     every residual vanishes (1e-9) at the exact solution
    log-z-estimate           it is log Z there
    blind-to-policy          after log P_F of one transition is changed, every trajectory that
                             takes it has a residual
    parts                    an objective that says `Needs(from_source=False)` or `whole=False` has
                             residuals that vanish on late, or early, parts of trajectories too
    padding                  more padding changes nothing (with `garbage`: whatever it holds)
    permutation              reordering the batch reorders `per_trajectory`
    mixed-lengths            residuals do not depend on how long the *other* trajectories are.
                             Objectives whose residuals compare the trajectories of a batch, as
                             VarGrad's, are recognised by that and excused. Weights may depend
                             on the batch.
    no-gradient              gradients reach the policy's heads that are read, and all parameters
    gradient-not-finite      they hold no NaN
    fixed-point              a tabular policy with uniform P_B, trained on all trajectories by
                             L-BFGS, samples from the target (total variation below 1e-4)
    =======================  ==================================================================

    A parameter `log_z` (a `LogZ`, or a plain nn.Parameter) is set to its exact value; networks of
    states (`Objective.networks`) are set to zero; other parameters of the objective are fitted at
    the solution before its residuals are judged.

    The objective says what its solution is (`Objective.solution`). Where that is ORDERED it may
    lack residuals, and these rules replace those that name the target:

    =======================  ==================================================================
    implied-reward           at the exact flows of a reward, `implied_log_reward` is log R of every
                             object up to one constant (instead of log-z-estimate)
    blind-to-policy          a trajectory may show the change in its implied log-reward
    order                    trained on all trajectories, the policy prefers of any two objects
                             the one with the greater reward (instead of fixed-point)
    =======================  ==================================================================

    Where it is EXPECTED, samples have moves of chance too, the solution is what
    `Objective.exact_flows` gives, and fixed-point asks for what these flows build.

    Where it is ADVERSARIAL or EQUILIBRIUM the exact solution is that of `adversarial_flows` or
    `player_flows`, log Z is the first player's, and fixed-point asks that every player chooses as
    there at every state of theirs (1e-3). Moves of chance are nobody's to change.

    Args:
        factory: The class, of which `build(env)` is called, or a function without arguments that
            builds the objective.
        env: An enumerable environment or several; by default those of `gflow.testing.samples` on
            which its solution has something to show.
        solve: Whether to look for the fixed point, which takes most of the time. Switch it off
            for objectives that are not minimised by plain descent of their loss, or that are not
            off-policy (for those it is skipped by itself).
        garbage: Whether padding may hold NaN and infinities. Flow terms from `evaluate` hold zeros
            there, and objectives may rely on that; without `garbage` they are given zeros.
        limit: Largest number of trajectories of an environment.
        seed: For backward policies and perturbations.

    Returns:
        What was checked.

    Raises:
        BrokenObjectiveError: With all findings. It is an AssertionError too.
        ConfigError: If the objective refuses all environments, or has no residuals though its
            solution is not ORDERED (divergences).

    Example:
        >>> from gflow.objectives import TrajectoryBalance
        >>> check_objective(TrajectoryBalance, solve=False)
        CheckedObjective(environments=5, refused=0, num_trajectories=41)
    """
    if env is None:
        envs: list[DiscreteEnvironment[Any]] = samples_for(_solution(factory))
    else:
        envs = list(env) if isinstance(env, Sequence) else [env]
    findings = Findings()
    name = getattr(factory, "__name__", repr(factory))
    reasons, count = [], 0
    with _float64():
        for at, one in enumerate(envs):
            made = _builder(factory, one)
            try:
                objective = made()
            except IncompatibleError as error:
                reasons.append(str(error))
                continue
            name = type(objective).__name__
            if not isinstance(objective.solution, Solution):
                raise ConfigError(
                    f"check_objective: {name}.solution must be one of "
                    f"{', '.join(str(one) for one in Solution)}, got {objective.solution!r}."
                )
            reason = objective.refusal(one)
            if reason is not None:
                reasons.append(reason)
                continue
            generator = torch.Generator().manual_seed(seed + at)
            case = Case(one, objective, made, findings, generator, limit)
            count += len(case.trajectories)
            _check(case, solve, garbage)
    if reasons and len(reasons) == len(envs):
        raise ConfigError(
            f"check_objective: {name} refuses all {len(envs)} environments: {reasons[0]} Pass an "
            f"environment that it accepts."
        )
    if findings:
        raise BrokenObjectiveError(name, findings)
    return CheckedObjective(len(envs) - len(reasons), len(reasons), count)


def _check(case: Case, solve: bool, garbage: bool) -> None:
    try:
        check_shapes_and_weights(case)
        check_zero_at_solution(case)
    except AbandonedError:
        return
    rules: list[Callable[[Case], None]] = [
        check_implied_reward if ordered(case) else check_log_z,
        check_sees_policy,
        lambda c: check_padding(c, garbage),
        check_permutation,
        check_lengths,
        check_gradients,
        check_parts,
    ]
    anywhere = Source.OTHER in case.objective.learns_from
    if solve and anywhere and "residual-at-solution" not in case.findings:
        rules.append(check_keeps_order if ordered(case) else check_fixed_point)
    for rule in rules:
        try:
            rule(case)
        except AbandonedError:
            continue


def _solution(factory: Any) -> Any:
    """What the objectives that a factory builds name as their solution."""
    named = factory if isinstance(factory, type) and issubclass(factory, Objective) else factory()
    return named.solution


def _builder(
    factory: Callable[[], Objective], env: DiscreteEnvironment[Any]
) -> Callable[[], Objective]:
    cls: Any = factory
    if isinstance(cls, type) and issubclass(cls, Objective):
        return lambda: cls.build(env)
    return factory


@contextmanager
def _float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

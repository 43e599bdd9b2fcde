"""Rules about what objectives teach: gradients reach all that learns, and lead to the solution."""

import torch
from torch import nn

from gflow.exact.tabular import TabularPolicy
from gflow.learner import parameters_of
from gflow.objective import Solution
from gflow.state import take
from gflow.testing.case import Case
from gflow.testing.objective_rules import NONZERO, ordered, random_policy
from gflow.testing.solve import minimise

SOLVED = 1e-4
"""Total variation from the target at the fixed point."""
ALIKE = 1e-3
"""Largest difference of a probability from that of the solution where players move."""


def check_gradients(case: Case) -> None:
    """Gradients reach everything that can learn."""
    objective = case.factory()
    policy = random_policy(case, "learned")
    loss = case.ask("forward", case.evaluate(policy, objective), objective)
    if not loss.requires_grad:
        case.note("no-gradient", "the loss has no gradient.", "Do not detach the residuals.")
        return
    loss.backward()
    parts: list[tuple[str, nn.Parameter]] = []
    if len(case.choices):  # else P_F is 1 everywhere, and has no gradient
        parts.append(("forward logits", policy.forward_table))
    # A learned reward is free up to a constant, and log F(s0) alone may be no more than that.
    if objective.needs.log_flow and (not ordered(case) or int(case.terms.length.max()) > 1):
        parts.append(("log-flows", policy.flow_table))
    fitted = parameters_of(objective.learners(case.env))  # beside it, by losses of their own
    parts += [
        (f"parameter {name!r}", p)
        for name, p in objective.named_parameters()
        if id(p) not in fitted
    ]
    for name, parameter in parts:
        grad = parameter.grad
        if grad is None or bool((grad == 0).all()):
            case.note(
                "no-gradient",
                f"no gradient reaches the {name} at a random policy.",
                "The residual must depend on it, without `detach`. A parameter that the formula "
                "does not read should not exist; a head that it does not read should not be in "
                "`needs`.",
            )
        elif not bool(grad.isfinite().all()):
            case.note(
                "gradient-not-finite",
                f"the gradient of the {name} at a random policy holds "
                f"{float(grad[~grad.isfinite()][0])}.",
                "Use `where` *before* operations that are infinite or NaN, not after: their "
                "gradient is NaN even where the result is thrown away.",
            )


def check_fixed_point(case: Case) -> None:
    """Where the loss is smallest, the policy is the solution that the objective names."""
    if case.objective.solution in (Solution.ADVERSARIAL, Solution.EQUILIBRIUM):
        _check_players(case)
    else:
        _check_target(case)


def _check_players(case: Case) -> None:
    """Every player chooses as at the exact solution, wherever they may move."""
    policy, left = _settle(case, 1000)
    graph, edges = case.graph, case.choices
    log_pf, log_stop = graph.log_pf(policy)
    wrong = (log_pf.exp() - case.flows.log_pf.exp()).abs()[edges]
    stops = (log_stop.exp() - case.flows.log_stop.exp()).abs()[graph.parent[edges]]
    error = torch.maximum(wrong, stops)
    if float(error.max()) < ALIKE:
        return
    row = int(graph.parent[edges[error.argmax()]])
    case.note(
        "fixed-point",
        f"trained on all trajectories until the loss is {left:.3g}, the policy at "
        f"{case.env.show(graph.states)[row]} is {float(error.max()):.4f} from the exact solution.",
        "Where the loss is smallest each player must choose in proportion to what their children "
        "are worth to them: residuals must vanish *only* there.",
    )


def _check_target(case: Case) -> None:
    """The objects are sampled in proportion to their reward, or as the exact flows do."""
    policy, left = _settle(case, 400)
    graph, what, wanted = case.graph, "the target", "in proportion to their reward"
    if case.objective.solution is Solution.PROPORTIONAL and not graph.env.has_chance:
        target = graph.log_target()
    else:
        flows = case.objective.exact_flows(graph)
        target = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
        what, wanted = "what its exact flows build", "as `Objective.exact_flows` says"
    distance = float((graph.terminal_distribution(policy).exp() - target.exp()).abs().sum() / 2)
    if not distance < SOLVED:
        case.note(
            "fixed-point",
            f"trained on all trajectories until the loss is {left:.3g}, the policy is "
            f"{distance:.4f} in total variation from {what}.",
            f"Where the loss is smallest the objects must be sampled {wanted}: "
            "residuals must vanish *only* there. A loss that is far from zero points to an "
            "optimisation that failed or residuals that contradict each other.",
        )


def check_keeps_order(case: Case) -> None:
    """Trained on everything, the policy prefers what has the greater reward.

    The loss has no minimum, gaps grow for ever: a limited search is enough to see their signs.
    """
    policy, left = _settle(case, 100)
    reached, target = case.graph.terminal_distribution(policy), case.graph.log_target()
    wrong = (target[:, None] - target > NONZERO) & (reached[:, None] <= reached)
    if bool(wrong.any()):
        better, worse = wrong.nonzero()[0].tolist()
        names = case.env.show(take(case.graph.states, case.graph.objects))
        case.note(
            "order",
            f"trained on all trajectories until the loss is {left:.3g}, the policy builds "
            f"{names[better]} with probability {float(reached[better].exp()):.3g} and "
            f"{names[worse]} with {float(reached[worse].exp()):.3g}, although the former has the "
            f"greater reward.",
            "Of two objects the better must become the likelier one.",
        )


def _settle(case: Case, iterations: int) -> tuple[TabularPolicy, float]:
    """A policy trained on all trajectories by L-BFGS, and the loss it was left with."""
    objective = case.factory()
    policy = case.tables("uniform")
    parameters = [p for p in [*policy.parameters(), *objective.parameters()] if p.requires_grad]
    left = minimise(
        lambda: case.ask("forward", case.evaluate(policy, objective), objective),
        parameters,
        iterations,
        1e-10,
    )
    return policy, left

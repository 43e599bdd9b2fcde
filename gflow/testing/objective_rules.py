"""Rules about objectives: zero at the solution, non-zero off it, blind to everything else."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gflow.errors import ConfigError, GFlowError
from gflow.exact.tabular import TabularPolicy
from gflow.objective import Solution
from gflow.terms import FlowTerms
from gflow.testing.case import Case, mapped, pad, rows_of, spoil
from gflow.testing.findings import AbandonedError
from gflow.testing.solve import minimise

ZERO = 1e-9
"""Residuals this small count as zero, in float64."""
NONZERO = 1e-6
"""Residuals this large count as non-zero."""
NUDGE, FELT = 0.7, 1e-4
"""By how much a logit is changed, and what that must do to log P_F for anyone to notice."""
MOST_TRANSITIONS = 40
"""Of so many transitions log P_F is perturbed, one after the other."""


def ordered(case: Case) -> bool:
    """Whether the objective learns a reward, whose order alone is given."""
    return case.objective.solution is Solution.ORDERED


# ---------------------------------------------------------------------- shape and weights


def check_shapes_and_weights(case: Case) -> None:
    """Residuals and weights are (B, ...), weights say how much and not how to learn."""
    count = len(case.trajectories)
    residual = case.ask("residual", case.terms)
    if residual.dim() == 0 or residual.shape[0] != count:
        case.note(
            "shape",
            f"`residual` returned {tuple(residual.shape)} for {count} trajectories.",
            "Return (B, ...): one or several residuals per trajectory, not reduced.",
        )
        raise AbandonedError
    if not ordered(case) and not residual.numel():
        raise ConfigError(
            f"check_objective: {type(case.objective).__name__} has no residuals, so that there is "
            f"nothing that must vanish on every trajectory. Compare its loss with what it measures."
        )
    weight = case.ask("weight", case.terms)
    if weight.shape != residual.shape:
        case.note(
            "shape",
            f"`weight` has shape {tuple(weight.shape)}, `residual` {tuple(residual.shape)}.",
            "Return one weight per residual.",
        )
        raise AbandonedError
    for method, wanted in (("per_trajectory", (count,)), ("forward", ())):
        got = tuple(case.ask(method, case.terms).shape)
        if got != wanted:
            case.note("shape", f"`{method}` returned {got}.", f"Return shape {wanted}.")
            raise AbandonedError
    bad = ~weight.isfinite() | (weight < 0)
    idle = not ordered(case) and not bool((weight > 0).any())
    if bool(bad.any()) or idle or weight.requires_grad:
        what = "all are zero"
        if bool(bad.any()):
            row = int(bad.reshape(count, -1).any(1).nonzero()[0])
            what = f"one of {case.shown(row)} is {float(weight[bad][0]):.4g}"
        elif weight.requires_grad:
            what = "they carry a gradient"
        case.note(
            "weights",
            f"`weight` is wrong: {what}.",
            "Weights are finite, not negative, positive somewhere, and detached: a weight that "
            "learns would shrink instead of the residual.",
        )


# ---------------------------------------------------------------------- at the solution


def check_zero_at_solution(case: Case) -> None:
    """Every residual vanishes at the exact flows."""
    known = _set_log_z(case)
    residual = case.ask("residual", case.terms).detach()
    if not residual.numel() and ordered(case):
        return
    known += [p for network in case.objective.networks for p in network.parameters()]
    others = [p for p in case.objective.parameters() if not any(p is k for k in known)]
    if others and float(residual.abs().max()) > ZERO:
        _fit(case, others)
        residual = case.ask("residual", case.terms).detach()
    size = residual.abs().nan_to_num(nan=math.inf)
    if float(size.max()) <= ZERO:
        return
    row = int(size.reshape(len(size), -1).amax(1).argmax())
    guess = _diagnose(case, residual)
    case.note(
        "residual-at-solution",
        f"at the exact solution the residual of {case.shown(row)} is "
        f"{[round(v, 6) for v in residual[row].flatten().tolist()]}, not 0.{guess}",
        "Check the signs, and that log R, log Z and log P_B each enter once.",
    )


def check_log_z(case: Case) -> None:
    """At the solution the objective knows log Z."""
    if "residual-at-solution" in case.findings:
        return
    value = case.ask("log_z_estimate", case.terms).detach()
    count = len(case.trajectories)
    if tuple(value.shape) != (count,):
        case.note(
            "log-z-estimate",
            f"`log_z_estimate` returned {tuple(value.shape)}.",
            f"Return one estimate per trajectory, ({count},).",
        )
    elif not bool(((value - case.flows.log_z).abs() <= 1e-8).all()):
        case.note(
            "log-z-estimate",
            f"`log_z_estimate` is {float(value[0]):.6g} at the exact solution; log Z is "
            f"{case.flows.log_z:.6g}.",
            "It must be the log of the total flow.",
        )


def check_implied_reward(case: Case) -> None:
    """The reward that the exact flows imply is the one they are the flows of."""
    if "residual-at-solution" in case.findings:
        return
    check_estimate_shape(case)
    value = case.ask("implied_log_reward", case.terms).detach()
    if tuple(value.shape) != (len(case.trajectories),):
        case.note(
            "implied-reward",
            f"`implied_log_reward` returned {tuple(value.shape)}.",
            "Return the log-reward of each trajectory's object, (B,).",
        )
        raise AbandonedError
    error = value - case.terms.log_reward
    error = (error - error[0]).abs().nan_to_num(nan=math.inf)
    if float(error.max()) > ZERO:
        row = int(error.argmax())
        case.note(
            "implied-reward",
            f"at the exact flows the implied log-reward of {case.shown(row)} is "
            f"{float(value[row]):.6g} and of {case.shown(0)} {float(value[0]):.6g}; log R is "
            f"{float(case.terms.log_reward[row]):.6g} and {float(case.terms.log_reward[0]):.6g}.",
            "Differences of implied log-rewards must be those of log R there: check the signs, and "
            "which transition is the last.",
        )


def check_estimate_shape(case: Case) -> None:
    """`log_z_estimate` is one finite number per trajectory."""
    value = case.ask("log_z_estimate", case.terms).detach()
    count = len(case.trajectories)
    if tuple(value.shape) != (count,) or not bool(value.isfinite().all()):
        case.note(
            "log-z-estimate",
            f"`log_z_estimate` returned {tuple(value.shape)}, or numbers that are not finite.",
            f"Return one estimate per trajectory, ({count},).",
        )


def check_sees_policy(case: Case) -> None:
    """A wrong log P_F of one transition shows on every trajectory that takes it."""
    if "residual-at-solution" in case.findings or "implied-reward" in case.findings:
        return
    learned = ordered(case)
    before = case.ask("implied_log_reward", case.terms).detach() if learned else None
    graph, batch = case.graph, case.trajectories
    rows = graph.rows(batch.states)[batch.state_index]  # (B, T + 1) states of the graph
    edges = case.choices
    share = case.flows.log_pf[edges].exp()
    edges = edges[NUDGE - (share * math.expm1(NUDGE)).log1p() > FELT]
    for e in edges[:: max(1, len(edges) // MOST_TRANSITIONS)].tolist():
        parent, child = int(graph.parent[e]), int(graph.child[e])
        takes = ((rows[:, :-1] == parent) & (rows[:, 1:] == child)).any(1)
        needs = case.objective.needs
        policy = TabularPolicy.solved(graph, case.flows, needs.edge_flow, needs.energy)
        with torch.no_grad():
            policy.forward_table[parent, graph.action[e]] += NUDGE
        terms = case.evaluate(policy)
        residual = case.ask("residual", terms).detach()
        shows = (residual.abs().reshape(len(residual), -1) >= NONZERO).any(1)
        if before is not None:
            implied = case.ask("implied_log_reward", terms).detach()
            shows |= (implied - before).abs() >= NONZERO
        quiet = ~shows
        if bool((takes & quiet).any()):
            row = int((takes & quiet).nonzero()[0])
            names = case.env.show(graph.states)
            case.note(
                "blind-to-policy",
                f"log P_F({names[child]} | {names[parent]}) was changed, and the residuals of "
                f"{case.shown(row)} are still zero{', its implied reward the same' * learned}.",
                "Each trajectory must notice a wrong probability of any of its transitions.",
            )
            return


# ---------------------------------------------------------------------- batches


def check_padding(case: Case, garbage: bool) -> None:
    """What stands after the end of a trajectory does not matter."""
    terms = _off_solution(case)
    before = case.ask("per_trajectory", terms).detach()
    longer = pad(terms, 2)
    kinds = [(longer, "with two more columns of padding")]
    if garbage:
        kinds += [
            (spoil(longer, value), f"with padding that holds {value}")
            for value in (math.nan, math.inf, -math.inf)
        ]
    for other, how in kinds:
        after = case.ask("per_trajectory", other).detach()
        wrong = ~torch.isclose(after, before, rtol=1e-9, atol=1e-12)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            case.note(
                "padding",
                f"the share of {case.shown(row)} in the loss is {float(before[row]):.6g}, and "
                f"{float(after[row]):.6g} {how}.",
                "Read nothing after the end: mask with `terms.mask`, divide by `terms.length` and "
                "not by the width, take the last state by `gather`.",
            )
            return


def check_permutation(case: Case) -> None:
    """The order of the trajectories does not matter."""
    terms = _off_solution(case)
    order = torch.randperm(len(terms.length), generator=case.generator)
    before = case.ask("per_trajectory", terms).detach()[order]
    after = case.ask("per_trajectory", rows_of(terms, order)).detach()
    wrong = ~torch.isclose(after, before, rtol=1e-9, atol=1e-12)
    if bool(wrong.any()):
        row = int(order[wrong.nonzero()[0]])
        case.note(
            "permutation",
            f"the share of {case.shown(row)} in the loss changes when the batch is reordered.",
            "`residual` and `weight` must treat all trajectories alike.",
        )


def check_lengths(case: Case) -> None:
    """Residuals are the same next to trajectories of any length."""
    terms = _off_solution(case)
    whole = case.ask("residual", terms).detach()
    width = terms.log_pf.shape[1]
    longest = int((terms.length == width).nonzero()[0])
    lengths = torch.unique(terms.length).tolist()
    for length in lengths[:-1]:
        row = int((terms.length == length).nonzero()[0])
        pair = torch.tensor([row, longest])
        try:
            near = case.objective.residual(rows_of(terms, pair)).detach()
            alone = case.objective.residual(rows_of(terms, pair[:1], length)).detach()
        except GFlowError:
            return  # it needs more than one trajectory
        if not torch.allclose(near, whole[pair], rtol=1e-9, atol=1e-9):
            return  # residuals compare trajectories: there is nothing to compare with
        one, other = (
            torch.sort(r[0].reshape(-1)[r[0].reshape(-1).abs() > NONZERO]).values
            for r in (near, alone)
        )
        if len(one) != len(other) or not torch.allclose(one, other, rtol=1e-9, atol=1e-9):
            case.note(
                "mixed-lengths",
                f"the residuals of {case.shown(row)} are {one.tolist()} next to a trajectory of "
                f"{width} transitions and {other.tolist()} alone.",
                "A residual must depend on its own trajectory up to its own end.",
            )
            return


# ---------------------------------------------------------------------- helpers


def _off_solution(case: Case) -> FlowTerms:
    with torch.no_grad():
        return case.evaluate(random_policy(case, "learned"))


def random_policy(case: Case, backward: Any) -> TabularPolicy:
    """Tables of normal numbers."""
    policy = case.tables(backward)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=case.generator)
    return policy


def _set_log_z(case: Case) -> list[nn.Parameter]:
    """Give the objective the exact log Z where it keeps it in the usual place."""
    holder = getattr(case.objective, "log_z", None)
    value = holder if isinstance(holder, nn.Parameter) else getattr(holder, "value", None)
    if not isinstance(value, nn.Parameter) or value.numel() != 1:
        return []
    with torch.no_grad():
        value.fill_(case.flows.log_z)
    return [value]


def _fit(case: Case, parameters: list[nn.Parameter]) -> None:
    """Let parameters of the objective that are not known find their values."""
    terms = mapped(case.terms, lambda name, value: value.detach())
    minimise(lambda: case.ask("forward", terms), parameters, 500, 1e-13)


def _log_branching(terms: FlowTerms) -> tuple[Tensor | None, Tensor | None]:
    """Summed over trajectories and by transition: log b(s) with the sign of its player."""
    value = terms.log_branching
    if value is None:
        return None, None
    if terms.mover is not None:
        value = torch.where(terms.mover == -1, -value, value)
    return value.sum(-1), value


def _diagnose(case: Case, residual: Tensor) -> str:
    """Whether the error is a multiple of a quantity that should cancel."""
    terms = mapped(case.terms, lambda name, value: value.detach())
    ends = torch.arange(terms.log_pf.shape[1]) == terms.length[:, None] - 1
    parts = {
        "log P_F": (terms.log_pf.sum(-1), terms.log_pf),
        "log P_B": (terms.log_pb.sum(-1), terms.log_pb),
        "log R": (terms.log_reward, terms.log_reward[:, None] * ends),
        "log Z": (torch.full_like(terms.log_reward, case.flows.log_z), None),
        "log F(s)": (None, None if terms.log_flow is None else terms.log_flow[:, :-1]),
        "the signed log b(s)": _log_branching(terms),
        "log F(s')": (None, None if terms.log_flow is None else terms.log_flow[:, 1:]),
    }
    for name, pair in parts.items():
        value = pair[residual.dim() - 1] if residual.dim() <= 2 else None
        if value is None or value.shape != residual.shape:
            continue
        for factor in (1, -1, 2, -2):
            wrong = (residual - factor * value).where(
                terms.mask if residual.dim() == 2 else residual == residual, 0.0
            )
            if float(wrong.abs().max()) <= 1e-7 and float(value.abs().max()) > ZERO:
                often = "is missing or counted twice" if abs(factor) == 1 else "has the wrong sign"
                shown = {1: "", -1: "-", 2: "2 ", -2: "-2 "}[factor]
                return f" All residuals equal {shown}{name}: it {often}."
    return ""

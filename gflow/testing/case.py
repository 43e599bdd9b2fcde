"""An objective on one environment with everything known: exact flows and all trajectories."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.exact.graph import enumerate_states
from gflow.exact.tabular import TabularPolicy
from gflow.objective import Objective
from gflow.policies.base import Backward
from gflow.terms import FlowTerms
from gflow.testing.enumeration import all_trajectories
from gflow.testing.findings import AbandonedError, Findings

PER_OBJECT = ("condition", "scores")
"""Terms whose second axis is not time."""


class Case:
    """One objective on one environment, with the exact solution and all trajectories.

    Args:
        env: The environment.
        objective: The objective to test.
        factory: Builds a fresh one.
        findings: Where to note what is wrong.
        generator: For the backward policy.
        limit: Largest number of trajectories.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        objective: Objective,
        factory: Callable[[], Objective],
        findings: Findings,
        generator: torch.Generator,
        limit: int,
    ) -> None:
        self.env, self.objective, self.factory = env, objective, factory
        self.findings, self.generator = findings, generator
        self.graph = enumerate_states(env)
        self.trajectories = all_trajectories(env, limit)
        # A random backward policy: under the uniform one many mistakes cancel.
        edge = torch.randn(len(self.graph.parent), generator=generator)
        total = torch.zeros(len(self.graph)).index_add(0, self.graph.child, edge.exp()).log()
        self.flows = objective.exact_flows(self.graph, edge - total[self.graph.child])
        self.policy = TabularPolicy.solved(
            self.graph, self.flows, objective.needs.edge_flow, objective.needs.energy
        )
        with torch.no_grad():  # the solution is written for networks that say nothing
            for network in objective.networks:
                for parameter in network.parameters():
                    parameter.zero_()
        self.terms = self.evaluate(self.policy)

    @property
    def choices(self) -> Tensor:
        """Transitions that somebody chose: not those of chance, nor those without another one."""
        graph = self.graph
        stops = graph.can_end
        if self.env.has_forced_terminals:
            stops = stops & ~self.env.is_terminal(graph.states)
        options = torch.bincount(graph.parent, minlength=len(graph)) + stops
        free = (options > 1) & (graph.movers != CHANCE)
        return free[graph.parent].nonzero().squeeze(1)

    def tables(self, backward: Backward) -> TabularPolicy:
        """A fresh policy of tables, with the flows that the objective reads."""
        return TabularPolicy(self.graph, backward, self.objective.needs.flows(self.env))

    def evaluate(self, policy: TabularPolicy, objective: Objective | None = None) -> FlowTerms:
        """Flow terms of all trajectories."""
        return (objective or self.objective).evaluate(self.env, policy, self.trajectories)

    def ask(self, method: str, terms: FlowTerms, objective: Objective | None = None) -> Tensor:
        """``objective.method(terms)``; a finding if it raises or returns no tensor."""
        try:
            out = getattr(objective or self.objective, method)(terms)
        except Exception as error:  # whatever a stranger's code raises
            self.note(
                "raises",
                f"`{method}` raised {type(error).__name__}: {error}.",
                "An objective must accept every batch of whole trajectories.",
            )
            raise AbandonedError from error
        if not isinstance(out, Tensor):
            self.note("shape", f"`{method}` returned {type(out).__name__}.", "Return a tensor.")
            raise AbandonedError
        return out

    def note(self, rule: str, seen: str, advice: str) -> None:
        """A finding, with the environment it was made on."""
        kind = "with a stop action" if self.env.stop_action is not None else "with forced ends"
        where = f"On {self.env.name} ({len(self.graph)} states, {kind}): "
        self.findings.add(rule, where + seen[0].lower() + seen[1:], advice)

    def shown(self, row: int) -> str:
        """One trajectory for people: its states in order."""
        index = self.trajectories.state_index[row, : int(self.trajectories.length[row]) + 1]
        lines = self.env.show(self.trajectories.states)
        end = " stop" if bool(self.trajectories.stopped[row]) else ""
        path = index[: len(index) - 1] if end else index
        return " -> ".join(lines[i] for i in path.tolist()) + (" ->" + end if end else "")


def rows_of(terms: FlowTerms, index: Tensor, width: int | None = None) -> FlowTerms:
    """Some trajectories, with at most `width` transitions of padding and all."""
    wide = terms.log_pf.shape[1]
    keep = wide if width is None else width

    def chosen(value: Tensor) -> Tensor:
        value = value[index]
        if value.dim() >= 2 and value.shape[1] in (wide, wide + 1):
            value = value[:, : keep + value.shape[1] - wide]
        return value

    return mapped(terms, lambda name, value: value[index] if name in PER_OBJECT else chosen(value))


def pad(terms: FlowTerms, extra: int) -> FlowTerms:
    """The same trajectories with `extra` more columns of zeros."""
    return mapped(
        terms,
        lambda name, value: (
            torch.cat([value, value.new_zeros(len(value), extra, *value.shape[2:])], 1)
            if value.dim() >= 2 and name not in PER_OBJECT
            else value
        ),
    )


def spoil(terms: FlowTerms, value: float) -> FlowTerms:
    """The same trajectories with `value` after their ends."""
    states = torch.arange(terms.log_pf.shape[1] + 1) <= terms.length[:, None]

    def filled(name: str, tensor: Tensor) -> Tensor:
        if tensor.dim() < 2 or name in PER_OBJECT or not tensor.is_floating_point():
            return tensor
        mask = terms.mask if tensor.shape[1] == terms.log_pf.shape[1] else states
        return tensor.where(mask.view(*mask.shape, *[1] * (tensor.dim() - 2)), value)

    return mapped(terms, filled)


def mapped(terms: FlowTerms, function: Callable[[str, Tensor], Tensor]) -> FlowTerms:
    """Flow terms with `function` of name and value in place of each tensor."""
    changed: dict[str, Any] = {
        field.name: function(field.name, value)
        for field in fields(terms)
        if isinstance(value := getattr(terms, field.name), Tensor)
    }
    return replace(terms, **changed)

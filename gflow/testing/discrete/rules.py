"""All rules of environments whose actions are numbered, in the order in which they build up."""

from typing import Any

import torch

from gflow.state import batch_size
from gflow.testing.discrete.batch_rules import check_batches, check_illegal_actions
from gflow.testing.discrete.chance_rules import check_movers
from gflow.testing.discrete.closed_forms import check_closed_forms
from gflow.testing.discrete.end_rules import check_ends, check_horizon
from gflow.testing.discrete.explore import Explored, explore
from gflow.testing.discrete.key_rules import check_all_states, check_keys
from gflow.testing.discrete.move_rules import (
    check_equivalent_actions,
    check_parents,
    check_strays,
    check_undoing,
)
from gflow.testing.discrete.reach_rules import check_reaches
from gflow.testing.discrete.source_rules import check_attributes, check_source
from gflow.testing.findings import attempt
from gflow.testing.plan import CheckedEnvironment, Plan
from gflow.testing.probe import Probe
from gflow.testing.reward_rules import check_energies, check_reward


def check_discrete(env: Any, plan: Plan) -> CheckedEnvironment:
    """Apply every rule to a `DiscreteEnvironment`; what is broken goes into `plan.findings`.

    Raises:
        AbandonedError: If too much is broken to go on.
    """
    findings, generator = plan.findings, torch.Generator().manual_seed(plan.seed)
    check_attributes(env, findings)
    probe = Probe(env, findings, plan.condition)
    check_source(probe)
    found = explore(probe, plan.examples, plan.limit, generator)
    check_strays(probe, found)
    check_keys(probe, found)  # what follows trusts keys
    for rule in (check_undoing, check_parents, check_ends, check_equivalent_actions):
        attempt(rule, probe, found)
    attempt(check_horizon, probe, found)
    attempt(check_all_states, probe, found)
    attempt(check_movers, probe, found)
    attempt(check_reward, probe, found.states, plan.zero)
    if not findings and not plan.zero:
        check_energies(probe, found.states)
    attempt(check_batches, probe, found, generator)
    attempt(check_illegal_actions, probe, found)
    if not findings:
        check_closed_forms(probe, found)
        check_reaches(probe, found)
    return _summary(found)


def _summary(found: Explored) -> CheckedEnvironment:
    states, edges = batch_size(found.states), len(found.parent)
    return CheckedEnvironment(states, edges, found.exhaustive, found.longest)

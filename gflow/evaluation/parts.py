"""What each of the two kinds of moves contributes to flow terms."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput
from gflow.trajectories import Trajectories


@dataclass(frozen=True)
class Parts:
    """Log-probabilities of the transitions of B trajectories, and what else their kind knows.

    Attributes:
        output: What the policy says of the N stored states.
        log_pf: (B, T); 0 after the end.
        log_pb: (B, T); 0 for stops and after the end.
        others: Further fields of `FlowTerms` that were asked for, by name.
    """

    output: PolicyOutput
    log_pf: Tensor
    log_pb: Tensor
    others: dict[str, Tensor] = field(default_factory=dict)


def outputs(env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]) -> PolicyOutput:
    """What a policy says of the N stored states, from what it held while sampling if that holds.

    Of one by one where trajectories begin anywhere: what lies between the source and their first
    states is not there to be shared.
    """
    given, recorded = trajectories.condition_of_states, trajectories.recorded
    if recorded is not None and recorded.holds_for(policy):
        return recorded.output(env, trajectories, given)
    if trajectories.from_source is None or policy.reads_segments:
        return policy.of_trajectories(env, trajectories, given)
    found: PolicyOutput = policy(env, trajectories.states, given)
    return found

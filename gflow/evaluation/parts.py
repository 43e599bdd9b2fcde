"""What the two kinds of moves contribute to flow terms, each in its own way."""

from dataclasses import dataclass, field

from torch import Tensor

from gflow.policies.base import PolicyOutput


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

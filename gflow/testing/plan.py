"""What `check_env` is asked to do, and what it says when nothing is wrong."""

from dataclasses import dataclass, field

from torch import Tensor

from gflow.testing.findings import Findings


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


@dataclass(frozen=True)
class Plan:
    """How an environment is to be checked; see `check_env`.

    Attributes:
        examples: Number of random walks.
        limit: Most states to enumerate.
        seed: Of everything random.
        condition: (1, C) what source and reward read, or None.
        zero: Let rewards be zero.
        findings: Where to note what is wrong.
    """

    examples: int
    limit: int
    seed: int
    condition: Tensor | None
    zero: bool
    findings: Findings = field(default_factory=Findings)

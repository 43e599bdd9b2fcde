"""Outcome-conditioned samplers: told what to build, and turned to any reward afterwards."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.outcomes.conditioned import OutcomeConditioned, OutcomeReward, outcomes_of
    from gflow.outcomes.encoder import OutcomeEncoder
    from gflow.outcomes.random_objects import wander
    from gflow.outcomes.store import VisitedOutcomes
    from gflow.outcomes.success import success_rate
    from gflow.outcomes.tables import OutcomeTables

_HOME = {
    "OutcomeConditioned": "gflow.outcomes.conditioned",
    "OutcomeEncoder": "gflow.outcomes.encoder",
    "OutcomeReward": "gflow.outcomes.conditioned",
    "OutcomeTables": "gflow.outcomes.tables",
    "VisitedOutcomes": "gflow.outcomes.store",
    "outcomes_of": "gflow.outcomes.conditioned",
    "success_rate": "gflow.outcomes.success",
    "wander": "gflow.outcomes.random_objects",
}

__all__ = [
    "OutcomeConditioned",
    "OutcomeEncoder",
    "OutcomeReward",
    "OutcomeTables",
    "VisitedOutcomes",
    "outcomes_of",
    "success_rate",
    "wander",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

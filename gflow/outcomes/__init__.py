"""Outcome-conditioned samplers: told what to build, and turned to any reward afterwards."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.outcomes.amortised import Amortised
    from gflow.outcomes.conditioned import OutcomeConditioned, OutcomeReward, outcomes_of
    from gflow.outcomes.conversion import Converted, Outcomes
    from gflow.outcomes.encoder import OutcomeEncoder
    from gflow.outcomes.flows import OutcomeFlows
    from gflow.outcomes.likelihood import OutcomeLikelihood
    from gflow.outcomes.monte_carlo import MonteCarlo
    from gflow.outcomes.objects import ObjectDraws, OutcomeDraws, WalkedBack
    from gflow.outcomes.policy import OutcomePolicy
    from gflow.outcomes.posterior import ListedPosterior, Posterior, SequencePosterior
    from gflow.outcomes.pretrained import converted
    from gflow.outcomes.random_objects import wander
    from gflow.outcomes.store import VisitedOutcomes
    from gflow.outcomes.stored import Stored
    from gflow.outcomes.success import success_rate
    from gflow.outcomes.tables import OutcomeTables
    from gflow.outcomes.tabulated import PairTable
    from gflow.outcomes.teleported import TeleportedBalance

_HOME = {
    "Amortised": "gflow.outcomes.amortised",
    "Converted": "gflow.outcomes.conversion",
    "ListedPosterior": "gflow.outcomes.posterior",
    "MonteCarlo": "gflow.outcomes.monte_carlo",
    "ObjectDraws": "gflow.outcomes.objects",
    "OutcomeConditioned": "gflow.outcomes.conditioned",
    "OutcomeDraws": "gflow.outcomes.objects",
    "OutcomeEncoder": "gflow.outcomes.encoder",
    "OutcomeFlows": "gflow.outcomes.flows",
    "OutcomeLikelihood": "gflow.outcomes.likelihood",
    "OutcomePolicy": "gflow.outcomes.policy",
    "OutcomeReward": "gflow.outcomes.conditioned",
    "OutcomeTables": "gflow.outcomes.tables",
    "Outcomes": "gflow.outcomes.conversion",
    "PairTable": "gflow.outcomes.tabulated",
    "Posterior": "gflow.outcomes.posterior",
    "SequencePosterior": "gflow.outcomes.posterior",
    "Stored": "gflow.outcomes.stored",
    "TeleportedBalance": "gflow.outcomes.teleported",
    "VisitedOutcomes": "gflow.outcomes.store",
    "WalkedBack": "gflow.outcomes.objects",
    "converted": "gflow.outcomes.pretrained",
    "outcomes_of": "gflow.outcomes.conditioned",
    "success_rate": "gflow.outcomes.success",
    "wander": "gflow.outcomes.random_objects",
}

__all__ = [
    "Amortised",
    "Converted",
    "ListedPosterior",
    "MonteCarlo",
    "ObjectDraws",
    "OutcomeConditioned",
    "OutcomeDraws",
    "OutcomeEncoder",
    "OutcomeFlows",
    "OutcomeLikelihood",
    "OutcomePolicy",
    "OutcomeReward",
    "OutcomeTables",
    "Outcomes",
    "PairTable",
    "Posterior",
    "SequencePosterior",
    "Stored",
    "TeleportedBalance",
    "VisitedOutcomes",
    "WalkedBack",
    "converted",
    "outcomes_of",
    "success_rate",
    "wander",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

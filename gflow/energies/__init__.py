"""Energies learned from data together with a sampler: EB-GFN."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.energies.learner import ContrastiveStep
    from gflow.energies.networks import (
        EnergyNetwork,
        IsingEnergy,
        PerceptronEnergy,
        site_log_prob,
    )
    from gflow.energies.policy import ConditionalSites, RandomOrderPolicy
    from gflow.energies.proposals import Proposal, Proposer
    from gflow.energies.reward import EnergyReward, energy_of

_HOME = {
    "ConditionalSites": "gflow.energies.policy",
    "ContrastiveStep": "gflow.energies.learner",
    "EnergyNetwork": "gflow.energies.networks",
    "EnergyReward": "gflow.energies.reward",
    "IsingEnergy": "gflow.energies.networks",
    "PerceptronEnergy": "gflow.energies.networks",
    "Proposal": "gflow.energies.proposals",
    "Proposer": "gflow.energies.proposals",
    "RandomOrderPolicy": "gflow.energies.policy",
    "energy_of": "gflow.energies.reward",
    "site_log_prob": "gflow.energies.networks",
}

__all__ = [
    "ConditionalSites",
    "ContrastiveStep",
    "EnergyNetwork",
    "EnergyReward",
    "IsingEnergy",
    "PerceptronEnergy",
    "Proposal",
    "Proposer",
    "RandomOrderPolicy",
    "energy_of",
    "site_log_prob",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

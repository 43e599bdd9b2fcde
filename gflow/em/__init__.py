"""Latent-variable models with discrete latents, fitted by GFlowNet-EM and by what it replaces."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.em.encoder import DataEncoder
    from gflow.em.learner import MStep
    from gflow.em.model import LatentModel
    from gflow.em.observations import Observations
    from gflow.em.pace import Every, Pace, Threshold
    from gflow.em.reward import JointReward

_HOME = {
    "DataEncoder": "gflow.em.encoder",
    "Every": "gflow.em.pace",
    "JointReward": "gflow.em.reward",
    "LatentModel": "gflow.em.model",
    "MStep": "gflow.em.learner",
    "Observations": "gflow.em.observations",
    "Pace": "gflow.em.pace",
    "Threshold": "gflow.em.pace",
}

__all__ = [
    "DataEncoder",
    "Every",
    "JointReward",
    "LatentModel",
    "MStep",
    "Observations",
    "Pace",
    "Threshold",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

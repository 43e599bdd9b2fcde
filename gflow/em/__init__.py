"""Latent-variable models with discrete latents, fitted by GFlowNet-EM and by what it replaces."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.em.dreams import Dreams, Sleep
    from gflow.em.encoder import DataEncoder
    from gflow.em.exact import ExactEM, ListedLatents, elbo
    from gflow.em.learner import MStep
    from gflow.em.likelihood import importance_log_likelihood
    from gflow.em.mean_field import MeanFieldEM
    from gflow.em.mixing import BackAndForth
    from gflow.em.model import LatentModel
    from gflow.em.monte_carlo import MonteCarloEM
    from gflow.em.observations import Observations
    from gflow.em.pace import Every, Pace, Threshold
    from gflow.em.reward import JointReward
    from gflow.em.task import EMTask
    from gflow.em.tempered import TemperedPolicy

_HOME = {
    "BackAndForth": "gflow.em.mixing",
    "DataEncoder": "gflow.em.encoder",
    "Dreams": "gflow.em.dreams",
    "EMTask": "gflow.em.task",
    "Every": "gflow.em.pace",
    "ExactEM": "gflow.em.exact",
    "JointReward": "gflow.em.reward",
    "LatentModel": "gflow.em.model",
    "ListedLatents": "gflow.em.exact",
    "MStep": "gflow.em.learner",
    "MeanFieldEM": "gflow.em.mean_field",
    "MonteCarloEM": "gflow.em.monte_carlo",
    "Observations": "gflow.em.observations",
    "Pace": "gflow.em.pace",
    "Sleep": "gflow.em.dreams",
    "TemperedPolicy": "gflow.em.tempered",
    "Threshold": "gflow.em.pace",
    "elbo": "gflow.em.exact",
    "importance_log_likelihood": "gflow.em.likelihood",
}

__all__ = [
    "BackAndForth",
    "DataEncoder",
    "Dreams",
    "EMTask",
    "Every",
    "ExactEM",
    "JointReward",
    "LatentModel",
    "ListedLatents",
    "MStep",
    "MeanFieldEM",
    "MonteCarloEM",
    "Observations",
    "Pace",
    "Sleep",
    "TemperedPolicy",
    "Threshold",
    "elbo",
    "importance_log_likelihood",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

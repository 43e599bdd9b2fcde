"""A mixture of clusters of petals: points tell their place, and not which two names it has."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.envs.mixture.data import petals
    from gflow.envs.mixture.env import mixture_env
    from gflow.envs.mixture.model import PetalMixture

_HOME = {
    "PetalMixture": "gflow.envs.mixture.model",
    "mixture_env": "gflow.envs.mixture.env",
    "petals": "gflow.envs.mixture.data",
}

__all__ = ["PetalMixture", "mixture_env", "petals"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

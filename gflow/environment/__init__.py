"""What an environment is: states, moves and a reward."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.environment.categorical import Categorical
    from gflow.environment.continuous import ContinuousEnvironment, PointEnvironment
    from gflow.environment.density import Density
    from gflow.environment.discrete import DiscreteEnvironment
    from gflow.environment.law import Law
    from gflow.environment.rewarded import with_reward

_HOME = {
    "Categorical": "gflow.environment.categorical",
    "ContinuousEnvironment": "gflow.environment.continuous",
    "Density": "gflow.environment.density",
    "DiscreteEnvironment": "gflow.environment.discrete",
    "Environment": "gflow.environment.base",
    "Law": "gflow.environment.law",
    "PointEnvironment": "gflow.environment.continuous",
    "with_reward": "gflow.environment.rewarded",
}

__all__ = [
    "Categorical",
    "ContinuousEnvironment",
    "Density",
    "DiscreteEnvironment",
    "Environment",
    "Law",
    "PointEnvironment",
    "with_reward",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

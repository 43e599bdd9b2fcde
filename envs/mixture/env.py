"""Names of places: first the cluster, then the petal."""

from torch import Tensor

from gflow.em.observations import Observations
from gflow.em.reward import JointReward
from gflow.environment.rewarded import with_reward
from gflow.envs.mixture.model import PetalMixture
from gflow.envs.sequences.env import Autoregressive
from gflow.rewards.wrappers import Clipped

LOW = -20.0
"""log R is at least this: where points and places are far apart it would go down to -1000."""


def mixture_env(
    model: PetalMixture, data: Tensor | Observations, low: float | None = LOW
) -> Autoregressive:
    """The environment of (i, j) whose reward is log p(x, z) of the row that the condition calls.

    Args:
        model: The mixture.
        data: (N, 2) points, or `Observations` of them.
        low: log R is clipped there, as in the reference's toy; None leaves it as it is.
    """
    joint = JointReward(model, data)
    env = Autoregressive("0123", 2, joint)
    reward = joint if low is None else Clipped(joint, low)
    return with_reward(env, reward, condition_dim=1, name="PetalMixture")

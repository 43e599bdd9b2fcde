"""Training steps in which sampling and evaluation share one pass over all states."""

from typing import TYPE_CHECKING, Any

from torch import nn

from gflow.behaviours.base import OnPolicy, Sampling
from gflow.listed.env import Listed
from gflow.listed.policy import Shared
from gflow.listed.rule import listing
from gflow.objective import Objective
from gflow.rewards.base import FunctionReward, LogReward
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.training.trainer import Trainer


class Sharing:
    """What a trainer samples and evaluates with where all states are few.

    Args:
        trainer: Whose steps.
        env: Its environment, listed.

    Attributes:
        env: The environment.
        policy: The policy, asked once a step.
    """

    def __init__(self, trainer: "Trainer", env: Listed) -> None:
        self.env, self.policy = env, Shared(trainer.policy)
        self.sampler = Sampler(env, trainer.config.plan)

    @staticmethod
    def of(trainer: "Trainer") -> "Sharing | None":
        """What a trainer shares passes with, or None where it does not pay or would not be equal.

        It is for batches of the policy itself, explored or not, without conditions, on
        environments of at most `WHOLE_MOST` states whose reward nobody changes, so not where it
        asks a `FunctionReward`, which may count, draw or fail; for objectives that evaluate in the
        engine's way; for policies without dropout, which two passes would draw twice.
        """
        objective, config = trainer.objective, trainer.config
        if type(trainer.behaviour) is not OnPolicy or trainer.learners:
            return None
        if trainer.condition is not None or config.chunk or trainer.policy.has_marginals:
            return None
        if type(objective).evaluate is not Objective.evaluate or objective.networks:
            return None
        if asks_function(trainer.env.reward):
            return None
        dropouts = (nn.Dropout, nn.AlphaDropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
        if any(isinstance(part, dropouts) for part in trainer.policy.modules()):
            return None
        env = listing(trainer.env, trainer.count, trainer.device, small=True)
        return None if env is None or not env.whole else Sharing(trainer, env)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories of the list, after a new pass over all states."""
        self.policy.forget()
        return self.sampler.forward(
            self.policy,
            count,
            exploration=sampling.exploration,
            generator=sampling.generator,
            device=sampling.device,
        )

    def drew(self, batch: Trajectories[Any]) -> bool:
        """Whether a batch is one of the list."""
        return batch.states is self.env.all


def asks_function(reward: LogReward[Any]) -> bool:
    """Whether a reward is a function of a user, or made of one."""
    return isinstance(reward, FunctionReward) or any(map(asks_function, reward.inner_rewards()))

"""Backward replay: trajectories drawn backward from a data set of objects."""

from typing import Any

from torch import Tensor

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Share
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import require_backward
from gflow.errors import ConfigError
from gflow.memory.replay import ReplayBuffer
from gflow.source import Source
from gflow.state import batch_size
from gflow.trajectories import Trajectories


class BackwardReplay(Behaviour):
    """Fresh trajectories, and a share drawn with P_B from objects that the user has.

    Off-policy and consistent for every objective that balances trajectories of any sampler with
    full support: what is drawn is evaluated under the policy as it is.

    Args:
        env: The environment.
        objects: N finished objects.
        share: Share of the batch that ends in them.
        log_reward: (N,) target log-rewards if they are known already; computed once otherwise.
        condition: (N, C) conditions of the objects, for rewards that read one.

    Raises:
        ConfigError: If there are no objects, or the share is none.
        IncompatibleError: If the environment defines no moves back.
    """

    name = "backward_replay"

    @checked
    def __init__(
        self,
        env: Environment[Any],
        objects: Any,
        share: Share = 0.5,
        log_reward: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> None:
        count = batch_size(objects)
        if not count:
            raise ConfigError("BackwardReplay: the data set has no objects.")
        require_backward(
            env,
            "BackwardReplay walks back from objects",
            "Give whole trajectories: `Sampler.along` with their actions, and `Trainer.descend`.",
        )
        unfinished = (~env.can_end(objects)).nonzero()
        if len(unfinished):
            row = int(unfinished[0])
            raise ConfigError(
                f"BackwardReplay: row {row} of the data set, "
                f"{env.shown(objects, row)}, is no finished object of {env.name}."
            )
        self.data = ReplayBuffer(env, count, rebuild="backward")
        self.data.add_objects(objects, log_reward, condition=condition)
        self.share = share
        self.gives = Source.TARGET if share == 1 else Source.OWN | Source.TARGET

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Some fresh trajectories, and some that end in objects of the data set."""
        old = max(1, round(self.share * count))
        parts = [sampling.fresh(count - old)] if count > old else []
        parts.append(
            self.data.sample(
                sampling.sampler, old, sampling.generator, sampling.device, sampling.policy
            )
        )
        return Trajectories.join(parts)

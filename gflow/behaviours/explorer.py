"""Trajectories of another sampler, which is trained beside: one sampler explores for the other."""

from dataclasses import replace
from typing import Any

from gflow.behaviours.base import Behaviour, Sampling
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.objective import Objective
from gflow.source import Source
from gflow.training.trainer import Record, Trainer
from gflow.trajectories import Trajectories


class Explorer(Behaviour):
    """Trajectories of another trainer's policy, after each of which that takes a step of its own.

    It may have another objective, such as one that seeks novelty (`gafn`), another reward, and no
    conditions: `Achieved(Explorer(trainer))` tells what it found to a sampler that reads some. Its
    environment has the same states and moves.

    Args:
        trainer: Trains the policy that explores; its batches are as large as those asked for.

    Raises:
        ConfigError: If it records nothing at some steps.
    """

    name = "explorer"
    gives = Source.OTHER

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._batch: Trajectories[Any] | None = None
        self._record: Record = {}
        trainer.callbacks = (*trainer.callbacks, self._keep)

    def _keep(self, trainer: Trainer, batch: Trajectories[Any], record: Record) -> None:
        self._batch, self._record = batch, record

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only explorers of the same states and moves."""
        return self.strange(env) or super().refusal(env, objective)

    def strange(self, env: Environment[Any]) -> str | None:
        """Why `env` has other states or moves than those that are explored, or None."""
        mine: Any = self.trainer.env
        theirs: Any = env
        same = (
            mine.numbered == theirs.numbered
            and mine.feature_sizes == theirs.feature_sizes
            and (not mine.numbered or mine.num_actions == theirs.num_actions)
        )
        if same:
            return None
        return (
            f"its explorer samples {mine.name}, whose states or moves are others. Train it on the "
            f"same environment, with another reward at most (with_reward)."
        )

    def check_count(self, count: int) -> None:
        """What the explorer's behaviour refuses, for batches of `count`."""
        self.trainer.behaviour.check_count(count)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories of the explorer as it was before its step."""
        trainer = self.trainer
        if trainer.config.batch_size != count:
            trainer.config = replace(trainer.config, batch_size=count)
            trainer.count = trainer.ranks.share(count)
        trainer.train_step()
        found = self._batch
        if found is None:
            raise ConfigError("Explorer: its trainer no longer calls back; make a new Explorer.")
        self._batch = None
        if len(found) != count:
            raise IncompatibleError(
                f"Explorer: {count - len(found)} of {count} trajectories of its policy are not "
                f"whole, and achieve nothing. Let the explorer's behaviour give whole ones."
            )
        return found.to(sampling.device)

    @property
    def metrics(self) -> dict[str, Any]:
        """The explorer's record, where one is due: its loss and its reward."""
        return {f"explorer_{name}": value for name, value in self._record.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the explorer's next step depends on."""
        return {"trainer": self.trainer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.trainer.load_state_dict(state["trainer"])

"""Objects that others found, walked back from: each as often, however rarely it was found."""

from typing import Any

import torch

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.behaviours.explorer import Explorer
from gflow.bounds import Count, Part, Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.memory.replay import ReplayBuffer
from gflow.objective import Objective
from gflow.outcomes.conditioned import OutcomeReward
from gflow.outcomes.objects import WalkedBack
from gflow.source import Source
from gflow.state import take, to_device
from gflow.trajectories import Trajectories


class Stored(Around):
    """Trajectories back from objects that another behaviour finds, told that they achieve them.

    Each object is remembered once and drawn as often as any other, so that what is rare is learned
    as well as what is found every time; how they are walked back from is as in `WalkedBack`.

    Args:
        inner: What finds objects, told what it achieves: ``Achieved(Explorer(trainer))``, say.
        capacity: Number of objects kept; the oldest go.
        every: Batches between those that `inner` is asked for.
        skewed: As of `WalkedBack`.
        spread: As of `WalkedBack`.
        mismatched: As of `WalkedBack`.

    Raises:
        ConfigError: If nothing was found to walk back from.
    """

    name = "stored"
    gives = Source.TARGET

    @checked
    def __init__(
        self,
        inner: Behaviour,
        capacity: Count = 65536,
        every: Count = 1,
        skewed: Part = 0.0,
        spread: Positive = 3.0,
        mismatched: Part = 0.0,
    ) -> None:
        super().__init__(inner)
        self.walks = WalkedBack(self._draw, skewed, spread, mismatched)
        self.capacity, self.every, self.batches = capacity, every, 0
        self.buffer: ReplayBuffer | None = None
        self._saved: dict[str, Any] | None = None

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only where conditions are outcomes and moves lead back.

        What is learned from is drawn anew, so that it is no matter where `inner` has objects from,
        as long as they are those of this environment.
        """
        if not isinstance(env.reward, OutcomeReward):
            return (
                "it walks back from objects told that they are achieved, and conditions here are "
                "no outcomes. Use OutcomeConditioned(env)."
            )
        if not env.has_backward:
            return "it walks back from objects, and no moves back are defined here."
        found: Behaviour = self.inner
        while isinstance(found, Around):
            found = found.inner
        strange = found.strange(env) if isinstance(found, Explorer) else None
        return strange or self.walks.refusal(env, objective)

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse what cannot be served."""
        Behaviour.check(self, env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories back from objects that are remembered, each as often as any."""
        buffer = self._memory(sampling.env)
        if self.batches % self.every == 0 or not len(buffer):
            found = self.inner.collect(sampling, count).whole
            assert isinstance(sampling.env.reward, OutcomeReward)
            objects = found.final_states
            told = sampling.env.reward.outcomes(objects)
            reward = sampling.env.target_log_reward(objects, told)
            buffer.add_objects(objects, reward, condition=told)
        self.batches += 1
        if not len(buffer):
            raise ConfigError("Stored: no object was found yet, so none can be walked back from.")
        return self.walks.collect(sampling, count)

    def _draw(
        self, count: int, generator: torch.Generator | None, device: torch.device | str
    ) -> Any:
        """`count` of the objects, with replacement."""
        assert self.buffer is not None
        return to_device(take(self.buffer.objects, self.buffer.rows(count, generator)), device)

    def _memory(self, env: Environment[Any]) -> ReplayBuffer:
        """What is remembered, of the environment that is sampled."""
        if self.buffer is None:
            self.buffer = ReplayBuffer(env, self.capacity, rebuild="backward", distinct=True)
            if self._saved is not None:
                self.buffer.load_state_dict(self._saved)
        return self.buffer

    @property
    def metrics(self) -> dict[str, Any]:
        """`objects_stored`: how many different ones there are; and what `inner` says."""
        count = 0 if self.buffer is None else len(self.buffer)
        return {**self.inner.metrics, "objects_stored": float(count)}

    def state_dict(self) -> dict[str, Any]:
        """The objects, whose turn it is, and what `inner` depends on."""
        saved = self._saved if self.buffer is None else self.buffer.state_dict()
        return {**super().state_dict(), "buffer": saved, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.batches, self._saved = state["batches"], state["buffer"]
        if self.buffer is not None and self._saved is not None:
            self.buffer.load_state_dict(self._saved)

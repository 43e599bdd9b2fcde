"""Replay: another behaviour's trajectories, and some that are remembered."""

from typing import Any

from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.behaviours.refreshed import Refreshed
from gflow.bounds import Probability
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.memory.replay import ReplayBuffer
from gflow.objective import Objective
from gflow.source import ELSEWHERE, Source
from gflow.training.config import TrainConfig
from gflow.trajectories import Trajectories


class Replay(Around):
    """A share of each batch from memory, once that holds enough, and the rest as `inner` gives it.

    What `inner` gives is remembered as far as it is whole; what is drawn is not added again.

    Args:
        inner: Where new trajectories come from; the policy itself by default.
        buffer: The memory.
        share: Share of the batch that is drawn from it.

    Raises:
        ConfigError: If the share is no share.
    """

    name = "replay"

    @checked
    def __init__(
        self, inner: Behaviour | None, buffer: ReplayBuffer, share: Probability = 0.5
    ) -> None:
        super().__init__(inner)
        self.buffer, self.share = buffer, share
        self.gives = self.inner.gives | (Source.REPLAYED if buffer.is_fair else Source.OTHER)

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What the inner behaviour refuses, and memories that are no sample of what was seen."""
        reason = self.inner.refusal(env, objective)
        if reason is not None:
            return reason
        learns = objective.learns_from
        if Source.REPLAYED in learns and Source.OTHER not in learns and not self.buffer.is_fair:
            if self.buffer.rebuild == "backward" and env.has_chance:
                return (
                    "the objective learns from what chance did, and trajectories that are drawn "
                    "backward make that up by P_B: use replay_rebuild='actions'."
                )
            return (
                "the objective learns from what was seen as often as it was seen, and this memory "
                "prefers some of it: use replay_keep='recent', replay_draw='uniform' and "
                f"replay_distinct=False, {ELSEWHERE}"
            )
        return super().refusal(env, objective)

    def check_count(self, count: int) -> None:
        """What the inner behaviour refuses once the memory takes its share, and too small ones."""
        fresh = count - self._old(count)
        if fresh:
            self.inner.check_count(fresh)
        self.buffer.require_room(count)

    def _old(self, count: int) -> int:
        """How many of `count` trajectories come from memory."""
        return round(self.share * count)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories: new ones first, then those from memory."""
        old = self._old(count) if self.buffer.ready(count) else 0
        parts = []
        if count > old:
            parts.append(self.inner.collect(sampling, count - old))
        if old:
            parts.append(
                self.buffer.sample(
                    sampling.sampler, old, sampling.generator, sampling.device, sampling.policy
                )
            )
        if count > old:
            self.buffer.add(parts[0].whole)
        return Trajectories.join(parts)

    def state_dict(self) -> dict[str, Any]:
        """The memory, and what the inner behaviour's next batch depends on."""
        return {**super().state_dict(), "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.buffer.load_state_dict(state["buffer"])


def with_memory(env: Environment[Any], behaviour: Behaviour, config: TrainConfig) -> Behaviour:
    """A behaviour with the memory around it that the `replay...` and `augment...` settings ask for.

    Raises:
        ConfigError: If the memory can hold too little ever to be drawn from, or the behaviour draws
            from one of its own.
        IncompatibleError: If the environment cannot be remembered so.
    """
    if not config.replay:
        return behaviour
    if behaviour.remembers:
        raise ConfigError(
            f"{type(behaviour).__name__} draws all batches from a memory of its own, of "
            f"{getattr(behaviour, 'capacity', 'some')} trajectories (capacity). Leave replay at 0, "
            f"or take the behaviour on_policy."
        )
    buffer = ReplayBuffer(
        env,
        config.replay,
        config.replay_keep,
        None if config.replay_draw == "auto" else config.replay_draw,
        config.replay_rebuild,
        distinct=config.replay_distinct,
        top=config.replay_top,
        cutoff=config.replay_cutoff,
    )
    behaviour = Replay(behaviour, buffer, config.replay_fraction)
    if config.augment:
        behaviour = BackwardAugmentation(behaviour, buffer, config.augment_objects, config.augment)
    return behaviour


def memory_of(behaviour: Behaviour) -> ReplayBuffer | None:
    """The memory of the outermost `Replay` or `Refreshed` in a behaviour, or None."""
    while not isinstance(behaviour, Replay | Refreshed):
        if not isinstance(behaviour, Around):
            return None
        behaviour = behaviour.inner
    return behaviour.buffer

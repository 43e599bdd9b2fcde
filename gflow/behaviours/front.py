"""Learning again from the front: trajectories drawn backward from the best trade-offs seen."""

from typing import Any

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Part
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.memory.pareto import ParetoArchive
from gflow.objective import Objective
from gflow.source import Source
from gflow.state import to_device
from gflow.trajectories import Trajectories


class FrontReplay(Around):
    """Another behaviour's trajectories, and some that end in objects of a Pareto archive.

    Those are drawn with the backward policy as it is, so that one object comes with many
    trajectories; their rewards follow from the archive's scores. What is seen enters the archive.

    Args:
        archive: Where the objects come from.
        share: Share of the batch.
        inner: Where the rest comes from; the policy itself by default.

    Reference:
        Chen and Mauch, Order-preserving GFlowNets, 2023, https://arxiv.org/abs/2310.00386
    """

    name = "front_replay"

    @checked
    def __init__(
        self, archive: ParetoArchive, share: Part = 0.1, inner: Behaviour | None = None
    ) -> None:
        super().__init__(inner)
        self.archive, self.share = archive, share
        self.gives = self.inner.gives | Source.OTHER

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What the inner behaviour refuses, and environments without moves back."""
        if not env.has_backward:
            return (
                "it walks back from objects of the archive, and no moves back are defined here. "
                "Use replay, which repeats actions."
            )
        return super().refusal(env, objective)

    def check_count(self, count: int) -> None:
        """What the inner behaviour refuses once the archive takes its share."""
        self.inner.check_count(count - self._old(count))

    def _old(self, count: int) -> int:
        """How many of `count` trajectories end in objects of the archive."""
        return min(round(self.share * count), count - 1)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories."""
        self.archive.device = sampling.device
        old = self._old(count) if len(self.archive) else 0
        fresh = self.inner.collect(sampling, count - old)
        whole = fresh.whole
        if len(whole):
            assert whole.scores is not None
            self.archive.add(whole.final_states, whole.scores)
        if not old:
            return fresh
        objects, scores = self.archive.draw(old, sampling.generator)
        objects, scores = to_device(objects, sampling.device), scores.to(sampling.device)
        condition = sampling.conditions(old)
        again = sampling.sampler.backward(
            sampling.policy,
            objects,
            log_reward=sampling.env.target_from_scores(objects, scores, condition),
            scores=scores,
            condition=condition,
            generator=sampling.generator,
        )
        return Trajectories.join([fresh, again])

    def state_dict(self) -> dict[str, Any]:
        """The archive, and what the inner behaviour's next batch depends on."""
        return {"archive": self.archive.state_dict(), **super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.archive.load_state_dict(state["archive"])
        super().load_state_dict(state)

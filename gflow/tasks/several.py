"""What tasks with several scores share: how scores are combined, their metrics and pictures."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour
from gflow.behaviours.front import FrontReplay
from gflow.bounds import Positive, Probability
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import MissingExtraError
from gflow.exact.graph import enumerate_states
from gflow.memory.pareto import ParetoArchive, exact_front, non_dominated
from gflow.metrics import (
    averaged_hausdorff,
    gd_plus,
    hypervolume,
    igd_plus,
    pc_entropy,
    r2_indicator,
    unit_faces,
)
from gflow.rewards.scalarizations import LogProduct, LogSum, Scalarization
from gflow.tasks.task import Context, Task

FRONT = 1000
"""Most objects that a batch may come back to."""


@dataclass(frozen=True)
class SeveralScores(Task[DiscreteEnvironment[Any]]):
    """Options of tasks with several scores.

    Attributes:
        combine: How scores become one reward: their weighted mean (sum) or geometric mean
            (product). With --condition preferences or goals the sampler is told how instead.
        weights: Of the scores; all 1 if not given.
        beta: Inverse temperature.
        front_share: Share of a batch that comes back to the best trade-offs of the run.
    """

    combine: Literal["sum", "product"] = "sum"
    weights: tuple[float, ...] = ()
    beta: Positive = 16.0
    front_share: Probability = 0.0

    @abstractmethod
    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """(M, K) the true front, or None if nobody knows it."""

    def scalarization(self) -> Scalarization:
        """What the options say."""
        weights = torch.tensor(self.weights) if self.weights else None
        kind = LogSum if self.combine == "sum" else LogProduct
        return kind(weights, self.beta)

    def behaviour(self, env: DiscreteEnvironment[Any], chosen: Behaviour) -> Behaviour:
        """What comes back to the front, around what is chosen."""
        if env.num_scores and self.front_share:
            chosen = FrontReplay(ParetoArchive(env, FRONT), self.front_share, chosen)
        return chosen

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B,) the reward where there is one; None where there are scores, which are reported."""
        return None if env.num_scores else super().rewards(env, objects, condition)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """How the sample covers the front, or the faces of the unit cube if none is known."""
        env = context.env
        if not env.num_scores:
            return {}
        scores = env.scores(objects)
        known = self.known_front(env)
        front = unit_faces(env.num_scores) if known is None else known
        means = scores.double().mean(-1)
        numbers = {
            "mean_score": float(means.mean()),
            "top_score": float(means.max()),
            "gd_plus": float(gd_plus(scores, front)),
            "igd_plus": float(igd_plus(scores, front)),
            "hausdorff": float(averaged_hausdorff(scores, front)),
            "r2": float(r2_indicator(scores)),
            "pc_entropy": float(pc_entropy(scores, front)),
            "non_dominated": float(non_dominated(scores).sum()),
        }
        try:
            numbers["hypervolume"] = float(hypervolume(scores))
            if known is not None:
                numbers["hypervolume_ratio"] = numbers["hypervolume"] / float(hypervolume(known))
        except MissingExtraError:  # three scores or more, and an extra that is not installed
            pass
        if context.front is not None and len(context.front):
            numbers["archive_size"] = float(len(context.front))
            numbers["archive_igd_plus"] = float(igd_plus(context.front.scores, front))
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The front of the run against the true one, and fresh objects, as a picture."""
        env, trainer = context.env, context.trainer
        if not env.num_scores:
            return {}
        from gflow.tasks.pictures import fronts

        generator = torch.Generator(trainer.device).manual_seed(trainer.config.seed)
        count = 1280
        batch = trainer.sampler.forward(
            trainer.evaluated_policy,
            count,
            condition=trainer.condition(count, generator) if trainer.condition else None,
            generator=generator,
            device=trainer.device,
        )
        assert batch.scores is not None
        sets = {"generated": batch.scores}
        known = self.known_front(env)
        if known is not None:
            sets["true front"] = known
        if context.front is not None:
            sets["best of the run"] = context.front.scores
        path = folder / "front.png"
        names = getattr(env.reward, "score_names", ()) or tuple(map(str, range(env.num_scores)))
        fronts(sets, names, path)
        return {"front": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "front": "Scores of fresh objects, the best of the run, and the true front if known.",
        }


@lru_cache(maxsize=4)
def enumerated_front(task: SeveralScores) -> Tensor:
    """(M, K) the front of a task whose objects can all be listed."""
    return exact_front(enumerate_states(task.environment()))[1]

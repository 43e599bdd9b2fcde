"""What tasks with several scores share: how scores are combined, their metrics and pictures."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gflow.behaviours.base import Behaviour
from gflow.behaviours.front import FrontReplay
from gflow.behaviours.hindsight import Hindsight
from gflow.bounds import Count, NotNegative, Positive, Probability
from gflow.conditions.draws import ConditionSampler
from gflow.conditions.preferences import (
    DirichletPreferences,
    GammaBeta,
    PreferenceEncoder,
    UniformDirections,
)
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, MissingExtraError
from gflow.exact.graph import enumerate_states
from gflow.memory.pareto import ParetoArchive, exact_front, non_dominated
from gflow.metrics import (
    averaged_hausdorff,
    focus_accuracy,
    gd_plus,
    hypervolume,
    igd_plus,
    pc_entropy,
    r2_indicator,
    unit_faces,
)
from gflow.rewards.scalarizations import Goals, LogProduct, LogSum, Preferences, Scalarization
from gflow.tasks.task import Context, Task

FRONT = 1000
"""Most objects that a batch may come back to."""

GOALS, REPEATS = 15, 32
"""Directions asked for in an evaluation, and objects per direction."""


@dataclass(frozen=True)
class SeveralScores(Task[DiscreteEnvironment[Any]]):
    """Options of tasks with several scores.

    Attributes:
        combine: How scores become one reward: their weighted mean (sum) or geometric mean
            (product), by preferences or goals that the sampler is told.
        weights: Of the scores, for sum and product; all 1 if not given.
        beta: Inverse temperature.
        beta_shape: Draw the inverse temperature per object from Gamma(beta_shape, 1) instead, for
            preferences and goals; 0 for no.
        alpha: Concentration of the Dirichlet distribution of preferences.
        repeat: Trajectories in a row that are told the same, at least 2 for vargrad.
        cosine: Cosine at the edge of the cone of a goal.
        limit: Factor of the reward there.
        hindsight: Share of a batch that is told afterwards what it achieved, for goals.
        front_share: Share of a batch that comes back to the best trade-offs of the run.
    """

    combine: Literal["sum", "product", "preferences", "goals"] = "sum"
    weights: tuple[float, ...] = ()
    beta: Positive = 16.0
    beta_shape: NotNegative = 0.0
    alpha: Positive = 1.5
    repeat: Count = 1
    cosine: float = 0.98
    limit: Positive = 0.2
    hindsight: Probability = 0.3
    front_share: Probability = 0.0

    @abstractmethod
    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """(M, K) the true front, or None if nobody knows it."""

    @property
    def conditional(self) -> bool:
        """Whether the sampler is told something."""
        return self.combine in ("preferences", "goals")

    def scalarization(self) -> Scalarization:
        """What the options say."""
        if self.weights and self.conditional:
            raise ConfigError(
                f"weights={self.weights} are those of a fixed sum or product; combine="
                f"{self.combine} draws others for every trajectory. Leave one of the two out."
            )
        weights = torch.tensor(self.weights) if self.weights else None
        beta = None if self.beta_shape else self.beta
        match self.combine:
            case "sum":
                return LogSum(weights, self.beta)
            case "product":
                return LogProduct(weights, self.beta)
            case "preferences":
                return Preferences(beta)
            case "goals":
                return Goals(self.cosine, self.limit, beta)
        raise ConfigError(
            f"combine={self.combine!r} is unknown; known: sum, product, preferences, goals."
        )

    def condition(self, env: DiscreteEnvironment[Any]) -> ConditionSampler | None:
        """Preferences or goals, if the sampler is told any."""
        if not env.num_scores or not self.conditional:
            return None
        beta = GammaBeta(self.beta_shape) if self.beta_shape else None
        if self.combine == "goals":
            return UniformDirections(env.num_scores, beta, self.repeat)
        return DirichletPreferences(env.num_scores, self.alpha, beta, self.repeat)

    def condition_encoder(self, env: DiscreteEnvironment[Any]) -> nn.Module | None:
        """Inverse temperatures up to twice their mean as a column of marks."""
        if not env.condition_dim or not self.beta_shape:
            return None
        return PreferenceEncoder(env.num_scores, beta=True, high=2 * self.beta_shape)

    def behaviour(self, env: DiscreteEnvironment[Any], chosen: Behaviour) -> Behaviour:
        """Hindsight for goals, and what comes back to the front, around what is chosen."""
        if env.num_scores and self.combine == "goals" and self.hindsight:
            chosen = Hindsight(self.hindsight, chosen)
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
        if self.combine == "goals":
            numbers["focus_accuracy"] = self.focus(context)
        return numbers

    def focus(self, context: Context) -> float:
        """Share of objects in the cone that they were asked for."""
        trainer, env = context.trainer, context.env
        seed = trainer.config.seed * 1_000_003 + trainer.step + 1
        generator = torch.Generator(trainer.device).manual_seed(seed)
        beta = GammaBeta(self.beta_shape) if self.beta_shape else None
        draw = UniformDirections(env.num_scores, beta, REPEATS)
        asked = draw(GOALS * REPEATS, generator)
        batch = trainer.sampler.forward(
            trainer.evaluated_policy,
            len(asked),
            condition=asked,
            generator=generator,
            device=trainer.device,
        )
        assert batch.scores is not None
        return float(focus_accuracy(batch.scores, asked[:, : env.num_scores], self.cosine))

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


@lru_cache(maxsize=4)
def enumerated_front(task: SeveralScores) -> Tensor:
    """(M, K) the front of a task whose objects can all be listed."""
    return exact_front(enumerate_states(task.environment()))[1]

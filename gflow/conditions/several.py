"""Conditioning for several scores: preferences among them, and directions to aim at."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gflow.bounds import Count, Natural, NotNegative, Part, Positive, Probability
from gflow.checks import checked
from gflow.conditions.conditioning import Conditioning, refuse_conditional
from gflow.conditions.draws import ConditionSampler
from gflow.conditions.preferences import (
    DirichletPreferences,
    PreferenceEncoder,
    UniformDirections,
)
from gflow.conditions.temperatures import GammaBeta
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.metrics.multiobjective import focus_accuracy
from gflow.rewards.scalarizations import Goals, Preferences, Scalarization
from gflow.rewards.vector import VectorReward

if TYPE_CHECKING:
    from gflow.behaviours.base import Behaviour
    from gflow.training.trainer import Trainer

GOALS, REPEATS = 15, 32
"""Directions asked for in an evaluation, and objects per direction."""


class SeveralConditions(Conditioning):
    """What conditions on several scores share: beta, fixed or the last entry of the condition.

    Args:
        beta: Inverse temperature; by default that of the environment's own fixed combination.
        beta_shape: Draw the inverse temperature per trajectory from Gamma(beta_shape, 1) instead;
            0 for no.
        marks: Marks on [0, 1] by which networks read each weight; 0 reads weights as they are.
        repeat: Trajectories in a row that are told the same, at least 2 for vargrad.
    """

    def __init__(self, beta: float | None, beta_shape: float, marks: int, repeat: int) -> None:
        if marks == 1:
            raise ConfigError(f"{type(self).__name__}: a thermometer has at least 2 marks.")
        if beta is not None and beta_shape:
            raise ConfigError(
                f"{type(self).__name__}: beta={beta:g} fixes what beta_shape={beta_shape:g} draws. "
                f"Leave one of the two out."
            )
        self.beta, self.beta_shape, self.marks, self.repeat = beta, beta_shape, marks, repeat

    @abstractmethod
    def rule(self, beta: float | None) -> Scalarization:
        """How scores and a condition become log R."""

    def environment(self, env: Environment[Any]) -> Environment[Any]:
        """The same scores, combined as the condition says.

        Raises:
            IncompatibleError: There is one score only, or the environment is told something else.
        """
        from gflow.environment.rewarded import with_reward

        if not isinstance(env.reward, VectorReward):
            raise IncompatibleError(
                f"{type(self).__name__}: {env.name} has one number as its reward, and conditions "
                f"are about several scores. Ask for these (landscapes has several; molecules and "
                f"atoms with --vector, architecture with --scores), or use --condition temperature."
            )
        refuse_conditional(env, f"The condition {self.name!r}")
        fixed = getattr(env.reward.scalarization, "weights", None)
        if fixed is not None:
            raise IncompatibleError(
                f"{type(self).__name__}: the weights {[round(w, 4) for w in fixed.tolist()]} of "
                f"{env.name} are those of a fixed combination, and a condition says others for "
                f"every trajectory. Leave one of the two out."
            )
        own = getattr(env.reward.scalarization, "beta", 1.0)
        beta = None if self.beta_shape else own if self.beta is None else self.beta
        reward = env.reward.combined(self.rule(beta))
        return with_reward(env, reward, reward.condition_dim)

    def betas(self) -> GammaBeta | None:
        """Draws the inverse temperature, if it is drawn."""
        return GammaBeta(self.beta_shape) if self.beta_shape else None

    def encoder(self, env: Environment[Any]) -> nn.Module:
        """Weights by marks, and inverse temperatures up to twice their mean by marks."""
        drawn = bool(self.beta_shape)
        high = 2 * self.beta_shape if drawn else 1.0
        return PreferenceEncoder(env.num_scores, drawn, high=high, marks=self.marks)


class PreferenceConditions(SeveralConditions):
    """Weights of the scores, drawn from a symmetric Dirichlet distribution.

    Args:
        alpha: Concentration; 1 is uniform, more prefers even weights.
        beta: Inverse temperature; by default that of the environment's own fixed combination.
        beta_shape: Draw the inverse temperature per trajectory from Gamma(beta_shape, 1) instead;
            0 for no.
        marks: Marks on [0, 1] by which networks read each weight; 0 reads weights as they are.
        repeat: Trajectories in a row that are told the same, at least 2 for vargrad.

    Reference:
        Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765
    """

    name = "preferences"

    @checked
    def __init__(
        self,
        alpha: Positive = 1.5,
        beta: Positive | None = None,
        beta_shape: NotNegative = 0.0,
        marks: Natural = 16,
        repeat: Count = 1,
    ) -> None:
        super().__init__(beta, beta_shape, marks, repeat)
        self.alpha = alpha

    def rule(self, beta: float | None) -> Preferences:
        """The weighted mean."""
        return Preferences(beta)

    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> DirichletPreferences:
        """Weights, and beta if it is drawn."""
        return DirichletPreferences(env.num_scores, self.alpha, self.betas(), self.repeat)


class GoalConditions(SeveralConditions):
    """Directions of the vector of scores: there is a reward in the cone around one, and none else.

    Args:
        cosine: Cosine at the edge of the cone.
        limit: Factor of the reward there.
        hindsight: Share of a batch that is told afterwards what it achieved.
        beta: Inverse temperature; by default that of the environment's own fixed combination.
        beta_shape: Draw the inverse temperature per trajectory from Gamma(beta_shape, 1) instead;
            0 for no.
        marks: Marks on [0, 1] by which networks read each entry; 0 reads entries as they are.
        repeat: Trajectories in a row that are told the same, at least 2 for vargrad.

    Reference:
        Roy et al., Goal-conditioned GFlowNets, 2023, https://arxiv.org/abs/2306.04620
    """

    name = "goals"

    @checked
    def __init__(
        self,
        cosine: Part = 0.98,
        limit: Positive = 0.2,
        hindsight: Probability = 0.3,
        beta: Positive | None = None,
        beta_shape: NotNegative = 0.0,
        marks: Natural = 16,
        repeat: Count = 1,
    ) -> None:
        super().__init__(beta, beta_shape, marks, repeat)
        self.cosine, self.limit, self.hindsight = cosine, limit, hindsight

    def rule(self, beta: float | None) -> Goals:
        """A cone around the direction."""
        return Goals(self.cosine, self.limit, beta)

    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> UniformDirections:
        """Directions, and beta if it is drawn."""
        return UniformDirections(env.num_scores, self.betas(), self.repeat)

    def behaviour(self, env: Environment[Any], chosen: "Behaviour") -> "Behaviour":
        """Hindsight around what is chosen."""
        from gflow.behaviours.hindsight import Hindsight

        return Hindsight(self.hindsight, chosen) if self.hindsight else chosen

    def metrics(self, trainer: "Trainer") -> dict[str, float]:
        """`focus_accuracy`: the share of objects in the cone that they were asked for."""
        env = trainer.env
        seed = trainer.config.seed * 1_000_003 + trainer.step + 1
        generator = torch.Generator(trainer.device).manual_seed(seed)
        draw = UniformDirections(env.num_scores, self.betas(), REPEATS)
        asked = draw(GOALS * REPEATS, generator)
        batch = trainer.sampler.forward(
            trainer.evaluated_policy,
            len(asked),
            condition=asked,
            generator=generator,
            device=trainer.device,
        )
        assert batch.scores is not None
        share = focus_accuracy(batch.scores, asked[:, : env.num_scores], self.cosine)
        return {"focus_accuracy": float(share)}

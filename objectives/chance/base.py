"""What objectives for environments with chance share: whose turn it is, and how likely it moves."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Rate
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.movers import CHANCE
from gflow.errors import IncompatibleError
from gflow.learner import Learner
from gflow.objective import Objective, Regression, squared
from gflow.objectives.chance.environment_model import ChanceNetwork, EnvironmentModel, learned_law
from gflow.policies.base import Policy
from gflow.policies.encoder import FeatureEncoder, StateEncoder
from gflow.source import Source
from gflow.state import take
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories

FROM_CHANCE = Source.OWN | Source.EXPLORED | Source.REPLAYED
"""Sources whose trajectories the environment made forward, so that chance moved by its own law."""


class ChanceObjective(Objective):
    """An objective that tells moves of chance from the agent's."""

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Games and continua are refused; see `Objective.refusal`."""
        if env.num_players > 1:
            return (
                "it has one flow for one agent and chance, and here players move against each "
                "other. Use aedb, or atb, adb and asubtb where nothing is chance's."
            )
        if not env.numbered:
            return (
                "it tells moves of chance by their numbers, and here moves have densities. Use tb, "
                "vargrad, db or subtb."
            )
        return super().refusal(env)

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The flow terms, which say where it is chance's turn."""
        terms = super().evaluate(env, policy, trajectories)
        return replace(terms, chance=chance_turns(env, trajectories))


class ModelledChance(ChanceObjective):
    """One that reads how likely moves of chance are, as is known or as a model has it.

    Args:
        model: Network of the moves of chance, learned beside the policy and read without gradient;
            None for the environment's own law.
        model_lr: Learning rate of the model.
        regression: How residuals are punished.
    """

    @checked
    def __init__(
        self,
        model: nn.Module | None = None,
        model_lr: Rate = 1e-3,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.model, self.model_lr = model, model_lr
        self.self_contained = model is None
        if model is not None:
            self.learns_from = FROM_CHANCE

    @classmethod
    @checked
    def build(
        cls,
        env: Environment[Any],
        encoder: StateEncoder | None = None,
        kernel: Literal["known", "learned"] = "known",
        width: Count = 128,
        **settings: Any,
    ) -> "ModelledChance":
        """With a network of states as model of chance, if that is to be learned.

        Args:
            env: The environment.
            encoder: Encodes states; by default their categorical features.
            kernel: Whether moves of chance have their known probabilities, or those of a model that
                is fitted to what happens (`EnvironmentModel`).
            width: Units of the layers of the model.
            settings: Further arguments of the class.

        Raises:
            ConfigError: If a number is out of range, or a choice is none.
            IncompatibleError: If states have no features to encode.
        """
        if kernel == "known" or not env.has_chance:
            return cls(**settings)
        if encoder is None and not env.feature_sizes:
            raise IncompatibleError(
                f"{cls.__name__} cannot learn the moves of chance of {env.name}: its network reads "
                f"states and knows none for an environment without `feature_sizes`. Use "
                f"kernel=known, or, in Python, {cls.__name__}.build(encoder=...)."
            )
        encoder = FeatureEncoder(env, width) if encoder is None else encoder
        actions: int = env.num_actions  # type: ignore[attr-defined]
        return cls(model=ChanceNetwork(encoder, actions, width), **settings)

    def learners(self, env: Environment[Any]) -> list[Learner]:
        """The fit of the model, if there is one."""
        return [] if self.model is None else [EnvironmentModel(self.model, self.model_lr)]

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The flow terms; moves of chance have the probability that the model gives them."""
        terms = super().evaluate(env, policy, trajectories)
        if self.model is None or terms.chance is None:
            return terms
        moved = terms.chance[:, :-1] & terms.mask
        value = self._log_model(env, trajectories, moved).to(terms.log_pf.dtype)
        return replace(terms, log_pf=terms.log_pf.masked_scatter(moved, value))

    @torch.no_grad()
    def _log_model(self, env: Any, trajectories: Trajectories[Any], moved: Tensor) -> Tensor:
        """(M,) log P_psi of the M moves of chance."""
        assert self.model is not None
        index = trajectories.state_index[:, :-1]
        visited, rows = torch.unique(index[moved], return_inverse=True)
        given = trajectories.condition_of_states
        at = None if given is None else given[visited]
        law = learned_law(env, self.model, take(trajectories.states, visited), at)
        return law.log_prob(trajectories.actions[moved], rows)


def chance_turns(env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor | None:
    """(B, T + 1) bool: states s_t at which it is chance's turn; False at the end of whole ones.

    None if nothing is chance's.
    """
    mover = env.mover(trajectories.states) if env.has_chance else None
    if mover is None:
        return None
    index = trajectories.state_index
    steps = torch.arange(index.shape[1], device=index.device)
    left = trajectories.length[:, None]
    open_end = torch.zeros_like(left, dtype=torch.bool)
    if trajectories.complete is not None:
        open_end = ~trajectories.complete[:, None]
    return (mover == CHANCE)[index] & ((steps < left) | (open_end & (steps == left)))

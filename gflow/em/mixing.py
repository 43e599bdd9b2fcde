"""Back-and-forth mixing: latents are improved by a Markov chain before the model sees them."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.backtracking import Backtracking
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch, Revision
from gflow.bounds import Count, Temperature
from gflow.checks import checked
from gflow.em.tempered import TemperedPolicy
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.trajectories import Trajectories


class BackAndForth:
    r"""Metropolis-Hastings on latents: K moves back by P_B, forward by P_F, accepted or not.

    A candidate z' reached from z by way of m is accepted with probability

    .. math:: \min\Bigl(1, \frac{R(z')}{R(z)} \frac{P_B(z' \to m) P_F(m \to z)}
              {P_B(z \to m) P_F(m \to z')}\Bigr),

    P_B and P_F being those of the policy that proposes: tempered, where there is a temperature. So
    p(z | x) is left as it is, whatever the policy (see `LocalSearch`, whose chain this is).

    Args:
        rounds: Candidates one after the other.
        steps: K: a whole number, a fraction, "random", or a `Backtracking` (`UpTo(20)`).
        temperature: Both laws of the policy are flattened by it for proposing.

    Reference:
        Hu et al., GFlowNet-EM for learning compositional latent variable models, 2023,
        https://arxiv.org/abs/2302.06576
    """

    @checked
    def __init__(
        self,
        rounds: Count = 10,
        steps: int | float | str | Backtracking = "random",
        temperature: Temperature = 1.0,
    ) -> None:
        self.rounds, self.temperature = rounds, temperature
        self.search = LocalSearch(1, steps, accept="metropolis", prefix="resampled")

    def check(self, env: Environment[Any]) -> None:
        """Refuse environments without moves back, and games.

        Raises:
            IncompatibleError: If there is nothing to go back by.
        """
        if not env.has_backward or env.num_players > 1:
            why = "several players" if env.has_backward else "no moves back"
            raise IncompatibleError(
                f"BackAndForth goes back by P_B and compares one reward, and {env.name} has {why}. "
                f"Leave mixing out."
            )

    def proposer(self, sampling: Sampling) -> Sampling:
        """The same sampling, by the policy that proposes."""
        if self.temperature == 1:
            return sampling
        return replace(sampling, policy=TemperedPolicy(sampling.policy, self.temperature))

    def revise(self, sampling: Sampling, current: Trajectories[Any]) -> Revision:
        """One candidate for each of M chains, and where they go.

        Args:
            sampling: Gives the sampler and the policy as it is, before any temperature.
            current: M whole trajectories.
        """
        return self.search.revise(self.proposer(sampling), current)

    def mix(
        self, sampling: Sampling, current: Trajectories[Any]
    ) -> tuple[Trajectories[Any], Tensor]:
        """Where M chains are after all rounds, and the () share of candidates accepted.

        Args:
            sampling: Gives the sampler and the policy as it is, before any temperature.
            current: M whole trajectories: where they start.
        """
        self.check(sampling.env)
        accepted = []
        for _ in range(self.rounds):
            revision = self.revise(sampling, current)
            accepted.append(revision.accepted)
            current = revision.following
        return current, torch.stack(accepted).double().mean()

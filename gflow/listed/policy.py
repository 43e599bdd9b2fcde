"""Policies on a list: they are shown the states that rows stand for."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.listed.env import Listed
from gflow.policies.base import Policy, PolicyOutput, Session
from gflow.trajectories import Trajectories


class OnList(Policy):
    """A policy of an environment, on the `Listed` one.

    Args:
        policy: The policy; it shares its parameters.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.backward, self.has_log_flow = policy.backward, policy.has_log_flow
        self.has_marginals, self.reads_segments = policy.has_marginals, policy.reads_segments

    def forward(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        home = _listed(env)
        output: PolicyOutput = self.policy(home.inner, home.states(states), condition)
        return output

    def forward_logits(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head alone."""
        home = _listed(env)
        return self.policy.forward_logits(home.inner, home.states(states), condition)

    def backward_logits(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head alone, or None."""
        home = _listed(env)
        return self.policy.backward_logits(home.inner, home.states(states), condition)

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """The rollout memory of the policy, unless it is asked once for all states."""
        home = _listed(env)
        if home.whole and condition is None:
            return None
        session = self.policy.begin(home.inner, count, condition)
        if session is None:
            return None
        return lambda states, rows: session(home.states(states), rows)

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the stored states: the policy's own way, unless they are all states."""
        home = _listed(env)
        if trajectories.states is home.all:
            found: PolicyOutput = self(env, home.all, condition)
            return found
        return self.policy.of_trajectories(home.inner, home.unlisted(trajectories), condition)


class Shared(OnList):
    """One pass over all states, with gradient, that sampling and evaluation share.

    Log-probabilities that were drawn from are those that are trained, so that nothing is computed
    twice. Whoever changes the weights says so: `forget`.
    """

    _output: PolicyOutput | None = None

    def forget(self) -> None:
        """Ask the policy anew when it is wanted next."""
        self._output = None

    def forward(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; of all states those that are known."""
        if condition is not None or states is not _listed(env).all:
            return super().forward(env, states, condition)
        if self._output is None:
            with torch.enable_grad():
                self._output = super().forward(env, states)
        return self._output

    def forward_logits(
        self, env: Environment[Any], states: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head; of all states that of the shared pass, without gradient."""
        if condition is not None or states is not _listed(env).all:
            return super().forward_logits(env, states, condition)
        return self.forward(env, states).forward_logits.detach()


def _listed(env: Environment[Any]) -> Listed:
    """The listed environment, which is the only one that these policies are for."""
    if not isinstance(env, Listed):
        raise TypeError(f"OnList reads rows of a list, and {env.name} has none: use its policy.")
    return env

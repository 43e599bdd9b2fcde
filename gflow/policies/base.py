"""Policies: what a network says about states, before any mask."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.environment.categorical import Categorical
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.law import Law
from gflow.errors import ConfigError, IncompatibleError
from gflow.shown import size
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.policies.recorded import Recording

Backward = Literal["learned", "uniform", "maxent"]

Session = Callable[[Any, Tensor], Tensor]
"""(L live states, (L,) their rows in ascending order) to (L, A) forward logits, step after step of
one forward rollout, so that what was computed for earlier states can be remembered."""


@dataclass(frozen=True)
class PolicyOutput:
    """Raw outputs of a policy for N states.

    Attributes:
        forward_logits: (N, A) logits, which flow matching reads as log edge flows; or what stands
            for them, where the environment's law reads that (`gflow.language.Projected`).
        backward_logits: (N, P) logits, or None if the backward policy is fixed.
        log_flow: (N,) log F(s), (N, n) with a flow for each of n > 1 players of a game, or None if
            the policy has no such head.
    """

    forward_logits: Tensor
    backward_logits: Tensor | None = None
    log_flow: Tensor | None = None


class Policy(nn.Module, ABC):
    """Maps states to raw outputs; the environment turns them into distributions.

    Attributes:
        backward: "learned" (a head), "uniform" over parents, or "maxent": P_B(s|s') = n(s)/n(s').
        has_log_flow: Whether `forward` returns a log-flow.
        has_marginals: Whether states are parts whose marginals it learns (`MarginalPolicy`).
        reads_segments: Whether `of_trajectories` reads those that begin elsewhere than at the
            source, too.
    """

    backward: Backward = "learned"
    has_log_flow: bool = False
    has_marginals: bool = False
    reads_segments: bool = False

    @abstractmethod
    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads at once, for training.

        Args:
            env: The environment; most policies read ``env.encode(states)``.
            states: N states.
            condition: (N, C) conditions, or None.
        """

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward head alone, for sampling; overridden where that is cheaper."""
        output: PolicyOutput = self(env, states, condition)
        return output.forward_logits

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward head alone, or None; overridden where that is cheaper."""
        output: PolicyOutput = self(env, states, condition)
        return output.backward_logits

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The last layers of a learned backward head, each with its rows that belong to it."""
        return []

    @torch.no_grad()
    def zero_backward_head(self) -> None:
        """Zero `backward_layers`, so that P_B starts uniform over actions.

        Raises:
            IncompatibleError: If there are none.
        """
        layers = self.backward_layers()
        if not layers:
            raise IncompatibleError(
                f"{type(self).__name__} cannot start with a uniform backward policy: it has no "
                f"learned backward head, or defines no `backward_layers`."
            )
        for layer, rows in layers:
            layer.weight[rows] = 0.0
            if layer.bias is not None:
                layer.bias[rows] = 0.0

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """What samples one forward rollout of `count` rows with a memory, or None for none.

        Rows that end are dropped, and never come back. Equal states are not shared then, because
        each row has a memory of its own.
        """
        return None

    def record(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> "Recording | None":
        """A `begin` that keeps what a loss can use instead of a second pass, or None for none.

        The policy's parameters must not be changed in ways that PyTorch does not see (`p.data`)
        between the rollout and the loss.
        """
        return None

    def extra_repr(self) -> str:
        """How many numbers it learns, and what it gives."""
        flow = ", log flow" if self.has_log_flow else ""
        return f"{size(self)}, backward={self.backward!r}{flow}"

    @property
    def shares_work(self) -> bool:
        """Whether `of_trajectories` reads trajectories otherwise than state by state."""
        return type(self).of_trajectories is not Policy.of_trajectories

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the N stored states of trajectories from the source, in the store's order.

        Overridden where states of a trajectory share work, such as prefixes of one sequence.
        States of trajectories that begin elsewhere go through `forward` unless `reads_segments`.

        Args:
            env: The environment.
            trajectories: B trajectories.
            condition: (N, C) the condition of each stored state, or None.
        """
        output: PolicyOutput = self(env, trajectories.states, condition)
        return output


class BackwardNetwork(Protocol):
    """What gives P_B: every policy does, and modules that give nothing else.

    Attributes:
        backward: As of `Policy`.
    """

    backward: Backward

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) logits of N states, or None for fixed kinds."""


@overload
def backward_law(
    env: DiscreteEnvironment[Any], policy: BackwardNetwork, states: Any, learned: Tensor | None
) -> Categorical: ...
@overload
def backward_law(
    env: ContinuousEnvironment[Any], policy: BackwardNetwork, states: Any, learned: Tensor | None
) -> Density[Any]: ...
def backward_law(
    env: Environment[Any], policy: BackwardNetwork, states: Any, learned: Tensor | None
) -> Law[Any]:
    """The backward policy at N states: the one place that knows the three kinds.

    Fixed kinds speak of parents, so equivalent actions leave only the first of their class.

    Args:
        env: The environment.
        policy: Says which kind.
        states: N states.
        learned: (N, P) outputs of the policy's head, if it has one.

    Raises:
        IncompatibleError: A learned backward policy without outputs, or a "maxent" one where the
            environment cannot count trajectories.
    """
    if policy.backward == "learned":
        if learned is None:
            raise IncompatibleError(
                f"{type(policy).__name__} declares a learned backward policy and returned no "
                f"backward logits."
            )
        return env.backward_law(states, learned)
    return env.max_entropy_law(states) if policy.backward == "maxent" else env.backward_law(states)


def check_backward(env: DiscreteEnvironment[Any], backward: str) -> None:
    """Refuse a backward policy that the environment cannot give.

    Raises:
        ConfigError: Unknown name.
        IncompatibleError: "maxent" where the environment cannot count trajectories.
    """
    if backward not in ("learned", "uniform", "maxent"):
        raise ConfigError(f"backward must be learned, uniform or maxent, got {backward!r}.")
    if backward != "uniform" and not env.has_backward:
        raise IncompatibleError(
            f"{env.name} defines no moves back, so there is no {backward} backward policy. Use "
            f"backward='uniform', which then says nothing."
        )
    if (
        backward == "maxent"
        and type(env).max_entropy_logits is DiscreteEnvironment.max_entropy_logits
    ):
        raise IncompatibleError(
            f"{env.name} cannot count its trajectories (it defines no `max_entropy_logits`), so "
            f"the maximum-entropy backward policy is not available. Use backward='uniform' or "
            f"'learned'."
        )

"""Environments whose moves have densities: boxes, tori, diffusions."""

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.bridge import Bridge
from gflow.environment.density import Density
from gflow.errors import IncompatibleError

S = TypeVar("S")


class ContinuousEnvironment(Environment[S], kind=True):
    r"""A pointed measurable space of states, handled in batches.

    Where a `DiscreteEnvironment` turns logits into a `Categorical` law over numbered actions, this
    turns the raw outputs of a policy into a `Density` over next states, one for each direction. A
    transition *is* the pair of its states; `Trajectories.actions` holds 0 for a move
    and 1 for a stop, which changes no state.

    Shapes: N states, A = `num_outputs` forward outputs, P = `num_backward_outputs`.

    **What a subclass defines.** `initial`, `is_terminal`, `is_initial`, `forward_law`,
    `backward_law`, the sizes, and `can_stop` if objects may end by stopping. After at most
    `horizon` transitions every object must be finished: a step counter in the state, or a least
    displacement, takes the place of acyclicity.

    Attributes:
        num_outputs: A, parameters of the forward law.
        num_backward_outputs: P, parameters of a learned backward law, 0 if it is always fixed.
        stop_action: 1 if objects may end by stopping, else None.
        fixed_length: Every trajectory has exactly `horizon` moves and no stop.
        takes_noise: `Density.sample` can add noise.
        reparametrised: Forward laws have `Density.retrace`.

    The other attributes are those of `Environment`.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """

    numbered = False
    num_outputs: int
    num_backward_outputs: int = 0
    fixed_length: bool = False
    takes_noise: bool = False
    reparametrised: bool = False

    @abstractmethod
    def is_terminal(self, states: S) -> Tensor:
        """(N,) bool: the object is finished by force."""

    @abstractmethod
    def is_initial(self, states: S) -> Tensor:
        """(N,) bool: the state is the source s0."""

    @abstractmethod
    def forward_law(self, states: S, outputs: Tensor) -> Density[S]:
        """The law of the next state of N states that are not finished by force.

        Args:
            states: N states. Rows that are finished may be among them; their law means nothing.
            outputs: (N, A) raw outputs of a policy.
        """

    @abstractmethod
    def backward_law(self, states: S, outputs: Tensor | None = None) -> Density[S]:
        """The law of the previous state of N states other than the source.

        Args:
            states: N states. Sources may be among them; their law means nothing.
            outputs: (N, P) raw outputs of a policy, or None for the fixed backward law.
        """

    if TYPE_CHECKING:

        def law(self, states: S, outputs: Tensor) -> Density[S]:
            """The law of the next state, whoever moves; see `Environment.law`."""

    def exploration_law(self, states: S) -> Density[S] | None:
        """A law over everything that is legal, to explore with; None if there is none."""
        return None

    def bridge(self) -> Bridge[S]:
        """The reference process given its end, for objectives that need no trajectory (adjoint).

        Raises:
            IncompatibleError: If there is none, with the reason.
        """
        raise IncompatibleError(
            f"{self.name} steers no process whose bridges are known in closed form. Use tb, "
            f"vargrad, db or subtb."
        )

    def can_stop(self, states: S) -> Tensor:
        """(N,) bool: the policy may stop here."""
        return torch.zeros_like(self.is_terminal(states))

    def can_end(self, states: S) -> Tensor:
        """(N,) bool: the state is a finished object, or may be declared one by stopping."""
        if self.stop_action is None:
            return self.is_terminal(states)
        return self.can_stop(states) | self.is_terminal(states)


class PointEnvironment(ContinuousEnvironment[S]):
    """An environment whose finished objects are points of R^d with a differentiable density.

    So gradients can be followed: by Langevin chains, say.

    Attributes:
        dim: d.
    """

    dim: int

    @abstractmethod
    def objects(self, x: Tensor) -> S:
        """Finished objects from (B, d) points."""

    @abstractmethod
    def points(self, states: S) -> Tensor:
        """(B, d) the points of states."""

    @abstractmethod
    def log_density_at(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of finished objects at (B, d) points."""

    @abstractmethod
    def score_at(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, d) gradient of `log_density_at`, detached."""

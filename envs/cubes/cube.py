"""The cube: points of [0, 1]^d that move up along all axes at once."""

import math

import torch
from torch import Tensor

from gflow.envs.cubes.atom import Atom
from gflow.envs.cubes.base import UnitCube, logit_of
from gflow.envs.cubes.beta_mixture import BetaMixture
from gflow.envs.cubes.moves import HomeOrBack, Increments, StopOrMove
from gflow.envs.cubes.rewards import RingedCorners
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


class Cube(UnitCube):
    r"""A point of the unit cube moves up along every axis, by m or more, until it stops.

    From the source, anywhere; from elsewhere by increments :math:`m + r (1 - s - m)` along each
    axis, or stop. Points without room for m along some axis stop by force. Backward, home to the
    source at once with some probability, which is 1 where a coordinate is below m, else down by
    :math:`m + r (s' - m)`. The r have mixtures of Beta distributions, independent along the
    axes; densities are per volume.

    Args:
        dim: d.
        reward: Log-reward of points; by default the ringed corners.
        min_step: m, in (0, 1).
        home: Probability of going straight home under the fixed backward kernel.
        components: As of `UnitCube`.
        source_components: As of `UnitCube`.
        concentrations: As of `UnitCube`.
        border: As of `UnitCube`.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """

    def __init__(
        self,
        dim: int = 2,
        reward: LogReward[Tensor] | None = None,
        min_step: float = 0.1,
        home: float = 0.5,
        components: int = 2,
        source_components: int = 4,
        concentrations: tuple[float, float] = (1.0, 6.0),
        border: float = 1e-4,
    ) -> None:
        if dim < 1 or not 0 < min_step < 1 or not 0 < home < 1:
            raise ConfigError(
                f"Cube: dim must be at least 1, min_step and home lie in (0, 1); got {dim}, "
                f"{min_step}, {home}."
            )
        reward = RingedCorners(dim) if reward is None else reward
        super().__init__(dim, reward, components, source_components, concentrations, border)
        self.min_step, self.home = min_step, home
        self.horizon = math.floor(1 / min_step + 1e-9) + 2  # the first move, and the stop
        self.num_outputs = max(1 + 3 * components * dim, 3 * source_components * dim)
        self.num_backward_outputs = 1 + 3 * components * dim

    # ------------------------------------------------------------------ what is legal

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) there is no room for a move along some axis."""
        return (1 - states <= self.min_step + self.border).any(-1)

    def must_return(self, states: Tensor) -> Tensor:
        """(B,) the backward move leads to the source by force."""
        return (states <= self.min_step + self.border).any(-1)

    def legal_increments(self, room: Tensor) -> tuple[Tensor, Tensor]:
        """(N, d) least increments and widths of their intervals.

        A move takes up at most the room there is, and leaves at most 1 - border of the room on the
        other side. The room is 1 - s forward and s' backward, so that a move is legal forward
        exactly where it is legal backward.

        Args:
            room: (N, d).
        """
        low = self.min_step + (room - 1 + self.border).clamp(min=0.0)
        return low, (room - low).clamp(min=torch.finfo(room.dtype).eps)

    # ------------------------------------------------------------------ laws

    def forward_law(self, states: Tensor, outputs: Tensor) -> StopOrMove:
        """Stop, or increments; at the source all outputs are read as their mixtures."""
        first = self._mixture(outputs[:, : 3 * self.source_components * self.dim])
        place = self._mixture(outputs[:, 1 : 1 + 3 * self.components * self.dim])
        return self._forward(states, outputs[:, 0], first, place)

    def backward_law(self, states: Tensor, outputs: Tensor | None = None) -> HomeOrBack:
        """Home at once, or down; evenly over what is legal without outputs."""
        if outputs is None:
            logit = torch.full_like(states[:, 0], logit_of(self.home))
            place = BetaMixture.even(states)
        else:
            logit, place = outputs[:, 0], self._mixture(outputs[:, 1:])
        home = self.must_return(states)
        atom = Atom(logit, home, torch.zeros_like(home))
        return HomeOrBack(states, atom, Increments(*self.legal_increments(states), place))

    def even_outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """See `UnitCube.even_outputs`."""
        first, later = (
            BetaMixture.even_outputs(k, *self.concentrations).repeat(self.dim)
            for k in (self.source_components, self.components)
        )
        source, elsewhere = torch.zeros(2, self.num_outputs)
        source[: len(first)], elsewhere[1 : 1 + len(later)] = first, later
        back = torch.cat([torch.full((1,), logit_of(self.home)), later])
        return source, elsewhere, back

    def exploration_law(self, states: Tensor) -> StopOrMove:
        """Even over the cube and over what is left of it; stops half the time."""
        even = BetaMixture.even(states)
        return self._forward(states, torch.zeros_like(states[:, 0]), even, even)

    def _mixture(self, outputs: Tensor) -> BetaMixture:
        return BetaMixture.of(outputs.unflatten(-1, (self.dim, -1)), *self.concentrations)

    def _forward(
        self, states: Tensor, logit: Tensor, first: BetaMixture, place: BetaMixture
    ) -> StopOrMove:
        source = self.is_initial(states)
        stop = Atom(logit, self.is_terminal(states), source)
        whole = torch.ones_like(states)
        return StopOrMove(
            states,
            source,
            stop,
            Increments(torch.zeros_like(states), whole, first),
            Increments(*self.legal_increments(1 - states), place),
        )

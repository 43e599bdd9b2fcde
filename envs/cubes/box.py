"""The box: points of the unit square that move up in arcs of one length."""

import math

import torch
from torch import Tensor

from gflow.envs.cubes.atom import Atom
from gflow.envs.cubes.base import UnitCube, logit_of
from gflow.envs.cubes.beta_mixture import BetaMixture, within
from gflow.envs.cubes.moves import QUARTER, Arc, HomeOrBack, QuarterDisk, StopOrMove
from gflow.envs.cubes.rewards import RingedCorners
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


class Box(UnitCube):
    r"""A point of the unit square moves up by steps of length delta until it stops.

    From the source, anywhere in the quarter disk of radius delta; from elsewhere by a vector of
    norm delta with non-negative parts that stays in the square, or stop. Points within delta of
    the far corner stop by force. Backward, points of the quarter disk return to the source by
    force, others go down an arc.

    Densities are per area for the first move and per arc length for others, forward and backward;
    stops and forced moves have probabilities. The angle of a move has a mixture of Beta
    distributions on the legal interval, the radius of the first move another; both of the first
    share their weights and are independent.

    Args:
        reward: Log-reward of points; by default the ringed corners.
        delta: Length of a step, in (0, 1].
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
        reward: LogReward[Tensor] | None = None,
        delta: float = 0.25,
        components: int = 2,
        source_components: int = 4,
        concentrations: tuple[float, float] = (1.0, 6.0),
        border: float = 1e-6,
    ) -> None:
        if not 0 < delta <= 1:
            raise ConfigError(f"Box: delta must lie in (0, 1], got {delta}.")
        reward = RingedCorners() if reward is None else reward
        super().__init__(2, reward, components, source_components, concentrations, border)
        self.delta = delta
        self.horizon = math.ceil(2 / delta) + 2  # the 1-norm grows by delta or more; and the stop
        self.num_outputs = max(1 + 3 * components, 5 * source_components)
        self.num_backward_outputs = 3 * components

    # ------------------------------------------------------------------ what is legal

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) no move is left: near the far corner, or on one of the far faces."""
        room = 1 - states
        done: Tensor = (room.norm(dim=-1) <= self.delta) | (room <= self.border).any(-1)
        return done

    def must_return(self, states: Tensor) -> Tensor:
        """(B,) the backward move leads to the source by force."""
        near: Tensor = states.norm(dim=-1) <= self.delta
        return near

    def legal_arc(self, room: Tensor) -> tuple[Tensor, Tensor]:
        r"""(N,) least angles of moves and widths of their intervals, in quarter turns.

        A move (delta cos, delta sin) takes up at most the room (r_x, r_y) there is, and leaves at
        most 1 - border of the room on the other side. The room is 1 - s forward and s' backward,
        so that a move is legal forward exactly where it is legal backward.

        Args:
            room: (N, 2).
        """
        most = (room / self.delta).clamp(max=1.0)
        least = ((room - 1 + self.border) / self.delta).clamp(0.0, 1.0)
        low = torch.maximum(most[:, 0].acos(), least[:, 1].asin()) / QUARTER
        high = torch.minimum(least[:, 0].acos(), most[:, 1].asin()) / QUARTER
        return low, (high - low).clamp(min=torch.finfo(room.dtype).eps)

    # ------------------------------------------------------------------ laws

    def forward_law(self, states: Tensor, outputs: Tensor) -> StopOrMove:
        """Stop, or a move in the quarter disk or on an arc.

        Outputs are read as the logit of stopping and the mixture on the arc, or, at the source, as
        weights and parameters of radius and angle.
        """
        k, (low, high) = self.source_components, self.concentrations
        weights, shapes = outputs[:, : 5 * k].split([k, 4 * k], -1)
        alpha, beta = within(shapes.view(-1, 2, 2, k), low, high).unbind(2)
        first = QuarterDisk(self.delta, BetaMixture(weights[:, None].expand_as(alpha), alpha, beta))
        place = BetaMixture.of(outputs[:, 1 : 1 + 3 * self.components], low, high)
        return self._forward(states, outputs[:, 0], first, place)

    def backward_law(self, states: Tensor, outputs: Tensor | None = None) -> HomeOrBack:
        """Home by force, or down an arc; evenly over its legal part without outputs."""
        home = self.must_return(states)
        if outputs is None:
            place = BetaMixture.even(states[:, 0])
        else:
            place = BetaMixture.of(outputs, *self.concentrations)
        atom = Atom(torch.zeros_like(states[:, 0]), home, ~home)
        return HomeOrBack(states, atom, Arc(self.delta, *self.legal_arc(states), place))

    def even_outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """See `UnitCube.even_outputs`."""
        k, bounds = self.source_components, self.concentrations
        shapes = BetaMixture.even_outputs(k, *bounds)[k:]
        arc = BetaMixture.even_outputs(self.components, *bounds)
        source, elsewhere = torch.zeros(2, self.num_outputs)
        source[k : 5 * k] = shapes.repeat(2)
        elsewhere[0], elsewhere[1 : 1 + len(arc)] = logit_of(self.stop_rate), arc
        return source, elsewhere, arc

    def exploration_law(self, states: Tensor) -> StopOrMove:
        """Even on the quarter disk and on arcs; stops at `stop_rate`."""
        even = BetaMixture.even(states[:, 0])
        alpha = states.new_tensor([2.0, 1.0]).expand_as(states)[..., None]  # even by area
        one = torch.ones_like(alpha)
        first = QuarterDisk(self.delta, BetaMixture(torch.zeros_like(one), alpha, one))
        logit = torch.full_like(states[:, 0], logit_of(self.stop_rate))
        return self._forward(states, logit, first, even)

    def _forward(
        self, states: Tensor, logit: Tensor, first: QuarterDisk, place: BetaMixture
    ) -> StopOrMove:
        source = self.is_initial(states)
        stop = Atom(logit, self.is_terminal(states), source)
        later = Arc(self.delta, *self.legal_arc(1 - states), place)
        return StopOrMove(states, source, stop, first, later)

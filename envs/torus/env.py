"""Angles that are turned a fixed number of times: a continuous environment without a border."""

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density
from gflow.envs.targets.base import Target
from gflow.envs.targets.tempered import TemperedTarget
from gflow.envs.torus.von_mises import UniformAngles, VonMisesMixture, wrap
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import LogReward
from gflow.state import as_tuples, take

MOST_LOG_CONCENTRATION = 10.0
"""Concentrations beyond e^10 = 22026, a standard deviation of 0.4 degrees, are not reached."""


@dataclass(frozen=True)
class TorusState:
    """Angles, with a counter of their moves.

    Attributes:
        angles: (B, D) in [0, 2 pi); 0 at the source.
        step: (B,) int64 number of moves made.
    """

    angles: Tensor
    step: Tensor


class TorusReward(LogReward[TorusState]):
    """The log-density of a target at the angles, finished or not.

    Args:
        target: The target, periodic in each coordinate.
    """

    has_partial = True

    def __init__(self, target: Target) -> None:
        self.target = target

    def __call__(self, states: TorusState, condition: Tensor | None = None) -> Tensor:
        """(B,) log-density."""
        return self.target.log_density(states.angles, condition)

    def __repr__(self) -> str:
        return f"TorusReward({self.target!r})"


class Torus(ContinuousEnvironment[TorusState]):
    r"""D angles, all turned at once, L times; then the object is finished.

    **What is built.** A point of the torus :math:`[0, 2 \pi)^D`.

    **State.** The angles and the number of moves; the source is the angle 0 before any move. The
    counter takes the place of acyclicity, and every trajectory has exactly L moves.

    **Forward moves.** Each angle grows by an increment, modulo 2 pi, from a mixture of K von Mises
    distributions of its own. Densities are per radian on both sides, so the increment has Jacobian
    1.

    **Backward moves.** Increments are taken away: by mixtures of the same kind that the policy
    learns, or, with a fixed backward policy, uniformly on the circle. From step 1 the move back to
    the source is forced, and its log-probability is 0.

    **Reward.** Any `Target` of dimension D that is periodic; see `gflow.envs.torus.targets`.

    **Size.** A continuum of dimension D at each of L steps.

    A policy's outputs are, for each angle and component, a logit, the cosine and the sine of a mean
    up to a common factor, and the log of the concentration less its minimum: (N, 4 D K). A mean is
    a direction because the increment that leads from x to a fixed place then is linear in cos x and
    sin x; as a number, which the authors' code learns, it would have to jump somewhere.

    Args:
        target: The density to sample from.
        length: L.
        components: K.
        min_concentration: Least concentration of a component. 0 lets one become uniform.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """

    fixed_length = True

    def __init__(
        self,
        target: Target,
        length: int = 10,
        components: int = 5,
        min_concentration: float = 4.0,
    ) -> None:
        if length < 1 or components < 1:
            raise ConfigError(
                f"Torus: length and components must be at least 1, got {length} and {components}."
            )
        if not 0 <= min_concentration < math.inf:
            raise ConfigError(
                f"Torus: min_concentration must be finite and not negative, got "
                f"{min_concentration}."
            )
        self.target, self.dim = target, target.dim
        self.reward, self.condition_dim = TorusReward(target), target.condition_dim
        self.horizon, self.components = length, components
        self.min_concentration = min_concentration
        self.num_outputs = self.num_backward_outputs = 4 * self.dim * components

    # ------------------------------------------------------------------ states

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> TorusState:
        """The angle 0, before any move."""
        zero = torch.zeros(batch_size, dtype=torch.int64, device=device)
        return TorusState(torch.zeros(batch_size, self.dim, device=device), zero)

    def objects(self, angles: Tensor) -> TorusState:
        """Finished objects from (B, D) angles, wrapped, such as exact samples of the target.

        Raises:
            ShapeError: If they have another shape.
        """
        if angles.dim() != 2 or angles.shape[1] != self.dim or not angles.is_floating_point():
            raise ShapeError(
                f"Torus: objects must be float angles (B, {self.dim}), got {angles.dtype} "
                f"{tuple(angles.shape)}."
            )
        step = torch.full((len(angles),), self.horizon, device=angles.device)
        return TorusState(wrap(angles), step)

    def is_terminal(self, states: TorusState) -> Tensor:
        """(B,) all moves are made."""
        return states.step == self.horizon

    def is_initial(self, states: TorusState) -> Tensor:
        """(B,) no move is made."""
        return states.step == 0

    def show(self, states: TorusState) -> list[str]:
        """The first angles in degrees and the number of moves."""
        shown = (states.angles[:, :4] * (180 / math.pi)).tolist()
        rest = ", ..." if self.dim > 4 else ""
        return [
            f"({', '.join(f'{v:.1f}' for v in row)}{rest}) degrees after {step} of "
            f"{self.horizon} moves"
            for row, step in zip(shown, states.step.tolist(), strict=True)
        ]

    def written(self, states: TorusState) -> list[Any]:
        """Angles in radians, as tuples of floats."""
        return as_tuples(states.angles)

    def log_partition(self) -> float | None:
        """Log Z of the target where it is known."""
        return self.target.log_z

    def with_temperature(self) -> "Torus":
        """The same on R^beta; see `Environment.with_temperature`."""
        view = copy.copy(self)
        view.target = TemperedTarget(self.target)
        view.reward, view.condition_dim = TorusReward(view.target), view.target.condition_dim
        return view

    # ------------------------------------------------------------------ laws

    def forward_law(self, states: TorusState, outputs: Tensor) -> "Turn":
        """Increments from mixtures of von Mises distributions."""
        return Turn(states, self.mixture(outputs), +1)

    def backward_law(self, states: TorusState, outputs: Tensor | None = None) -> "Turn":
        """The same for what is taken away, or uniform angles; to the source by force."""
        if outputs is None:
            return Turn(states, UniformAngles(states.angles), -1)
        return Turn(states, self.mixture(outputs), -1)

    def exploration_law(self, states: TorusState) -> "Turn":
        """Uniform angles."""
        return Turn(states, UniformAngles(states.angles), +1)

    def mixture(self, outputs: Tensor) -> VonMisesMixture:
        """The distributions of increments that (N, 4 D K) outputs of a policy describe."""
        shape = (-1, self.dim, self.components, 4)
        logit, cosine, sine, log_excess = outputs.view(shape).unbind(-1)
        excess = log_excess.clamp(max=MOST_LOG_CONCENTRATION).exp()
        return VonMisesMixture(
            logit.log_softmax(-1), torch.atan2(sine, cosine), self.min_concentration + excess
        )


class Turn(Density[TorusState]):
    """The law of the angles one move on, or one move back, for N states.

    Args:
        states: N states.
        increment: The distribution of what is added, or taken away.
        sign: +1 forward, -1 backward.
    """

    def __init__(
        self,
        states: TorusState,
        increment: VonMisesMixture | UniformAngles,
        sign: Literal[1, -1],
    ) -> None:
        self.states, self.increment, self.sign = states, increment, sign
        # Backward from step 1 there is one state to go to.
        self.forced = states.step == 1 if sign < 0 else None

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[TorusState, None]:
        """N states; there is no noise to add."""
        drawn = self.increment.sample(generator).to(self.states.angles.dtype)
        angles = wrap(self.states.angles + self.sign * drawn)
        if self.forced is not None:
            angles = angles.masked_fill(self.forced[:, None], 0.0)
        return TorusState(angles, self.states.step + self.sign), None

    def log_prob(self, states: TorusState) -> Tensor:
        """(N,) log-density per radian of each angle; 0 where the move is forced."""
        value = self.increment.log_prob(self.sign * (states.angles - self.states.angles))
        return value if self.forced is None else value.masked_fill(self.forced, 0.0)

    def take(self, rows: Tensor) -> "Turn":
        """The laws of some of the states."""
        return Turn(take(self.states, rows), take(self.increment, rows), self.sign)

"""check_env on environments with moves of chance: a right one passes, broken ones are named."""

import pytest
import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density, gaussian_log_prob
from gflow.environment.movers import AGENT, CHANCE
from gflow.rewards.base import FunctionReward
from gflow.testing import BrokenEnvironmentError, check_env
from gflow.testing.slipping import SlippingGrid


class Unknown(SlippingGrid):
    """A mover that nobody knows."""

    def mover(self, states: Tensor) -> Tensor:
        return super().mover(states) + 5


class Doubled(SlippingGrid):
    """One column too many."""

    def mover(self, states: Tensor) -> Tensor:
        return super().mover(states)[:, None]


class Floating(SlippingGrid):
    """Numbers of the wrong type."""

    def mover(self, states: Tensor) -> Tensor:
        return super().mover(states).double()


class Bare(SlippingGrid):
    """Probabilities without a law around them."""

    def chance_law(self, states: Tensor) -> Categorical:
        return super().chance_law(states).logits  # type: ignore[return-value]


class Jumping(SlippingGrid):
    """Chance leaves the grid."""

    def chance_law(self, states: Tensor) -> Categorical:
        law = super().chance_law(states)
        return Categorical(law.logits, torch.ones_like(law.mask))


class Undefined(SlippingGrid):
    """A logarithm of a negative number."""

    def chance_law(self, states: Tensor) -> Categorical:
        law = super().chance_law(states)
        return Categorical((law.logits.exp() - 0.5).log(), law.mask)


class Crowded(SlippingGrid):
    """Slips more often the more states there are."""

    def chance_law(self, states: Tensor) -> Categorical:
        law = super().chance_law(states)
        return Categorical(law.logits * len(states), law.mask)


BROKEN = {
    Unknown: "wrong-mover",
    Doubled: "wrong-mover",
    Floating: "wrong-mover",
    Bare: "wrong-chance-law",
    Jumping: "wrong-chance-law",
    Undefined: "wrong-chance-law",
    Crowded: "batch-dependence",
}


def test_environments_with_chance_pass() -> None:
    checked = check_env(SlippingGrid(2, 3))
    assert (checked.num_states, checked.num_transitions) == (21, 32)
    assert check_env(SlippingGrid(3, 2, slip=0.4)).exhaustive


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_broken_chance_is_named(kind: type[SlippingGrid]) -> None:
    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(kind(2, 3))
    assert caught.value.rules == [BROKEN[kind]]


def test_a_missing_law_of_chance_is_found() -> None:
    class Missing(SlippingGrid):
        def chance_law(self, states: Tensor) -> Categorical:
            raise NotImplementedError

    with pytest.raises(BrokenEnvironmentError, match="`chance_law` raised NotImplementedError"):
        check_env(Missing(2, 3))


class Step(Density[Tensor]):
    """(N, 2) positions and times; without a variance the step is forced."""

    def __init__(self, start: Tensor, mean: Tensor, variance: Tensor, by: int) -> None:
        self.start, self.mean, self.variance, self.by = start, mean, variance, by

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, None]:
        z = torch.randn(self.mean.shape, generator=generator)
        width = (self.variance + noise**2).sqrt().where(self.variance > 0, 0.0)
        return torch.cat([self.mean + width * z, self.start[:, 1:] + self.by], 1), None

    def log_prob(self, states: Tensor) -> Tensor:
        known = self.variance.where(self.variance > 0, 1.0)
        density = gaussian_log_prob(states[:, :1], self.mean, known)
        return density.where(self.variance[:, 0] > 0, 0.0)


class Wind(ContinuousEnvironment[Tensor]):
    """The agent's step, the wind's, the agent's: of variance 1 each, and P_B is the bridge."""

    horizon, fixed_length, num_outputs, takes_noise = 3, True, 1, True

    def __init__(self) -> None:
        self.reward = FunctionReward(lambda states: -states[:, 0].square())

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.zeros(batch_size, 2, device=device)

    def is_terminal(self, states: Tensor) -> Tensor:
        return states[:, 1] == 3

    def is_initial(self, states: Tensor) -> Tensor:
        return states[:, 1] == 0

    def forward_law(self, states: Tensor, outputs: Tensor) -> Step:
        return Step(states, states[:, :1] + outputs, torch.ones_like(outputs), +1)

    def backward_law(self, states: Tensor, outputs: Tensor | None = None) -> Step:
        share = (states[:, 1:] - 1).clamp(min=0) / states[:, 1:].clamp(min=1)
        return Step(states, share * states[:, :1], share, -1)

    def mover(self, states: Tensor) -> Tensor:
        return torch.where(states[:, 1] == 1, CHANCE, AGENT)

    def chance_law(self, states: Tensor) -> Step:
        return Step(states, states[:, :1] + 0.5, torch.ones_like(states[:, :1]), +1)


def test_densities_of_chance_take_no_noise() -> None:
    assert check_env(Wind()).longest == 3

    class Calm(Wind):
        def forward_law(self, states: Tensor, outputs: Tensor) -> Step:
            law = super().forward_law(states, outputs)
            law.sample = lambda generator=None, noise=0.0: Step.sample(law, generator)  # type: ignore[method-assign]
            return law

    with pytest.raises(BrokenEnvironmentError, match="wrong-noise"):
        check_env(Calm())

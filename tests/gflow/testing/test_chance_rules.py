"""check_env on environments with moves of chance: a right one passes, broken ones are named."""

import pytest
import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
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

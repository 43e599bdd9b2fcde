"""Environments whose moves are wrong on purpose, one thing each, and what `check_env` says.

Run it as a script to read the messages:  python tests/gflow/testing/test_broken_moves.py
"""

import sys
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward
from gflow.envs import HyperGrid
from gflow.testing import BrokenEnvironmentError, TableEnvironment, check_env


def uneven(states: Tensor) -> Tensor:
    """A reward that no symmetry of the grid leaves alone."""
    return -states.double() @ torch.arange(1, states.shape[1] + 1).double() / 3


class Grid(HyperGrid):
    """A right environment to spoil: 4 x 4 cells, stopping anywhere."""

    def __init__(self, **options: Any) -> None:
        given: dict[str, Any] = {"dim": 2, "side": 4, "reward": FunctionReward(uneven)}
        super().__init__(**given | options)


# ---------------------------------------------------------------------- masks


class OverTheEdge(Grid):
    """The mask forgets the edge of the grid."""

    def forward_mask(self, states: Tensor) -> Tensor:
        return torch.ones(len(states), self.num_actions, dtype=torch.bool)


class StaysAtTheEdge(OverTheEdge):
    """The mask forgets the edge, and stepping over it changes nothing."""

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return super()._step(states, actions).clamp(max=self.side - 1)


class ForgetsAMoveForward(Grid):
    """From (1, 1) coordinate 0 could grow, and the mask forbids it."""

    def forward_mask(self, states: Tensor) -> Tensor:
        mask = super().forward_mask(states)
        mask[:, 0] &= ~(states == 1).all(-1)
        return mask


class ForgetsAMoveBack(Grid):
    """(2, 2) has two parents and admits to one."""

    def backward_mask(self, states: Tensor) -> Tensor:
        mask = super().backward_mask(states).clone()
        mask[:, 0] &= ~(states == 2).all(-1)
        return mask


class BackOutOfTheGrid(Grid):
    """Every cell but the origin claims a parent in every direction."""

    def backward_mask(self, states: Tensor) -> Tensor:
        return (states > 0).any(-1, keepdim=True).expand(-1, self.dim)


class ParentsBeyondTheEnd(Grid):
    """Forced ends, and the backward mask of free ends: parents that are finished themselves."""

    def __init__(self) -> None:
        super().__init__(ending="forced")

    def backward_mask(self, states: Tensor) -> Tensor:
        return states > 0


class Orphan(Grid):
    """(3, 3) allows no move back."""

    def backward_mask(self, states: Tensor) -> Tensor:
        return super().backward_mask(states) & ~(states == 3).all(-1, keepdim=True)


class Stuck(Grid):
    """Nothing is legal at (3, 3), which does not count as finished."""

    def forward_mask(self, states: Tensor) -> Tensor:
        return super().forward_mask(states) & ~(states == 3).all(-1, keepdim=True)


class LivelyEnds(Grid):
    """Finished cells still move."""

    def __init__(self) -> None:
        super().__init__(ending="forced")

    def forward_mask(self, states: Tensor) -> Tensor:
        room = states < self.side - 1
        return torch.nn.functional.pad(room, (0, 1), value=True)

    def backward_mask(self, states: Tensor) -> Tensor:
        return states > 0


# ---------------------------------------------------------------------- steps


class WritesIntoStates(Grid):
    """In-place arithmetic."""

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter_add_(1, actions[:, None], torch.ones_like(actions)[:, None])


class WritesFromTheMask(Grid):
    """Not only steps can write."""

    def backward_mask(self, states: Tensor) -> Tensor:
        return states.clamp_(min=0, max=2) > 0


class BackTooFar(Grid):
    """Undoing goes to the edge at once."""

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], 0)


class CrossedMap(Grid):
    """The declared move back undoes the other coordinate."""

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        return self.dim - 1 - actions.clamp(max=1)

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        return backward_actions


class CrossedMapForward(Grid):
    """The declared move forward is that of the other coordinate."""

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        return self.dim - 1 - backward_actions


class MapOutOfRange(Grid):
    """Backward actions numbered from one."""

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        return actions + 1


class Raises(Grid):
    """A bug that only some states show."""

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        if bool((states.sum(-1) == 5).any()):
            raise IndexError("list index out of range")
        return super()._backstep(states, actions)


class RefusesIllegal(Grid):
    """Checks that belong elsewhere."""

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        if bool((states.gather(1, actions[:, None]) >= self.side - 1).any()):
            raise ValueError("no room")
        return super()._step(states, actions)


class LooksAround(Grid):
    """A mask that depends on the first row of the batch."""

    def forward_mask(self, states: Tensor) -> Tensor:
        mask = super().forward_mask(states)
        if len(states) > 1:
            mask[:, 0] &= (states[:1, 0] < 3) | (states[:, 0] == 0)
        return mask


# ---------------------------------------------------------------------- equal actions


class Twice(TableEnvironment):
    """Two actions lead to one child and are not declared."""

    def __init__(self) -> None:
        super().__init__([[1, 1, 2], [3], [3], []], [0.0, 0.0, 0.0, 1.0])

    def forward_classes(self, states: Tensor) -> Tensor | None:
        return None


class TwiceBack(TableEnvironment):
    """Two backward actions lead to one parent and are not declared."""

    def __init__(self) -> None:
        super().__init__([[1, 1, 2], [3], [3], []], [0.0, 0.0, 0.0, 1.0], merge_parents=False)

    def backward_classes(self, states: Tensor) -> Tensor | None:
        return None


class ClassOfIllegal(TableEnvironment):
    """Classes are named after an action that is illegal there."""

    def __init__(self) -> None:
        super().__init__([[-1, 1, 1], [-1, 2], []], [0.0, 0.0, 1.0])

    def forward_classes(self, states: Tensor) -> Tensor | None:
        classes = super().forward_classes(states)
        assert classes is not None
        return torch.where(classes == 1, 0, classes)


# ---------------------------------------------------------------------- ends


class Endless(Grid):
    """A counter that neither stops nor ends."""

    def __init__(self) -> None:
        super().__init__(dim=1, side=10**6)
        self.stop_action, self.num_actions = None, 1
        self.every_state_stops, self.has_forced_terminals = False, True
        self.horizon = 10
        self.feature_sizes = ()

    def forward_mask(self, states: Tensor) -> Tensor:
        return states >= 0

    def is_terminal(self, states: Tensor) -> Tensor:
        return torch.zeros(len(states), dtype=torch.bool)


class RoundAndRound(TableEnvironment):
    """From 3 a move leads back to 1."""

    def __init__(self) -> None:
        super().__init__([[1, 2], [2], [3], [-1]], [0.0, 0.1, 0.2, 0.3], stops=[True] * 4)
        self._children[3, 0], self._undo[3, 0] = 1, 1
        self._parents[1, 1], self._redo[1, 1] = 3, 0


class ShortHorizon(Grid):
    """The stop is not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.horizon -= 1


class StopsAnywherePromised(Grid):
    """Promises a stop in every state; the origin has none."""

    def forward_mask(self, states: Tensor) -> Tensor:
        mask = super().forward_mask(states)
        mask[:, self.stop_action] &= states.any(-1)
        return mask


class NoForcePromised(Grid):
    """Promises that nothing ends by force."""

    def __init__(self) -> None:
        super().__init__(ending="forced")
        self.has_forced_terminals = False


class StopOutside(Grid):
    """The stop is none of the actions."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_action = self.num_actions


CASES: list[tuple[type[DiscreteEnvironment[Any]], set[str]]] = [
    (OverTheEdge, {"forward-mask-too-wide"}),
    (StaysAtTheEdge, {"forward-mask-too-wide"}),
    (ForgetsAMoveForward, {"forward-mask-too-narrow"}),
    (ForgetsAMoveBack, {"backward-mask-too-narrow"}),
    (BackOutOfTheGrid, {"backward-mask-too-wide"}),
    (ParentsBeyondTheEnd, {"backward-mask-too-wide"}),
    (Orphan, {"no-parent"}),
    (Stuck, {"stuck-state"}),
    (LivelyEnds, {"terminal-has-actions"}),
    (WritesIntoStates, {"mutates-input"}),
    (WritesFromTheMask, {"mutates-input"}),
    (BackTooFar, {"wrong-backstep"}),
    (CrossedMap, {"wrong-action-map"}),
    (CrossedMapForward, {"wrong-action-map"}),
    (MapOutOfRange, {"wrong-action-map"}),
    (Raises, {"raises"}),
    (RefusesIllegal, {"illegal-action-raises"}),
    (LooksAround, {"batch-dependence"}),
    (Twice, {"duplicate-children"}),
    (TwiceBack, {"duplicate-parents"}),
    (ClassOfIllegal, {"wrong-classes"}),
    (Endless, {"never-ends"}),
    (RoundAndRound, {"cycle"}),
    (ShortHorizon, {"horizon-too-small"}),
    (StopsAnywherePromised, {"broken-promise"}),
    (NoForcePromised, {"broken-promise"}),
    (StopOutside, {"stop-index"}),
]


@pytest.mark.parametrize(("broken", "rules"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_broken_rule_is_named(broken: type[DiscreteEnvironment[Any]], rules: set[str]) -> None:
    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(broken())
    first = caught.value.rules[0]
    assert first in rules, caught.value
    assert caught.value.name == broken.__name__


def test_the_state_is_shown() -> None:
    with pytest.raises(BrokenEnvironmentError, match=r"\(1, 1\), from where action 0"):
        check_env(ForgetsAMoveForward())


def show(broken: Iterable[type[DiscreteEnvironment[Any]]]) -> None:
    for cls in broken:
        try:
            check_env(cls())
            print(f"{cls.__name__}: NOTHING FOUND\n", file=sys.stdout)
        except BrokenEnvironmentError as error:
            print(f"# {cls.__doc__}\n{error}\n", file=sys.stdout)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    show(case[0] for case in CASES)

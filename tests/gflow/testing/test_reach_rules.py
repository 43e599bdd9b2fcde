"""`reaches`: which objects moves lead to, and what `check_env` says of environments that err."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward, enumerate_states
from gflow.envs import HyperGrid
from gflow.envs.dags.env import Dags
from gflow.envs.phylogeny.env import Phylogeny
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
from gflow.envs.sets.bags import Bags
from gflow.envs.sets.sets import FixedSizeSets
from gflow.envs.spins.env import EnergyModel
from gflow.state import batch_size, take
from gflow.testing import BrokenEnvironmentError, TableEnvironment, check_env


def even(states: Any) -> Tensor:
    """All objects alike."""
    return torch.zeros(batch_size(states))


EVEN: FunctionReward[Any] = FunctionReward(even)
ONLY = torch.tensor([[True, False], [True, True], [True, True]])

RIGHT: dict[str, DiscreteEnvironment[Any]] = {
    "grid": HyperGrid(2, 4),
    "grid-forced": HyperGrid(3, 3, ending="forced"),
    "left-to-right": Autoregressive("AB", 4, EVEN),
    "allowed": Autoregressive("AB", 3, EVEN, ONLY),
    "variable": VariableLength("AB", 3, EVEN, min_length=1),
    "both-ends": PrependAppend("AB", 4, EVEN),
    "any-order": AnyOrder("AB", 3, EVEN, ONLY),
    "sets": FixedSizeSets(5, 3, None),
    "bags": Bags(3, 4),
    "spins": EnergyModel(EVEN, 3, 2),
    "dags": Dags(3, max_parents=1),
    "trees": Phylogeny(EVEN, 4),
    "table": TableEnvironment([[1, 2], [3], [3, 4], [], []], [0.0] * 5),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_said_to_be_reached_is_what_moves_lead_to(name: str) -> None:
    """By all paths, told apart from the checker: powers of the matrix of moves."""
    env = RIGHT[name]
    graph = enumerate_states(env)
    moves = torch.eye(len(graph))
    moves[graph.parent, graph.child] = 1
    reached = torch.linalg.matrix_power(moves, env.horizon)[:, graph.objects] > 0
    rows, columns = torch.cartesian_prod(
        torch.arange(len(graph)), torch.arange(len(graph.objects))
    ).unbind(1)
    objects = take(graph.states, graph.objects[columns])
    claimed = env.reaches(take(graph.states, rows), objects)
    assert claimed is not None
    assert claimed.dtype == torch.bool
    assert torch.equal(claimed, reached[rows, columns])
    assert not bool(claimed.all())
    check_env(env)


class BeyondTheEnd(HyperGrid):
    """Cells at the edge are finished, and it goes on counting."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        return (states <= objects).all(-1)


class NeverPrepends(PrependAppend):
    """Beginnings only."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        return ((states == objects) | (states == self.blank)).all(-1)


class NotItself(HyperGrid):
    """A finished object leads nowhere."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        return (states <= objects).all(-1) & (states != objects).any(-1)


class NotFromTheSource(HyperGrid):
    """The source leads nowhere, though its children do."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        return (states <= objects).all(-1) & (states > 0).any(-1) | (objects == states).all(-1)


class OnlyFromFarAway(HyperGrid):
    """A cell leads to those whose coordinates are all odd steps away, or to itself."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        first = (states == 0).all(-1) | (states == objects).all(-1)
        return first | ((states <= objects).all(-1) & ((objects - states).sum(-1) % 2 == 1))


class Numbers(HyperGrid):
    """Not truth values."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        return (states <= objects).all(-1).long()


class Raises(HyperGrid):
    """Not for any batch."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        raise ValueError("no")


class Spoils(HyperGrid):
    """It changes what it is given."""

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        below = (states <= objects).all(-1)
        states += 1
        return below


WRONG: dict[str, tuple[DiscreteEnvironment[Any], str, str]] = {
    "promises": (BeyondTheEnd(2, 4, ending="forced"), "wrong-reaches", "promises it"),
    "denies": (NeverPrepends("AB", 3, EVEN), "wrong-reaches", "denies it"),
    "denies-itself": (NotItself(2, 3), "wrong-reaches", "denies it"),
    "numbers": (Numbers(2, 3), "shape", "truth|bool"),
    "raises": (Raises(2, 3), "raises", "`reaches` raised ValueError: no"),
    "mutates": (Spoils(2, 3), "mutates-input", "`reaches` changed the states"),
    # Too many states to list: what random walks met has to do.
    "large-itself": (NotItself(2, 60), "wrong-reaches", "moves led there"),
    "large-source": (NotFromTheSource(2, 60), "wrong-reaches", "moves led there"),
    "large-parents": (OnlyFromFarAway(2, 60), "wrong-reaches", "its parent .* does not"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_are_found(name: str) -> None:
    env, rule, message = WRONG[name]
    with pytest.raises(BrokenEnvironmentError) as error:
        check_env(env, examples=32)
    assert error.value.rules == [rule]
    assert re.search(message, str(error.value.findings[0]).replace("\n    ", " "))


def test_large_environments_that_are_right_pass() -> None:
    assert not check_env(HyperGrid(2, 60), examples=32).exhaustive

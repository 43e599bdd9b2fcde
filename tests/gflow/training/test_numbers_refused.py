"""NaN, infinities and absurd numbers are refused where they enter, whatever the option."""

import inspect
import math
import re
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import pytest
import torch

from gflow import Exploration
from gflow.backward.count import CountRegression
from gflow.backward.fits import LikelihoodBackward, PessimisticBackward
from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.backtracking import FixedSteps, FractionSteps, backtracking
from gflow.behaviours.base import Incomplete
from gflow.behaviours.branching import Branching
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.exact_samples import ExactSamples
from gflow.behaviours.front import FrontReplay
from gflow.behaviours.hindsight import Hindsight
from gflow.behaviours.langevin import LangevinSearch
from gflow.behaviours.local_search import LocalSearch
from gflow.behaviours.replay import Replay
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.errors import ConfigError
from gflow.learner import BatchMemory
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.memory.replay import ReplayBuffer
from gflow.training.trainer import TrainConfig

ENV = HyperGrid(2, 3)
TWO = landscape_grid(("branin", "currin"), side=3)

GIVEN: dict[Callable[..., Any], dict[str, Any]] = {
    TrainConfig: {},
    Exploration: {},
    Incomplete: {},
    LocalSearch: {},
    Branching: {},
    LangevinSearch: {},
    ExactSamples: {},
    Hindsight: {},
    FrontReplay: {"archive": ParetoArchive(TWO)},
    Replay: {"inner": None, "buffer": ReplayBuffer(ENV, 9)},
    BackwardAugmentation: {"inner": None, "buffer": ReplayBuffer(ENV, 9, rebuild="backward")},
    BackwardReplay: {"env": ENV, "objects": ENV.cells(torch.arange(3))},
    FixedSteps: {"steps": 2},
    FractionSteps: {"fraction": 0.5},
    ReplayBuffer: {"env": ENV, "capacity": 5},
    BestObjects: {"env": ENV},
    ParetoArchive: {"env": TWO},
    BatchMemory: {"env": ENV, "capacity": 3},
    PessimisticBackward: {"env": ENV, "network": torch.nn.Linear(1, 1)},
    LikelihoodBackward: {"network": torch.nn.Linear(1, 1)},
    CountRegression: {"count": torch.nn.Linear(1, 1)},
}
"""Everything with numeric options here, and what it cannot be built without."""


def numbers_of(cls: Callable[..., Any]) -> list[str]:
    """Names of the options that are numbers, by their defaults and annotations."""
    if cls in (TrainConfig, Exploration):
        hints = typing.get_type_hints(cls)
        plain = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
    else:
        hints = typing.get_type_hints(cls.__init__)
        plain = {n: p.default for n, p in inspect.signature(cls).parameters.items()}
    numbers = (int, float, int | None, float | None)
    return [name for name in plain if hints.get(name) in numbers]


CASES = [(cls, name) for cls in GIVEN for name in numbers_of(cls)]


def test_the_options_are_found() -> None:
    assert len(CASES) > 50
    assert {"stop_bias", "epsilon", "weight_decay"} <= set(numbers_of(TrainConfig))
    assert {cls for cls, _ in CASES} == set(GIVEN)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30])
@pytest.mark.parametrize(("cls", "name"), CASES, ids=[f"{c.__name__}-{n}" for c, n in CASES])
def test_no_number_is_refused_with_who_what_and_why(
    cls: Callable[..., Any], name: str, value: float
) -> None:
    with pytest.raises(
        ConfigError, match=rf"^{cls.__name__}: {name} must .*, got {re.escape(str(value))}"
    ):
        cls(**{**GIVEN[cls], name: value})


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e30", "0", "0.0", 1.5])
def test_texts_for_numbers_of_transitions_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError):
        backtracking(value)

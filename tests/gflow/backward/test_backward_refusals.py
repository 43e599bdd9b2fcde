"""What backward policies refuse."""

import copy
import inspect
import math
from typing import Any

import pytest

from gflow import (
    MLPPolicy,
)
from gflow.backward.choice import (
    BACKWARD_POLICIES,
    with_backward,
)
from gflow.backward.count import CountRegression, TrajectoryCount
from gflow.backward.fits import LikelihoodBackward, PessimisticBackward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, GFlowError, IncompatibleError, UnknownNameError
from gflow.objectives import OBJECTIVES
from gflow.training.trainer import TrainConfig, Trainer

GRID = HyperGrid(2, 3, Corners(3, 0.05))
KINDS = tuple(BACKWARD_POLICIES)
SECOND_NETWORK = tuple(k for k in KINDS if BACKWARD_POLICIES[k].network != "none")


def taken(kind: str, **settings: Any) -> dict[str, Any]:
    """Those of some settings that a backward policy has."""
    known = inspect.signature(BACKWARD_POLICIES[kind]).parameters
    return {name: value for name, value in settings.items() if name in known}


def test_what_does_not_fit_is_refused() -> None:
    flat = MLPPolicy(GRID, 8, backward="uniform")
    with pytest.raises(UnknownNameError, match="Did you mean 'pessimistic'"):
        with_backward("pesimistic", GRID, flat)
    with pytest.raises(ConfigError, match="built with backward='uniform'; build it with"):
        with_backward("learned", GRID, flat)
    with pytest.raises(IncompatibleError, match="takes P_B from a learned head"):
        with_backward("tlm", GRID, flat, flat)
    with pytest.raises(IncompatibleError, match="Build it with log_flow=True"):
        with_backward("learned_maxent", GRID, flat, flat)
    with pytest.raises(IncompatibleError, match="cannot start with a uniform backward policy"):
        flat.zero_backward_head()
    bare = copy.copy(GRID)
    bare.feature_sizes = ()
    with pytest.raises(IncompatibleError, match="give `network`"):
        with_backward("tlm", bare, flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "lr must lie in"),
        ({"lr": math.nan}, "lr must lie in"),
        ({"decay": 1.5}, "decay must lie in"),
        ({"tau": -0.1}, "tau must lie in"),
        ({"batches": 0}, "batches must be at least 1"),
        ({"steps": -1}, "steps must be at least 1"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], message: str) -> None:
    refused = 0
    for kind in KINDS:
        if taken(kind, **options):
            with pytest.raises(GFlowError, match=message):
                BACKWARD_POLICIES[kind](**options)
            refused += 1
    assert refused


def test_fits_check_their_own_settings() -> None:
    net = MLPPolicy(GRID, 8)
    for build, message in (
        (lambda: LikelihoodBackward(net, tau=2.0), "tau must lie"),
        (lambda: LikelihoodBackward(net, lr=0.0), "lr must lie in"),
        (lambda: LikelihoodBackward(net, decay=0.0), "decay must lie"),
        (lambda: PessimisticBackward(GRID, net, steps=0), "steps must be at least 1"),
        (lambda: CountRegression(TrajectoryCount(net_with_flow()), steps=0), "steps must be"),
    ):
        with pytest.raises(ConfigError, match=message):
            build()


def net_with_flow() -> MLPPolicy:
    return MLPPolicy(GRID, 8, backward="uniform", log_flow=True)


@pytest.mark.parametrize("kind", SECOND_NETWORK)
def test_nobody_regularises_a_backward_policy_that_gradients_do_not_reach(kind: str) -> None:
    policy = MLPPolicy(GRID, 8, backward="uniform", log_flow=True)
    split, learners = with_backward(kind, GRID, policy)
    for name in ("optb", "opdb"):
        objective = OBJECTIVES[name].build(GRID, lambda_kl=0.1)
        if kind == "separate":
            Trainer(GRID, split, objective, TrainConfig(), learners=learners).train(1)
            continue
        with pytest.raises(IncompatibleError, match=r"lambda_kl = 0.1 .* lets no gradient"):
            Trainer(GRID, split, objective, TrainConfig(), learners=learners)

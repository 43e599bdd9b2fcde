"""Every number and every choice that an objective takes is checked where it enters."""

import inspect
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import nn

from gflow.envs.diffusion.env import Diffusion
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets.mixture import gmm9
from gflow.errors import ConfigError
from gflow.objective import LogZ
from gflow.objectives import (
    OBJECTIVES,
    AdjointSampling,
    FlowMatching,
    HalfSquared,
    Huber,
    Linex,
    MaximumLikelihood,
    OrderPreservingTrajectoryBalance,
    PathwiseDivergence,
    Squared,
    SquaredUpTo,
)
from gflow.objectives.potential import PairPotential, PotentialFit
from gflow.objectives.regression import REGRESSIONS
from gflow.policies.encoder import FeatureEncoder

GRID = HyperGrid(2, 3)
NAN, INF = math.nan, math.inf


def fit(**settings: Any) -> PotentialFit:
    return PotentialFit(GRID, PairPotential(FeatureEncoder(GRID)), **settings)


BUILDERS: dict[str, tuple[type, Callable[..., Any]]] = {
    **{name: (cls, lambda cls=cls, **s: cls.build(GRID, **s)) for name, cls in OBJECTIVES.items()},
    **{name: (cls, cls) for name, cls in REGRESSIONS.items()},
    "log_z": (LogZ, LogZ),
    "potential": (PairPotential, lambda **s: PairPotential(FeatureEncoder(GRID), **s)),
    "potential_fit": (PotentialFit, fit),
}
"""What is built, and how, from one setting by name."""


def numbers_of(hint: Any) -> set[Any]:
    """The plain types within an annotation: int, float, and the choices."""
    match typing.get_origin(hint):
        case typing.Literal:
            return {Literal}
        case typing.Annotated:
            return numbers_of(hint.__origin__)
        case types.UnionType | typing.Union:
            return set().union(*map(numbers_of, typing.get_args(hint)))
    return {hint} & {int, float} if isinstance(hint, type) else set()


def settings_of(cls: type) -> dict[str, set[Any]]:
    """Names and plain types of all numbers and choices that building a class takes."""
    found = {}
    for owner in cls.__mro__:
        for method in (owner.__dict__.get("__init__"), owner.__dict__.get("build")):
            function = getattr(method, "__func__", method)
            if function is None or not (owner.__module__ or "").startswith("gflow"):
                continue
            for name, parameter in inspect.signature(function).parameters.items():
                kinds = numbers_of(parameter.annotation)
                if kinds and name not in found:
                    found[name] = kinds
    init: Any = inspect.getattr_static(cls, "__init__")
    own = inspect.signature(init).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
        return found
    build = inspect.signature(getattr(cls, "build", init)).parameters
    return {name: kinds for name, kinds in found.items() if name in {*own, *build}}


CASES = [
    pytest.param(name, setting, kinds, id=f"{name}-{setting}")
    for name, (cls, _) in BUILDERS.items()
    for setting, kinds in settings_of(cls).items()
]


def test_the_settings_are_found() -> None:
    assert settings_of(OBJECTIVES["opsubtb"]).keys() == {
        "order", "lam", "lambda_op", "lambda_flow", "lambda_kl", "tolerance", "limit",
    }  # fmt: skip
    assert settings_of(OBJECTIVES["led"]).keys() == {
        "residual", "lr", "steps", "memory", "dropout", "width", "base", "lam",
    }  # fmt: skip
    assert settings_of(AdjointSampling).keys() == {"repeats", "clip", "measured"}
    assert settings_of(Huber).keys() == {"delta"}
    assert len(CASES) > 60


@pytest.mark.parametrize(("name", "setting", "kinds"), CASES)
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30, -1e30, "seven", True, [1.0]])
def test_what_is_no_such_number_or_choice_is_refused_by_name(
    name: str, setting: str, kinds: set[Any], value: Any
) -> None:
    with pytest.raises(ConfigError, match=rf"[A-Z]\w+: {setting} must .*, got ") as refused:
        BUILDERS[name][1](**{setting: value})
    assert f"got {value!r}" in str(refused.value)


BELOW: dict[str, dict[str, list[Any]]] = {
    "adjoint": {"repeats": [0, 1.5, 10**7], "clip": [0, -1.0], "measured": [0]},
    "fm": {"epsilon": [-1e-9], "leaf_coefficient": [0, -1.0]},
    "huber": {"delta": [0, -1.0]},
    "kl": {"divisor": [0.0, -2.0]},
    "led": {
        "residual": ["some"], "lr": [0, -1e-3, 2000], "steps": [-1, 0.5], "memory": [0],
        "dropout": [1.0, -0.1], "width": [0], "base": ["tb"], "lam": [0.0],
    },
    "linex": {"alpha": [101, -101]},
    "log_z": {"condition_dim": [-1, 0.5], "width": [0]},
    "optb": {
        "order": ["random"], "lambda_op": [-1.0], "lambda_flow": [-1e-9], "lambda_kl": [-0.1],
        "tolerance": [-1e-3], "limit": [0.0],
    },
    "opsubtb": {"lam": [0.0, -1.0]},
    "potential_fit": {"lr": [0], "steps": [-1], "memory": [0], "dropout": [1.0]},
    "squared_up_to": {"limit": [0, -1.0]},
    "subtb": {"lam": [0.0, -1.0], "weighting": ["geometrical"]},
    "tb": {"condition_dim": [-1]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [(n, s, v) for n, table in BELOW.items() for s, values in table.items() for v in values],
)
def test_what_is_out_of_range_is_refused_by_name(name: str, setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"[A-Z]\w+: {setting} must .*, got "):
        BUILDERS[name][1](**{setting: value})


def test_a_linex_that_rounding_would_eat_is_refused() -> None:
    for alpha in (0, 0.0, 1e-4, -1e-9):
        with pytest.raises(ConfigError, match="alpha must be at least 0.001 in size.*HalfSquared"):
            Linex(alpha)
    t = torch.tensor([-3.0, -0.1, 0.5, 2.0])
    torch.testing.assert_close(Linex(1e-3)(t), HalfSquared()(t), rtol=2e-3, atol=0)


@pytest.mark.parametrize(
    "kind", [PathwiseDivergence, MaximumLikelihood, OrderPreservingTrajectoryBalance]
)
def test_a_regression_of_no_residuals_is_refused(kind: Any) -> None:
    assert kind().regression is kind(regression=kind().regression).regression
    assert kind(regression=Squared()).regression == Squared()
    for other in (HalfSquared(), Huber(2.0), Linex(), SquaredUpTo(), torch.abs):
        with pytest.raises(ConfigError, match=f"{kind.__name__} has no residuals.*leave|Leave"):
            kind(regression=other)


def test_numbers_of_any_origin_are_numbers() -> None:
    import numpy as np

    assert FlowMatching(epsilon=np.float64(0.5)).log_epsilon == pytest.approx(math.log(0.5))
    assert AdjointSampling(repeats=np.int64(3)).repeats == 3  # type: ignore[arg-type]
    assert isinstance(LogZ(1).value, nn.Parameter)


def test_a_bridge_reads_the_score_of_the_reward_that_is_trained_on() -> None:
    """A reward put around the target would be ignored by what regresses on its score."""
    from gflow.errors import IncompatibleError
    from gflow.rewards.wrappers import Tempered

    env = Diffusion(gmm9())
    AdjointSampling().check(env)
    env.reward = Tempered(env.reward, 2.0)
    with pytest.raises(IncompatibleError, match="Tempered.*score of the target.*kl, tb or vargrad"):
        AdjointSampling().check(env)

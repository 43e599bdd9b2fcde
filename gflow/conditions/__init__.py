"""Conditions: what a conditional sampler is asked for."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.conditions.draws import ConditionSampler, TableCondition, UniformCondition
    from gflow.conditions.preferences import (
        DirichletPreferences,
        FocusTable,
        GammaBeta,
        PreferenceEncoder,
        UniformDirections,
    )

_HOME = {
    "ConditionSampler": "gflow.conditions.draws",
    "DirichletPreferences": "gflow.conditions.preferences",
    "FocusTable": "gflow.conditions.preferences",
    "GammaBeta": "gflow.conditions.preferences",
    "PreferenceEncoder": "gflow.conditions.preferences",
    "TableCondition": "gflow.conditions.draws",
    "UniformCondition": "gflow.conditions.draws",
    "UniformDirections": "gflow.conditions.preferences",
}

__all__ = [
    "ConditionSampler",
    "DirichletPreferences",
    "FocusTable",
    "GammaBeta",
    "PreferenceEncoder",
    "TableCondition",
    "UniformCondition",
    "UniformDirections",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

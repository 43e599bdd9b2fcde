"""Conditions: what a conditional sampler is told."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.conditions.conditioning import Conditioning
    from gflow.conditions.draws import ConditionSampler, TableCondition, UniformCondition
    from gflow.conditions.preferences import (
        DirichletPreferences,
        FocusTable,
        PreferenceEncoder,
        UniformDirections,
    )
    from gflow.conditions.ranges import RangeConditions
    from gflow.conditions.several import GoalConditions, PreferenceConditions
    from gflow.conditions.temperature import Temperature
    from gflow.conditions.temperatures import GammaBeta, LogUniformCondition
    from gflow.conditions.thermometer import Thermometer

_HOME = {
    "ConditionSampler": "gflow.conditions.draws",
    "Conditioning": "gflow.conditions.conditioning",
    "DirichletPreferences": "gflow.conditions.preferences",
    "FocusTable": "gflow.conditions.preferences",
    "GammaBeta": "gflow.conditions.temperatures",
    "GoalConditions": "gflow.conditions.several",
    "LogUniformCondition": "gflow.conditions.temperatures",
    "PreferenceConditions": "gflow.conditions.several",
    "PreferenceEncoder": "gflow.conditions.preferences",
    "RangeConditions": "gflow.conditions.ranges",
    "TableCondition": "gflow.conditions.draws",
    "Temperature": "gflow.conditions.temperature",
    "Thermometer": "gflow.conditions.thermometer",
    "UniformCondition": "gflow.conditions.draws",
    "UniformDirections": "gflow.conditions.preferences",
}

__all__ = [
    "ConditionSampler",
    "Conditioning",
    "DirichletPreferences",
    "FocusTable",
    "GammaBeta",
    "GoalConditions",
    "LogUniformCondition",
    "PreferenceConditions",
    "PreferenceEncoder",
    "RangeConditions",
    "TableCondition",
    "Temperature",
    "Thermometer",
    "UniformCondition",
    "UniformDirections",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

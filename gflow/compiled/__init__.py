"""Training steps as one graph: compiled by torch, or captured on a GPU."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.compiled.draws import Draws
    from gflow.compiled.inputs import StepInputs
    from gflow.compiled.runner import CompiledStep
    from gflow.compiled.step import PureStep

_HOME = {
    "CompiledStep": "gflow.compiled.runner",
    "Draws": "gflow.compiled.draws",
    "PureStep": "gflow.compiled.step",
    "StepInputs": "gflow.compiled.inputs",
}

__all__ = ["CompiledStep", "Draws", "PureStep", "StepInputs"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

"""Environments written for one object at a time, in plain Python, and used in batches."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.plain.base import PlainEnvironment
    from gflow.plain.vectorised import Vectorised, vectorise

_HOME = {
    "PlainEnvironment": "gflow.plain.base",
    "Vectorised": "gflow.plain.vectorised",
    "vectorise": "gflow.plain.vectorised",
}

__all__ = ["PlainEnvironment", "Vectorised", "vectorise"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

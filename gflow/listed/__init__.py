"""Environments so small that all their states are listed, and every move is looked up."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.listed.env import Listed
    from gflow.listed.policy import OnList, Shared
    from gflow.listed.rule import listing
    from gflow.listed.tables import Tables

_HOME = {
    "Listed": "gflow.listed.env",
    "OnList": "gflow.listed.policy",
    "Shared": "gflow.listed.policy",
    "Tables": "gflow.listed.tables",
    "listing": "gflow.listed.rule",
}

__all__ = ["Listed", "OnList", "Shared", "Tables", "listing"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

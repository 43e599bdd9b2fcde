"""Policies: what a network says about states, before any mask."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.policies.base import Policy, PolicyOutput
    from gflow.policies.chunked import Chunked
    from gflow.policies.encoder import StateEncoder
    from gflow.policies.even import EvenPolicy
    from gflow.policies.mlp import MLPPolicy
    from gflow.policies.split import SplitPolicy
    from gflow.policies.transformer import CausalTransformer

_HOME = {
    "CausalTransformer": "gflow.policies.transformer",
    "Chunked": "gflow.policies.chunked",
    "EvenPolicy": "gflow.policies.even",
    "MLPPolicy": "gflow.policies.mlp",
    "Policy": "gflow.policies.base",
    "PolicyOutput": "gflow.policies.base",
    "SplitPolicy": "gflow.policies.split",
    "StateEncoder": "gflow.policies.encoder",
}

__all__ = [
    "CausalTransformer",
    "Chunked",
    "EvenPolicy",
    "MLPPolicy",
    "Policy",
    "PolicyOutput",
    "SplitPolicy",
    "StateEncoder",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

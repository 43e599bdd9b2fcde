"""Molecules with routes of synthesis: blocks, and reactions by templates.

Importing this package imports no torch: worker processes load only the parts without tensors.
"""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.envs.reactions.blocks import Block, read_blocks
    from gflow.envs.reactions.env import Reactions
    from gflow.envs.reactions.policy import ReactionPolicy
    from gflow.envs.reactions.templates import Template, read_templates

_HOME = {
    "Block": "gflow.envs.reactions.blocks",
    "ReactionPolicy": "gflow.envs.reactions.policy",
    "Reactions": "gflow.envs.reactions.env",
    "Template": "gflow.envs.reactions.templates",
    "read_blocks": "gflow.envs.reactions.blocks",
    "read_templates": "gflow.envs.reactions.templates",
}

__all__ = ["Block", "ReactionPolicy", "Reactions", "Template", "read_blocks", "read_templates"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

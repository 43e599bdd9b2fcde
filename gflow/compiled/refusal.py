"""What cannot be compiled, said before anything is tried."""

import os
import shutil
from typing import TYPE_CHECKING

from gflow.behaviours.base import Behaviour, Incomplete

if TYPE_CHECKING:
    from gflow.training.trainer import Trainer


def refusal(trainer: "Trainer") -> str | None:
    """Why the steps of a trainer cannot be compiled and what to do, or None.

    Host reads within environments, rewards and policies are found by tracing, not here.
    """
    config, behaviour = trainer.config, trainer.behaviour
    if trainer.learners:
        kinds = ", ".join(sorted({type(learner).__name__ for learner in trainer.learners}))
        return f"{kinds} take steps of their own on every batch, which are not part of the graph"
    if trainer.ranks.size > 1:
        return "several processes exchange gradients in every step"
    if behaviour.state_dict():
        return (
            f"{type(behaviour).__name__} remembers trajectories, which are kept and found again "
            f"by the host: set replay=0 and take a behaviour without memory"
        )
    if isinstance(behaviour, Incomplete):
        return f"{type(behaviour).__name__} cuts trajectories at a time that the host draws"
    if type(behaviour).further is not Behaviour.further:
        return f"{type(behaviour).__name__} adds steps of its own to every step"
    if trainer.condition is not None and trainer.condition.state_dict():
        return f"{type(trainer.condition).__name__} changes what it draws from step to step"
    if config.epsilon_steps or config.noise_steps:
        return (
            "what changes with the step number is fixed in a graph: set epsilon_steps and "
            "noise_steps to 0"
        )
    if config.chunk:
        return "chunk passes states in parts, and a graph plans its memory itself: set chunk=0"
    if config.plan == "ragged":
        return "a graph walks with buffers of fixed sizes: take plan='auto' or 'static'"
    if config.compile == "graph" and trainer.device.type != "cuda":
        return (
            f"compile='graph' captures a CUDA graph, and the policy is on the device "
            f"{trainer.device.type!r}: take compile=True there"
        )
    if config.compile is True and trainer.device.type == "cpu" and not compiler():
        return (
            "torch.compile writes C++ and needs a compiler: install g++ (or clang++), or name one "
            "by the variable CXX"
        )
    return None


def compiler() -> str | None:
    """The C++ compiler that torch.compile will find, or None."""
    named = os.environ.get("CXX")
    found = [shutil.which(name) for name in ([named] if named else ["g++", "clang++", "c++"])]
    return next((path for path in found if path), None)

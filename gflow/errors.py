"""What gflow raises on purpose: who complains, what was got, what is allowed, what to do."""

import difflib
from collections.abc import Iterable

from gflow.installing import how_to_install


class GFlowError(Exception):
    """Base class; catch it to catch everything gflow raises on purpose."""


class IllegalActionError(GFlowError, ValueError):
    """An action was taken that the environment's mask forbids, or a state has no legal action."""


class ShapeError(GFlowError, ValueError):
    """A tensor's shape disagrees with the documented one."""


class RewardError(GFlowError, ValueError):
    """A reward is NaN, infinite where it may not be, or of the wrong shape."""


class IncompatibleError(GFlowError, TypeError):
    """An objective, a policy and an environment that cannot work together."""


class NonFiniteLossError(GFlowError, ArithmeticError):
    """The loss became NaN or infinite; the message names the trajectory responsible."""


class CheckpointError(GFlowError, ValueError):
    """A checkpoint is missing, damaged, or belongs to another configuration."""


class FolderError(GFlowError, OSError):
    """A run's folder is in use by another process, or cannot be written."""


class RankError(GFlowError, RuntimeError):
    """Another process of the same run failed, has gone, or is out of step."""


class ConfigError(GFlowError, ValueError):
    """An option has a value that is not allowed."""


class UnknownNameError(GFlowError, KeyError):
    """A name that is not registered; the message lists the closest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        self.message = f"There is no {kind} named {name!r}.{hint} Known: {', '.join(known)}."
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class MissingExtraError(GFlowError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install the extra {extra!r} with: {how_to_install(package, extra)}"
        )

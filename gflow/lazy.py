"""Names that are imported when they are first used, so that worker processes stay light."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, home: dict[str, str], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """A module's `__getattr__` that finds each name in its home module.

    Args:
        package: ``__name__`` of the package.
        home: Full name of the module that defines each public name.
        otherwise: Asked for all other names.
    """

    def find(name: str) -> Any:
        if name not in home and otherwise is not None:
            return otherwise(name)
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return find


def public_names(names: Iterable[str]) -> Callable[[], list[str]]:
    """A module's `__dir__` that lists its public names, imported or not."""
    listed = sorted(names)

    def find() -> list[str]:
        return list(listed)

    return find

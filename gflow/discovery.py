"""Classes of a package by their names: a new file is found, and no list has to be edited."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from gflow.errors import ConfigError, UnknownNameError

T = TypeVar("T")


class Discovered(Mapping[str, type[T]], Generic[T]):
    """The classes in the modules of a package and below it with a `name` of their own, by that.

    The modules are imported when the first class is asked for, and again looked for when the
    package's path has changed.

    Args:
        package: Its import name.
        base: What the classes derive from.
        kind: What one is called in messages.
        wanted: Which classes; all by default.
        first: Name of the one that is listed first.
    """

    def __init__(
        self,
        package: str,
        base: type[Any],
        kind: str,
        wanted: Callable[[type[T]], bool] = lambda cls: True,
        first: str = "",
    ) -> None:
        self.package, self.base, self.kind = package, base, kind
        self.wanted, self.first = wanted, first
        self._path: tuple[str, ...] = ()
        self._found: dict[str, type[T]] = {}

    def __getitem__(self, name: str) -> type[T]:
        found = self._classes()
        if name not in found:
            raise UnknownNameError(self.kind, name, found)
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes())

    def __len__(self) -> int:
        return len(self._classes())

    def where(self, wanted: Callable[[type[T]], bool]) -> "Discovered[T]":
        """Those of them for which something holds."""
        both = self.wanted
        return Discovered(
            self.package, self.base, self.kind, lambda c: both(c) and wanted(c), self.first
        )

    def _classes(self) -> dict[str, type[T]]:
        path = tuple(importlib.import_module(self.package).__path__)
        if path != self._path:
            found: dict[str, type[T]] = {}
            for cls in self._scan(path):
                name = cls.__dict__["name"]
                if name in found:
                    raise ConfigError(
                        f"Two classes are called the {self.kind} {name!r}: "
                        f"{found[name].__module__}.{found[name].__qualname__} and "
                        f"{cls.__module__}.{cls.__qualname__}. Rename one."
                    )
                found[name] = cls
            self._found = dict(sorted(found.items(), key=lambda i: (i[0] != self.first, i[0])))
            self._path = path
        return self._found

    def _scan(self, path: tuple[str, ...]) -> Iterator[type[T]]:
        for module in pkgutil.walk_packages(list(path), f"{self.package}."):
            home: Any = importlib.import_module(module.name)
            for cls in vars(home).values():
                if (
                    isinstance(cls, type)
                    and issubclass(cls, self.base)
                    and cls.__module__ == home.__name__
                    and not inspect.isabstract(cls)
                    and isinstance(cls.__dict__.get("name"), str)
                    and self.wanted(cls)
                ):
                    yield cls

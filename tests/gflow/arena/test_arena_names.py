"""The names that the room exports are what they say, whatever was imported before."""

import importlib
import pkgutil
from types import ModuleType

import gflow.arena


def test_no_name_is_that_of_a_module() -> None:
    for module in pkgutil.iter_modules(gflow.arena.__path__):
        if module.name != "perfect_worker":
            importlib.import_module(f"gflow.arena.{module.name}")
    for name in gflow.arena.__all__:
        found = getattr(gflow.arena, name)
        assert not isinstance(found, ModuleType), name
        assert found.__name__ == name

"""The table of `benchmarks/environments.py` has every environment, checked in whole."""

import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gflow.envs
from gflow import Environment
from gflow.errors import MissingExtraError

pytest.importorskip("rdkit")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "environments.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("environment_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


TABLE = load()
ENTRIES = {entry.name: entry for entry in TABLE.ENTRIES}


def concrete(base: type) -> set[type]:
    """Subclasses within `gflow.envs` that can be built, underscored bases left out."""
    found = set()
    for cls in base.__subclasses__():
        found |= concrete(cls)
        own = cls.__module__.startswith("gflow.envs.") and not cls.__name__.startswith("_")
        if own and not inspect.isabstract(cls):
            found.add(cls)
    return found


def made(entry: Any) -> Environment[Any]:
    try:
        return entry.make()
    except MissingExtraError as missing:
        pytest.skip(str(missing))


def test_every_environment_is_in_the_table() -> None:
    for module in pkgutil.walk_packages(gflow.envs.__path__, "gflow.envs."):
        importlib.import_module(module.name)
    shown = set()
    for entry in TABLE.ENTRIES:
        try:
            env = entry.make()
        except MissingExtraError:
            continue  # the RNA environments are made of classes that are shown without it
        shown.add(type(env))
    known = concrete(Environment)
    assert len(known) > 15
    missing = sorted(cls.__qualname__ for cls in known - shown)
    assert not missing, f"add {missing} to ENTRIES in benchmarks/environments.py"


def test_names_differ() -> None:
    assert len(ENTRIES) == len(TABLE.ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_all_checks_pass(name: str) -> None:
    row = TABLE.check(made(ENTRIES[name]))
    assert row.passed, row.check
    assert row.states >= row.objects > 1
    assert row.transitions >= row.states - 1  # every state but the source has a parent


@pytest.mark.parametrize("name", ENTRIES)
def test_the_second_objective_is_the_special_one_where_it_can_be(name: str) -> None:
    entry = ENTRIES[name]
    env = made(entry)
    assert entry.second.refusal(env) is None
    assert (entry.second is TABLE.ModifiedDetailedBalance) == env.every_state_stops


def test_a_broken_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ENTRIES["sets"].make()
    right = type(env)._backstep
    monkeypatch.setattr(type(env), "_backstep", lambda self, s, a: right(self, s, (a + 1) % 8))
    row = TABLE.check(env)
    assert not row.passed
    assert "wrong-backstep" in row.check


@pytest.mark.slow
def test_command_prints_and_trains() -> None:
    command = [sys.executable, str(SCRIPT), "--train", "--only", "clique", "max-cut"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in out[1:3]] == ["clique", "max-cut"]
    for line in out[1:3]:
        assert "all passed" in line
        parts = line.split()
        arrows = [i for i, word in enumerate(parts) if word == "->"]
        assert len(arrows) == 2
        for i in arrows:
            before, after = float(parts[i - 1]), float(parts[i + 1].rstrip(","))
            assert after < min(0.05, before)

"""Tasks by name: each is what it says, and only the one that is asked for is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gflow.discovery import Discovered
from gflow.errors import ConfigError, UnknownNameError
from gflow.objective import Objective
from gflow.objectives import OBJECTIVES, OFF_POLICY, PROPORTIONAL
from gflow.tasks.parts import BEHAVIOURS, REGISTRIES
from gflow.tasks.registry import BUILT_IN, TASKS, importable, task_class
from gflow.tasks.signature import options_of

ROOT = Path(__file__).parents[3]


def test_names_are_those_of_the_classes() -> None:
    assert list(TASKS) == list(BUILT_IN)
    for name in TASKS:
        assert TASKS[name].name == name
        assert len(TASKS[name].summary) > 10
        assert all(option.help for option in options_of(TASKS[name])), "every flag says what it is"
    assert importable()[1] == {}
    with pytest.raises(UnknownNameError, match="Did you mean 'hypergrid'"):
        task_class("hypergird")


def test_every_option_of_every_part_says_what_it_is() -> None:
    from gflow.tasks.parts import part_options

    for kind, (known, _) in REGISTRIES.items():
        for name in known:
            for option in part_options(kind, name):
                assert option.help or kind == "regression", (kind, name, option.name)


@pytest.mark.slow
def test_one_task_is_imported_alone() -> None:
    code = (
        "import sys; from gflow.tasks.registry import task_class; task_class('hypergrid'); "
        "loaded = [m for m in sys.modules if m.startswith('gflow.envs.') and '.grids' not in m]; "
        "assert not [m for m in loaded if m.endswith('task')], loaded; "
        "assert 'rdkit' not in sys.modules and 'networkx' not in sys.modules"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)


def test_parts_that_other_parts_wrap_are_not_chosen_by_name() -> None:
    assert next(iter(BEHAVIOURS)) == "on_policy"
    assert {"local_search", "incomplete", "branching", "langevin", "exact"} <= set(BEHAVIOURS)
    assert "hindsight" not in BEHAVIOURS
    assert set(PROPORTIONAL) < set(OFF_POLICY) < set(OBJECTIVES)


def test_a_folder_is_searched_again_when_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two classes of one name are refused; a module of a new folder is found."""
    import gflow.objectives

    text = (
        "from gflow.objectives.vargrad import LogPartitionVariance\n"
        "class Own(LogPartitionVariance):\n    name = {!r}\n"
    )
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "own_a.py").write_text(text.format("own"))
    found: Discovered[Objective] = Discovered("gflow.objectives", Objective, "objective")
    before = set(found)
    path = [*gflow.objectives.__path__]
    monkeypatch.setattr(gflow.objectives, "__path__", [*path, str(tmp_path / "one")])
    assert set(found) == before | {"own"}
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "own_b.py").write_text(text.format("tb"))
    both = [*path, str(tmp_path / "one"), str(tmp_path / "two")]
    monkeypatch.setattr(gflow.objectives, "__path__", both)
    with pytest.raises(ConfigError, match="Two classes are called the objective 'tb'"):
        list(found)
    for name in ("own_a", "own_b"):
        sys.modules.pop(f"gflow.objectives.{name}", None)


class Outer:
    """One that passes on.

    Args:
        scale: Of this one.
        settings: Those of the inner.
    """

    def __init__(self, scale: float = 2.0, **settings: object) -> None:
        pass


class Inner:
    """One that is passed to.

    Args:
        scale: Of that one.
        shift: Of that one alone.
    """

    def __init__(self, scale: float = 1.0, shift: float = 0.0, other: object = None) -> None:
        pass


class Both(Outer, Inner):
    """Neither."""


def test_the_first_default_of_a_chain_counts() -> None:
    found = {option.name: (option.default, option.help) for option in options_of(Both)}
    assert found == {"scale": (2.0, "Of this one."), "shift": (0.0, "Of that one alone.")}

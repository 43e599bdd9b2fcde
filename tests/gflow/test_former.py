"""Former names lead to the modules and methods of today."""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec

import pytest
import torch

import gflow
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.exact import TabularPolicy, enumerate_states
from gflow.former import FORMER, FORMER_NAMES, FormerNames, install


@pytest.mark.parametrize("name", ["gflow.envs.dag_data", "gflow.rollout", "gflow.envs.graph_draw"])
def test_a_former_name_is_the_module_of_today_and_warns(name: str) -> None:
    home = import_module(FORMER[name])
    spec = home.__spec__
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match=f"{name} is {FORMER[name]} now"):
        found = import_module(name)
    assert found is home
    assert home.__spec__ is spec
    assert import_module(name) is home  # and warns once


def test_every_home_exists_and_no_former_name_does() -> None:
    for name, home in FORMER.items():
        assert find_spec(home) is not None
        parent = import_module(name.rpartition(".")[0])
        assert PathFinder.find_spec(name, parent.__path__) is None, f"{name} is a module again"


def test_other_names_are_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("gflow.envs.no_such_module")
    install()
    assert sum(isinstance(finder, FormerNames) for finder in sys.meta_path) == 1


def test_a_former_method_does_what_it_did_and_warns() -> None:
    graph = enumerate_states(HyperGrid(2, 3))
    policy = TabularPolicy.solved(graph, graph.exact_flows())
    with pytest.warns(DeprecationWarning, match="terminal_law is terminal_distribution now"):
        found = graph.terminal_law(policy)
    torch.testing.assert_close(found, graph.log_target())


@pytest.mark.parametrize("name", FORMER_NAMES)
def test_names_that_left_the_top_level_lead_to_their_rooms(name: str) -> None:
    room = FORMER_NAMES[name]
    with pytest.warns(DeprecationWarning, match=f"gflow.{name} is {room}.{name} now"):
        found = getattr(gflow, name)
    assert found is getattr(import_module(room), name)
    assert name not in dir(gflow)


def test_what_never_was_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'gflow' has no attribute 'Nonsense'"):
        gflow.Nonsense  # noqa: B018


@pytest.mark.parametrize(
    "room",
    ["behaviours", "conditions", "environment", "exact", "memory", "policies", "rewards",
     "sampling", "training"],
)  # fmt: skip
def test_rooms_export_what_they_list(room: str) -> None:
    package = import_module(f"gflow.{room}")
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is getattr(import_module(package._HOME[name]), name)

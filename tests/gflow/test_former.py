"""Former names lead to the modules and methods of today."""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec

import pytest
import torch

from gflow.envs.grids.hypergrid import HyperGrid
from gflow.exact import TabularPolicy, enumerate_states
from gflow.former import FORMER, FormerNames, install


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

"""`all_states` lists what can be reached, each state in the place of its key, and nothing else."""

from typing import Any

import pytest
import torch

from gflow import DiscreteEnvironment
from gflow.envs.graphs.small_graphs import SmallGraphs
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.pairs.composition import Product, Stack
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
from gflow.envs.sets.bags import Bags
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.rewards.base import FunctionReward
from gflow.state import take

FLAT: FunctionReward[Any] = FunctionReward(lambda states: torch.zeros(len(states)))
ALLOWED = torch.tensor([[True, True, False], [False, True, True], [True, False, False]])
SETS = FixedSizeSets(5, 3, AdditiveEnergy(torch.arange(5.0)))
ENVS: dict[str, DiscreteEnvironment[Any]] = {
    "any-order": AnyOrder("abc", 3, FLAT),
    "any-order-allowed": AnyOrder("abc", 3, FLAT, ALLOWED),
    "autoregressive": Autoregressive("abc", 3, FLAT),
    "autoregressive-allowed": Autoregressive("abc", 3, FLAT, ALLOWED),
    "bags": Bags(3, 4),
    "grid": HyperGrid(2, 4),
    "grid-forced": HyperGrid(2, 4, ending="forced"),
    "prepend": PrependAppend("ab", 4, FLAT),
    "product": Product(HyperGrid(1, 3), SETS),
    "sets": SETS,
    "sets-full": FixedSizeSets(4, 4, AdditiveEnergy(torch.arange(4.0))),
    "small-graphs": SmallGraphs(4),
    "spins": EnergyModel(IsingReward(2, 2)),
    "stack": Stack(SETS, HyperGrid(1, 3)),
    "variable-length": VariableLength("abc", 3, FLAT),
}


def reached(env: DiscreteEnvironment[Any]) -> dict[int, str]:
    """Keys and names of what can be built, step by step from the source."""
    layer = env.initial(1)
    known: dict[int, str] = {}
    while True:
        keys, names = env.key(layer).tolist(), env.show(layer)
        fresh = [row for row, key in enumerate(keys) if key not in known]
        fresh = list({keys[row]: row for row in fresh}.values())
        known |= {keys[row]: names[row] for row in fresh}
        if not fresh:
            return known
        states = take(layer, torch.tensor(fresh))
        mask = env.forward_mask(states).clone() & ~env.is_terminal(states)[:, None]
        if env.stop_action is not None:
            mask[:, env.stop_action] = False
        rows, actions = mask.nonzero(as_tuple=True)
        if not len(rows):
            return known
        layer = env.step(take(states, rows), actions)


@pytest.mark.parametrize("name", ENVS)
def test_listed_states_are_those_that_can_be_reached(name: str) -> None:
    env = ENVS[name]
    listed, known = env.all_states(), reached(env)
    assert listed is not None
    assert env.num_keys is not None
    assert len(known) > 4
    names, keys = env.show(listed), env.key(listed).tolist()
    assert len(names) == env.num_keys
    for place, (key, shown) in enumerate(zip(keys, names, strict=True)):
        if place in known:
            assert (key, shown) == (place, known[place])
        else:  # never built: the source, or that of one side of a pair, stands in its place
            assert shown in known.values()

"""The script that turns samplers of outcomes to rewards counts what it promises."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.outcomes import OutcomeConditioned, OutcomeFlows, OutcomePolicy

FILE = Path(__file__).parents[1] / "benchmarks" / "outcomes.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("outcomes_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_modes_are_the_best_of_all(script: Any) -> None:
    """Of 8-mers one in two hundred; of bit strings those that are planted."""
    made = script.contest("tfbind", 3)
    index = torch.arange(4**8)
    every = index[:, None] // 4 ** torch.arange(7, -1, -1) % 4
    found = made.modes(every)
    assert len(set(found)) == len(found) == 328
    best = torch.isin(made.env.key(every), torch.tensor(found))
    value = made.env.reward(every)
    assert value[best].min() > value[~best].max()
    bits = script.contest("bits", 0)
    planted = bits.env.reward.modes
    words = (planted.unflatten(1, (-1, 4)) * torch.tensor([8, 4, 2, 1])).sum(-1)
    assert set(bits.modes(words)) == set(range(len(planted)))


@pytest.mark.parametrize("method", ["scratch", "amortised", "converted", "metropolis"])
def test_every_method_gives_a_batch_a_step_and_rewards_are_counted(
    script: Any, method: str
) -> None:
    torch.set_default_dtype(torch.float32)  # as the script is run
    told = OutcomeConditioned(script.contest("bits", 0).env)
    flows = OutcomeFlows(OutcomePolicy(told, 8, 1, "uniform", log_flow=1), told)
    run = script.run_modes("bits", 0, method, 0, 10, flows, None)
    assert len(run["curve"]) == 1
    assert run["calls"] >= script.BATCH
    assert run["calls"] <= script.BATCH * 10 * 11 * 17

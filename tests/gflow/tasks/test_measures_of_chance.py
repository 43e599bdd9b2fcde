"""What an evaluation measures where chance moves: against the solution of the objective at hand."""

from typing import Any

import pytest
import torch

from gflow import TabularPolicy, enumerate_states, fit
from gflow.exact.graph import ExactFlows
from gflow.metrics import total_variation
from gflow.testing.slipping import SlippingGrid

pytestmark = pytest.mark.usefixtures("sketches")

ICE = SlippingGrid(2, 3, slip=0.2)
GRAPH = enumerate_states(ICE)
BOUNDS = {"elbo", "log_z_importance", "ess"}


def measured(objective: str, flows: ExactFlows | None = None, **settings: Any) -> dict[str, float]:
    policy = TabularPolicy(GRAPH) if flows is None else TabularPolicy.solved(GRAPH, flows)
    options: dict[str, Any] = {"steps": 1, "lr": 1e-9, "batch_size": 4, "eval_samples": 400}
    trained = fit(ICE, objective, policy=policy, **options, **settings)
    trained.context.graph = GRAPH
    return trained.metrics


def test_expected_flows_are_measured_against_their_own_distribution() -> None:
    flows = GRAPH.expected_flows()
    numbers = measured("edb", flows)
    assert numbers["tv"] < 1e-6
    assert numbers["log_z_error"] < 1e-6
    assert not BOUNDS & set(numbers), "its log Z is no sum of rewards"
    own = GRAPH.terminal_log_prob(flows.log_pf, flows.log_stop)
    off = measured("edb")
    learned = GRAPH.terminal_distribution(TabularPolicy(GRAPH))
    assert off["tv"] == pytest.approx(float(total_variation(learned, own)), abs=1e-6)
    assert abs(off["tv"] - float(total_variation(learned, GRAPH.log_target()))) > 0.05


def test_the_others_are_measured_against_the_reward_with_bounds_of_what_happened() -> None:
    numbers = measured("tb")
    learned = GRAPH.terminal_distribution(TabularPolicy(GRAPH))
    wanted = float(total_variation(learned, GRAPH.log_target()))
    assert numbers["tv"] == pytest.approx(wanted, abs=1e-6)
    assert set(numbers) >= BOUNDS
    log_z = float(GRAPH.log_reward().logsumexp(0))
    assert numbers["elbo"] < log_z
    assert numbers["log_z_importance"] == pytest.approx(log_z, abs=0.3)
    torch.manual_seed(0)
    learned_kernel = measured("sgfn", kernel="learned")
    assert learned_kernel["log_z_importance"] == pytest.approx(log_z, abs=0.3)

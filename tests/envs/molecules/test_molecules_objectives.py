"""Every objective vanishes on the exact flows of enumerable molecules, symmetric ports included."""

import pytest
import torch

from gflow import Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.envs.molecules import Molecules, Vocabulary
from gflow.objectives import PROPORTIONAL, TrajectoryBalance

PIECES = ["*C", "*O*", "*c1ccc(*)cc1", "*c1cc(*)cc(*)c1"]
ENV = Molecules(Vocabulary.from_fragments(PIECES), "qed", beta=4.0, max_fragments=5)
GRAPH = enumerate_states(ENV)


@pytest.mark.parametrize("name", [n for n, cls in PROPORTIONAL.items() if cls.refusal(ENV) is None])
def test_objectives_vanish_on_the_exact_flows(name: str) -> None:
    objective = PROPORTIONAL[name].build(ENV)
    flows = GRAPH.exact_flows()
    if isinstance(objective, TrajectoryBalance):
        objective = TrajectoryBalance(log_z=flows.log_z)
    policy = TabularPolicy.solved(GRAPH, flows, objective.needs.edge_flow, objective.needs.energy)
    sampler, generator = Sampler(ENV), torch.Generator().manual_seed(0)
    forward = sampler.forward(policy, 64, generator=generator)
    backward = sampler.backward(policy, forward.final_states, generator=generator)
    for batch in (forward, backward):
        residual = objective.residual(evaluate(ENV, policy, batch, objective.needs))
        torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-10, rtol=0)
    with torch.no_grad():
        policy.forward_table[0] *= 1.1
    spoilt = objective.residual(evaluate(ENV, policy, forward, objective.needs))
    assert float(spoilt.detach().abs().max()) > 1e-2


def test_sampled_molecules_have_the_exact_law() -> None:
    """Chi-square of 4000 samples against R / Z over molecules, at level 0.001."""
    flows = GRAPH.exact_flows()
    policy = TabularPolicy.solved(GRAPH, flows)
    batch = Sampler(ENV).forward(policy, 4000, generator=torch.Generator().manual_seed(1))
    rows = torch.searchsorted(GRAPH.objects, GRAPH.rows(batch.final_states))
    seen = torch.bincount(rows, minlength=len(GRAPH.objects)).double()
    expected = 4000 * GRAPH.log_target().exp()
    statistic = ((seen - expected) ** 2 / expected).sum()
    assert len(expected) == 15
    assert float(statistic) < 36.12  # 0.999 quantile of chi-square with 14 degrees of freedom

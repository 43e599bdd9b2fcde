"""Which objectives learn from parts of trajectories, and that what they balance there is right."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, Sampler, TabularPolicy, Trajectories, enumerate_states, with_backward
from gflow.behaviours.base import Behaviour, Sampling
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.sequences.env import Autoregressive
from gflow.envs.sequences.rewards import TableReward
from gflow.errors import IncompatibleError
from gflow.metrics import total_variation
from gflow.objective import Objective
from gflow.objectives import GAMES, OBJECTIVES, SubTrajectoryBalance
from gflow.source import Source
from gflow.state import take
from gflow.training.trainer import TrainConfig, Trainer

GRID = HyperGrid(2, 4, Corners(4))
CHANCE = ("sgfn", "naive_intended", "naive_realised")
FREE = ("db", "subtb", "fm", "mdb", "fldb", "flsubtb", *CHANCE)
OWN_FLOWS = ("edb",)  # tested where its solution is
MARGINALS = ("marginal_consistency", "marginal_divergence", "marginal_matching")  # likewise
ORDERED = ("opdb", "opfm", "opsubtb", "opflsubtb")
CONTINUOUS = ("kl", "adjoint")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_transition(graph: Any) -> Trajectories[Any]:
    """All edges of a graph one by one, and all stops."""
    env, states = graph.env, graph.states
    before, actions, after = graph.parent, graph.action, graph.child
    if env.stop_action is not None:
        stops = env.forward_mask(states)[:, env.stop_action].nonzero().squeeze(1)
        before, after = torch.cat([before, stops]), torch.cat([after, stops])
        actions = torch.cat([actions, torch.full_like(stops, env.stop_action)])
    return Trajectories.transitions(env, take(states, before), actions, take(states, after))


def some_parts(graph: Any, count: int = 60) -> Trajectories[Any]:
    """Parts of all lengths of trajectories of a random policy."""
    torch.manual_seed(0)
    batch = Sampler(graph.env).forward(MLPPolicy(graph.env, 8), count, generator=seeded(1))
    begin = (torch.rand(count, generator=seeded(2)) * batch.length).long()
    end = begin + 1 + (torch.rand(count, generator=seeded(3)) * (batch.length - begin)).long()
    return batch.part(begin, end)


def solved(graph: Any, objective: Objective) -> TabularPolicy:
    flows = graph.exact_flows(graph.uniform_log_pb())
    needs = objective.needs
    return TabularPolicy.solved(graph, flows, needs.edge_flow, needs.energy)


GRAPHS = {
    "stops": enumerate_states(GRID),
    "forced": enumerate_states(
        Autoregressive("ab", 3, TableReward(torch.randn(8, generator=seeded(5)), 2, 3))
    ),
}


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("place", GRAPHS)
def test_exact_flows_balance_everywhere_and_wrong_ones_do_not(name: str, place: str) -> None:
    graph = GRAPHS[place]
    objective = OBJECTIVES[name].build(graph.env)
    if objective.refusal(graph.env) is not None:
        assert place == "forced"
        assert name in ("mdb", "fldb", "flsubtb")
        return
    policy = solved(graph, objective)
    for batch in (every_transition(graph), some_parts(graph)):
        assert batch.from_source is not None
        assert batch.complete is not None
        assert 0 < int(batch.from_source.sum()) < len(batch)
        assert 0 < int(batch.complete.sum()) < len(batch)
        terms = objective.evaluate(graph.env, policy, batch)
        assert float(objective.residual(terms).detach().abs().max()) < 1e-9
        torch.testing.assert_close(objective.weight(terms).sum().item(), 1.0)
    # What is wrong at one state shows at the transitions into and out of it, and at no others.
    row = int((graph.depth == 2).nonzero()[0])
    with torch.no_grad():
        policy.flow_table[row] += 0.3
        policy.forward_table[row, 0] += 0.3
    batch = every_transition(graph)
    terms = objective.evaluate(graph.env, policy, batch)
    wrong = objective.residual(terms).detach().abs().amax(-1) > 1e-3
    key = graph.env.key(take(graph.states, torch.tensor([row])))
    there = graph.env.key(batch.states) == key
    touched = there[batch.state_index].any(-1)
    assert bool(wrong.any())
    if name != "fm":  # whose residual at a state is about all edges into it
        assert not bool(wrong[~touched].any())


@pytest.mark.parametrize("weighting", ["geometric_within", "pooled", "equal", "db", "tb"])
def test_every_weighting_of_sub_trajectories_balances_parts(weighting: Any) -> None:
    graph = GRAPHS["stops"]
    objective = SubTrajectoryBalance(weighting=weighting)
    policy = solved(graph, objective)
    terms = objective.evaluate(graph.env, policy, some_parts(graph))
    assert float(objective(terms).detach()) < 1e-18
    with torch.no_grad():
        policy.flow_table.add_(torch.randn(len(graph), generator=seeded(9)))
    terms = objective.evaluate(graph.env, policy, some_parts(graph))
    assert float(objective(terms).detach()) > 1e-2


def test_each_objective_says_what_it_needs() -> None:
    begins = {name for name, kind in OBJECTIVES.items() if not kind.needs.from_source}
    ends = {name for name, kind in OBJECTIVES.items() if not kind.needs.whole}
    assert begins - set(GAMES) == {*FREE, *OWN_FLOWS, *ORDERED, *MARGINALS}
    assert ends - set(GAMES) == {*FREE, *OWN_FLOWS, *MARGINALS, "led", "msubtb"}
    assert set(GAMES) - begins == set(GAMES) - ends == {"atb"}


ELSEWHERE = {*FREE, *OWN_FLOWS, *ORDERED, *CONTINUOUS, *MARGINALS, *GAMES}


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES) - ELSEWHERE))
def test_sums_over_whole_trajectories_refuse_parts(name: str) -> None:
    graph = GRAPHS["stops"]
    objective = OBJECTIVES[name].build(GRID)
    policy = MLPPolicy(GRID, 8, log_flow=True)
    batch = Sampler(GRID).forward(policy, 8, generator=seeded())
    late = batch.part((batch.length - 1).clamp(max=1), batch.length)  # to the end
    terms = objective.evaluate(GRID, policy, late)
    with pytest.raises(
        IncompatibleError,
        match=rf"{type(objective).__name__} needs trajectories that begin at the source, where "
        r".*Use DetailedBalance, SubTrajectoryBalance or FlowMatching",
    ):
        objective(terms)
    if objective.needs.whole:
        with pytest.raises(IncompatibleError, match="needs whole trajectories"):
            objective(objective.evaluate(GRID, policy, every_transition(graph)))


@pytest.mark.parametrize("name", ORDERED)
def test_the_order_is_read_at_the_end_wherever_a_part_begins(name: str) -> None:
    """Scores of objects and the last transitions are the same for late parts."""
    objective = OBJECTIVES[name].build(GRID)
    torch.manual_seed(0)
    policy = MLPPolicy(GRID, 8, log_flow=True)
    batch = Sampler(GRID).forward(policy, 16, generator=seeded())
    late = batch.part(batch.length - 1, batch.length)
    whole, part = (objective.evaluate(GRID, policy, b) for b in (batch, late))
    assert bool(objective(part).detach().isfinite())
    if name in ("opdb", "opfm"):
        implied = [objective.implied_log_reward(terms) for terms in (whole, part)]
        torch.testing.assert_close(implied[0], implied[1])


@pytest.mark.parametrize("kind", ["pessimistic", "tlm"])
def test_fits_of_the_backward_policy_wait_for_what_is_whole(kind: str) -> None:
    """No mean over nothing: it would turn all weights to NaN."""
    batch = Sampler(GRID).forward(MLPPolicy(GRID, 8), 20, generator=seeded())
    batch = batch.select((batch.length > 1).nonzero().squeeze(1))
    zero = torch.zeros_like(batch.length)
    cut = batch.part(zero, zero + 1)
    assert len(cut.whole) == 0
    flat = MLPPolicy(GRID, 8, backward="uniform", log_flow=True)
    policy, learners = with_backward(kind, GRID, flat)
    for part, moves in ((cut, False), (batch, True)):
        before = [p.clone() for p in learners[0].module.parameters()]
        learners[0].learn(GRID, policy, part, seeded())
        after = list(learners[0].module.parameters())
        assert all(bool(p.isfinite().all()) for p in after)
        assert moves == any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


class Uniform(Behaviour):
    """Single transitions drawn evenly from all that there are, whoever made them."""

    name = "uniform_transitions"
    gives = Source.OTHER

    def __init__(self, graph: Any) -> None:
        self.all = every_transition(graph)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        return self.all.select(torch.randint(len(self.all), (count,), generator=sampling.generator))


def distance(name: str, steps: int) -> float:
    graph = GRAPHS["stops"]
    torch.manual_seed(0)
    policy = MLPPolicy(GRID, 64, log_flow=True)
    seen: list[Tensor] = []
    trainer = Trainer(
        GRID,
        policy,
        OBJECTIVES[name].build(GRID),
        TrainConfig(batch_size=64, lr=3e-3, lr_half_life=400),
        behaviour=Uniform(graph),
        callbacks=[lambda trainer, batch, record: seen.append(batch.length)],
    )
    record = trainer.train(steps)
    assert len(seen) == steps
    flows = graph.exact_flows(graph.uniform_log_pb())
    assert abs(record["log_z"] - float(flows.log_flow[0])) < 0.2
    return float(total_variation(graph.terminal_distribution(policy), graph.log_target()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["db", "fm", "mdb"])
def test_single_transitions_are_enough_to_learn_from(name: str) -> None:
    """No trajectory is ever sampled; the exact distance to the target becomes small."""
    assert distance(name, 1500) < 0.03

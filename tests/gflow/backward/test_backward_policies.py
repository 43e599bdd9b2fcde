"""Backward policies with a network of their own: normalised, fitted as promised, resumed."""

import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    MLPPolicy,
    Policy,
    Sampler,
    TabularPolicy,
    enumerate_states,
    evaluate,
)
from gflow.backward.choice import (
    BACKWARD_POLICIES,
    own_backward,
    with_backward,
)
from gflow.backward.count import CountRegression, TrajectoryCount
from gflow.backward.fits import LikelihoodBackward, PessimisticBackward
from gflow.conditions.draws import UniformCondition
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.evaluation.evaluate import log_pb
from gflow.exact.graph import StateGraph
from gflow.objectives import OBJECTIVES, OFF_POLICY, DetailedBalance, TrajectoryBalance
from gflow.policies.split import SplitPolicy
from gflow.rewards.wrappers import TemperatureConditional
from gflow.testing import TableEnvironment, all_trajectories
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

# Ways of different length, two actions to one child, an end by force and one by stopping.
ROWS = [[1, 2, 1], [3, 2], [3, 4, 4], [5], [5], []]
REWARD = [0.3, -0.4, 0.9, -1.1, 0.2, 0.7]
STOPS = [False, True, False, True, False, False]
MERGED = TableEnvironment(ROWS, REWARD, stops=STOPS)
FORK = TableEnvironment(ROWS, REWARD, stops=STOPS, merge_parents=False)
GRID = HyperGrid(2, 3, Corners(3, 0.05))
TASKS = {"merged": MERGED, "fork": FORK, "grid": GRID}
KINDS = tuple(BACKWARD_POLICIES)
SECOND_NETWORK = tuple(k for k in KINDS if BACKWARD_POLICIES[k].network != "none")
DRAWN = (*(kind for kind in KINDS if kind not in ("uniform", "maxent")),)


def scatter(module: Any, seed: int = 0, scale: float = 1.0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale, generator=generator)
    return module


def network(graph: StateGraph[Any], kind: str, seed: int = 3) -> Policy:
    """A table that serves as the second network of any kind, at random."""
    own = "uniform" if kind == "learned_maxent" else "learned"
    return scatter(TabularPolicy(graph, own), seed)  # type: ignore[arg-type, no-any-return]


def taken(kind: str, **settings: Any) -> dict[str, Any]:
    """Those of some settings that a backward policy has."""
    known = inspect.signature(BACKWARD_POLICIES[kind]).parameters
    return {name: value for name, value in settings.items() if name in known}


def tabular(graph: StateGraph[Any], kind: Any, seed: int = 0) -> tuple[Policy, list[Any]]:
    policy = scatter(TabularPolicy(graph, own_backward(kind)), seed, 0.5)
    return with_backward(
        kind, graph.env, policy, network(graph, kind), **taken(kind, start="random")
    )


def total_over_parents(graph: StateGraph[Any], log_prob: Tensor) -> Tensor:
    """(N - 1,) sums of P_B over the distinct parents of every state but the source."""
    pairs = torch.stack([graph.child, graph.parent])
    _, first = torch.unique(pairs, dim=1, return_inverse=True)
    once = torch.zeros(int(first.max()) + 1, dtype=torch.float64)
    once = once.scatter_reduce(0, first, log_prob.exp(), "amax")
    child = torch.zeros(len(once), dtype=torch.int64).scatter(0, first, graph.child)
    return torch.zeros(len(graph), dtype=torch.float64).index_add(0, child, once)[1:]


@pytest.mark.parametrize("env", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_sums_to_one_over_the_distinct_parents(env: DiscreteEnvironment[Any], kind: str) -> None:
    """A peer's pessimistic grid normalises over illegal parents too."""
    graph = enumerate_states(env)
    policy, _ = tabular(graph, kind)
    total = total_over_parents(graph, graph.log_pb(policy))
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("plan", ["ragged", "static"])
@pytest.mark.parametrize("env", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("kind", DRAWN)
def test_what_is_drawn_backward_has_the_probability_that_is_evaluated(
    env: DiscreteEnvironment[Any], kind: str, plan: Any
) -> None:
    """Frequencies of parents against log P_B, every state visited, 5 standard errors."""
    graph = enumerate_states(env)
    policy, _ = tabular(graph, kind)
    count = 2000
    objects = graph.states[graph.objects].repeat_interleave(count, 0)
    generator = torch.Generator().manual_seed(1)
    batch = Sampler(env, plan).backward(policy, objects, generator=generator)
    values = evaluate(env, policy, batch).log_pb.detach()
    torch.testing.assert_close(values, log_pb(env, policy, batch).detach())
    rows = graph.rows(batch.states)[batch.state_index]
    moves = batch.mask & ~(
        batch.stopped[:, None] & (torch.arange(batch.mask.shape[1]) == batch.length[:, None] - 1)
    )
    child, parent, value = rows[:, 1:][moves], rows[:, :-1][moves], values[moves]
    seen = 0
    for c in child.unique().tolist():
        here = child == c
        for p in parent[here].unique().tolist():
            share = float((parent[here] == p).double().mean())
            wanted = value[here & (parent == p)].exp()
            assert float(wanted.max() - wanted.min()) < 1e-12
            error = 5 * math.sqrt(0.25 / int(here.sum()))
            assert abs(share - float(wanted[0])) < error
            seen += 1
    assert seen >= len(graph) - 1


@pytest.mark.parametrize("kind", ["learned", "separate", "pessimistic", "tlm"])
def test_a_zeroed_head_starts_uniform(kind: Any) -> None:
    graph = enumerate_states(GRID)
    policy = MLPPolicy(GRID, 8, backward=own_backward(kind))
    start: dict[str, Any] = {} if kind in ("pessimistic", "tlm") else {"start": "uniform"}
    found, _ = with_backward(kind, GRID, policy, **start)
    torch.testing.assert_close(graph.log_pb(found), graph.uniform_log_pb())
    policy = MLPPolicy(GRID, 8, backward=own_backward(kind))
    found, _ = with_backward(kind, GRID, policy, start="random")
    assert (graph.log_pb(found) - graph.uniform_log_pb()).abs().max() > 1e-3


# ---------------------------------------------------------------------- numbers of trajectories


def entropy(graph: StateGraph[Any], log_prob: Tensor) -> float:
    """Entropy of the trajectories that sample the target, by the law of each object backward."""
    flows = graph.exact_flows(log_prob)
    reach = torch.full((len(graph),), -torch.inf, dtype=torch.float64)
    reach[0] = 0
    reach = graph.summed_over_paths(reach, flows.log_pf)
    edges = -(reach[graph.parent] + flows.log_pf).exp() * flows.log_pf
    stop = (reach + flows.log_stop).exp()
    ends = stop[graph.objects] * flows.log_stop[graph.objects]
    return float(edges.sum() - ends.sum())


@pytest.mark.parametrize("env", TASKS.values(), ids=TASKS)
def test_counts_that_are_exact_give_the_maximum_entropy_policy(
    env: DiscreteEnvironment[Any],
) -> None:
    """B-7: residual zero, n(s) / n(s'), and no backward policy with more entropy."""
    graph = enumerate_states(env)
    table = network(graph, "learned_maxent")
    with torch.no_grad():
        table.flow_table.copy_(graph.log_num_trajectories())  # type: ignore[operator]
        table.flow_table[0] = 7.0  # type: ignore[operator]  # pinned: not read
    count = TrajectoryCount(table)
    residual = CountRegression(count).residual(env, graph.states)
    torch.testing.assert_close(residual, torch.zeros_like(residual))
    policy = SplitPolicy(TabularPolicy(graph, "uniform"), count, detached=True)
    found = graph.log_pb(policy)
    torch.testing.assert_close(found, graph.max_entropy_log_pb())
    batch = all_trajectories(env)
    total = log_pb(env, policy, batch).sum(-1)
    last = graph.rows(batch.final_states)
    for row in last.unique().tolist():
        same = total[last == row]
        assert float(same.max() - same.min()) < 1e-10
    most = entropy(graph, found)
    others = [graph.uniform_log_pb()]
    others += [graph.log_pb(tabular(graph, "separate", seed)[0]) for seed in range(3)]
    others.append(graph.log_pb(SplitPolicy(policy.ahead, network(graph, "tlm", 9))))
    for other in others:
        assert entropy(graph, other) < most - 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "env", [MERGED, pytest.param(GRID, marks=pytest.mark.slow)], ids=["merged", "grid"]
)
def test_counts_are_learned_from_what_is_visited(env: DiscreteEnvironment[Any]) -> None:
    graph = enumerate_states(env)
    count = TrajectoryCount(network(graph, "learned_maxent"))
    fit = CountRegression(count, lr=0.05, decay=0.985, steps=5)
    flat = TabularPolicy(graph, "uniform")
    generator = torch.Generator().manual_seed(0)
    for _ in range(160):
        batch = Sampler(env).forward(flat, 16, generator=generator)
        record = fit.learn(env, flat, batch, generator)
    assert record["backward_loss"] < 1e-4
    policy = SplitPolicy(flat, count, detached=True)
    wanted = graph.max_entropy_log_pb()
    torch.testing.assert_close(graph.log_pb(policy), wanted, atol=0.02, rtol=0)
    assert (graph.uniform_log_pb() - wanted).abs().max() > 0.1, "it had something to learn"


# ---------------------------------------------------------------------- fits by likelihood


def frequencies(graph: StateGraph[Any], batch: Any) -> Tensor:
    """(E,) how often each parent preceded its child, among all visits of the child."""
    rows = graph.rows(batch.states)[batch.state_index]
    pairs = torch.zeros(len(graph), len(graph), dtype=torch.float64)
    for k, n in enumerate(batch.length.tolist()):
        for t in range(n - int(batch.stopped[k])):
            pairs[rows[k, t], rows[k, t + 1]] += 1
    share = pairs / pairs.sum(0).clamp(min=1)
    return share[graph.parent, graph.child]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pessimistic", "tlm"])
@pytest.mark.parametrize(
    "env",
    [
        MERGED,
        pytest.param(FORK, marks=pytest.mark.slow),
        pytest.param(GRID, marks=pytest.mark.slow),
    ],
    ids=TASKS,
)
def test_likelihood_converges_to_the_frequencies_seen(
    env: DiscreteEnvironment[Any], kind: str
) -> None:
    """B-10: a table's optimum in closed form; the target of tlm follows."""
    graph = enumerate_states(env)
    policy = scatter(TabularPolicy(graph, "uniform"), 5)
    batch = Sampler(env).forward(policy, 64, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {"lr": 0.05, "decay": 0.995, "start": "random"}
    split, learners = with_backward(kind, env, policy, network(graph, kind), **options)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100 if kind == "pessimistic" else 800):
        learners[0].learn(env, split, batch, generator)
    wanted = frequencies(graph, batch)
    seen = wanted > 0
    assert (wanted < 1).logical_and(seen).sum() >= 2, "there were choices"
    found = graph.log_pb(split).exp()
    torch.testing.assert_close(found[seen], wanted[seen], atol=0.02, rtol=0)


def test_the_pessimistic_fit_takes_its_steps_on_the_latest_batches() -> None:
    graph = enumerate_states(GRID)
    net = network(graph, "pessimistic")
    fit = PessimisticBackward(GRID, net, batches=3, steps=5, decay=0.5, lr=0.08)
    flat = TabularPolicy(graph, "uniform")
    generator = torch.Generator().manual_seed(0)
    batches = [Sampler(GRID).forward(flat, 2, generator=generator) for _ in range(5)]
    for batch in batches:
        fit.learn(GRID, flat, batch, generator)
    assert [id(b) for b in fit.memory.batches] == [id(b) for b in batches[-3:]]
    assert {int(s["step"]) for s in fit.optimizer.state.values() if s} == {25}
    torch.testing.assert_close(fit.optimizer.param_groups[0]["lr"], 0.08 * 0.5**5)


@pytest.mark.parametrize("tau", [0.25, 0.6, 0.0])
def test_the_target_is_the_average_of_what_was_fitted(tau: float) -> None:
    """B-11; with tau = 0 it stays where it was."""
    graph = enumerate_states(GRID)
    policy, flat = network(graph, "tlm"), TabularPolicy(graph, "uniform")
    start = policy.backward_table.detach().clone()  # type: ignore[operator]
    fit = LikelihoodBackward(policy, lr=0.1, tau=tau)
    assert fit.target is policy
    generator = torch.Generator().manual_seed(0)
    fitted = []
    for _ in range(6):
        fit.learn(GRID, flat, Sampler(GRID).forward(flat, 8, generator=generator), generator)
        fitted.append(fit.network.backward_table.detach().clone())
    wanted = (1 - tau) ** 6 * start
    for j, value in enumerate(fitted):
        wanted = wanted + tau * (1 - tau) ** (5 - j) * value
    torch.testing.assert_close(policy.backward_table.detach(), wanted)
    assert (fitted[-1] - start).abs().max() > 0.1
    if tau == 0:
        assert torch.equal(policy.backward_table, start)


# ---------------------------------------------------------------------- with objectives


@pytest.mark.parametrize("name", sorted(OFF_POLICY))
@pytest.mark.parametrize("kind", SECOND_NETWORK)
def test_objectives_send_gradients_where_they_may(kind: str, name: str) -> None:
    """B-10, B-15: into the second network only if it is trained by the objective."""
    objective = OBJECTIVES[name].build(GRID)
    policy = MLPPolicy(GRID, 8, backward="uniform", log_flow=True)
    split, learners = with_backward(kind, GRID, policy)
    assert isinstance(split, SplitPolicy)
    trainer = Trainer(GRID, split, objective, TrainConfig(), learners=learners)
    batch = trainer.sample()
    objective(objective.evaluate(GRID, split, batch)).backward()
    reached = [p.grad is not None for p in split.back.parameters()]
    reads = name not in ("fm", "opfm", "rtb")
    assert any(reached) == (kind == "separate" and reads)
    assert any(p.grad is not None for p in split.ahead.parameters())
    optimised = {id(p) for g in trainer.optimizer.param_groups for p in g["params"]}
    assert all((id(p) in optimised) == (kind == "separate") for p in split.back.parameters())
    if kind == "tlm":
        assert not any(p.requires_grad for p in split.back.parameters())


def settle(
    env: DiscreteEnvironment[Any], parameters: list[Any], policy: Policy, objective: Any
) -> float:
    """Minimise over all trajectories by L-BFGS; the loss reached."""
    batch = all_trajectories(env)
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=600,
        tolerance_grad=1e-8,
        tolerance_change=1e-15,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = objective(objective.evaluate(env, policy, batch))
        loss.backward()
        return loss

    optimizer.step(closure)
    return closure().item()


VALID = [
    pytest.param(name, env, id=f"{name}-{task}")
    for name in ("db", "mdb", "subtb", "tb", "vargrad")
    for task, env in TASKS.items()
    if OBJECTIVES[name].refusal(env) is None
]


@pytest.mark.parametrize(("name", "env"), VALID)
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_samples_in_proportion_to_the_reward(
    name: str, kind: str, env: DiscreteEnvironment[Any]
) -> None:
    """And is the exact flow of the backward policy at hand."""
    graph = enumerate_states(env)
    policy, learners = tabular(graph, kind)
    for learner in learners:  # a fit that has begun, and stands still from here on
        batch = Sampler(env).forward(policy, 16, generator=torch.Generator().manual_seed(0))
        learner.learn(env, policy, batch, torch.Generator().manual_seed(0))
    held = {id(p) for learner in learners for p in learner.module.parameters()}
    objective = OBJECTIVES[name].build(env)
    parameters = [*policy.parameters(), *objective.parameters()]
    parameters = [p for p in parameters if id(p) not in held]
    before = (graph.terminal_distribution(policy).exp() - graph.log_target().exp()).abs().sum() / 2
    assert before > 0.02
    assert settle(env, parameters, policy, objective) < 1e-8
    after = (graph.terminal_distribution(policy).exp() - graph.log_target().exp()).abs().sum() / 2
    assert after < 1e-4
    if name in ("tb", "db") and env is not FORK:
        flows = graph.exact_flows(graph.log_pb(policy))
        found, _ = graph.log_pf(policy)
        torch.testing.assert_close(found, flows.log_pf, atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["tlm", *(pytest.param(k, marks=pytest.mark.slow) for k in SECOND_NETWORK if k != "tlm")],
)
def test_training_approaches_the_target(kind: str) -> None:
    torch.manual_seed(0)
    env = HyperGrid(2, 4, Corners(4))
    policy = MLPPolicy(env, 32, backward="uniform")
    split, learners = with_backward(kind, env, policy, **taken(kind, steps=2))
    config = TrainConfig(steps=150, batch_size=16, lr=5e-3)
    trainer = Trainer(env, split, TrajectoryBalance(), config, learners=learners)
    record = trainer.train()
    assert ("backward_loss" in record) == (kind != "separate")
    graph = enumerate_states(env)
    difference = graph.terminal_distribution(split).exp() - graph.log_target().exp()
    assert difference.abs().sum() / 2 < 0.08


# ---------------------------------------------------------------------- repeated and resumed


def trainer_for(kind: Any, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    policy = MLPPolicy(GRID, 8, backward=own_backward(kind), log_flow=True)
    options = taken(kind, steps=2, batches=3, decay=0.9)
    split, learners = with_backward(kind, GRID, policy, **options)
    config = TrainConfig(batch_size=4, epsilon=0.1, replay=20, ema=0.9, seed=seed)
    return Trainer(GRID, split, DetailedBalance(), config, learners=learners)


def weights(trainer: Trainer) -> list[Tensor]:
    modules = [trainer.policy, *(learner.module for learner in trainer.learners)]
    assert trainer.average is not None
    return [p.detach().clone() for m in [*modules, trainer.average] for p in m.parameters()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_fit_resumes_to_the_same_bits(kind: str, tmp_path: Any) -> None:
    """X-2: equal seeds give equal weights, and so does a run that was interrupted."""
    whole = trainer_for(kind)
    whole.train(9)
    again = trainer_for(kind)
    again.train(5)
    save_checkpoint(tmp_path / "c.pt", again.state_dict(), {})
    resumed = trainer_for(kind, seed=77)
    resumed.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    resumed.train(4)
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)
    other = trainer_for(kind, seed=1)
    other.train(9)
    assert not all(torch.equal(a, b) for a, b in zip(weights(whole), weights(other), strict=True))


@pytest.mark.parametrize("kind", SECOND_NETWORK)
def test_conditions_reach_the_second_network(kind: str) -> None:
    env = HyperGrid(2, 3, TemperatureConditional(Corners(3)))
    env.condition_dim = 1
    policy = MLPPolicy(env, 8, backward="uniform", log_flow=True)
    split, learners = with_backward(kind, env, policy)
    condition = UniformCondition(0.5, 2.0)
    trainer = Trainer(
        env, split, DetailedBalance(), TrainConfig(), learners=learners, condition=condition
    )
    assert math.isfinite(trainer.train(3)["loss"])
    states = torch.tensor([[1, 1], [1, 1]])
    given = torch.tensor([[0.5], [2.0]])
    logits = split.backward_logits(env, states, given)
    assert logits is not None
    assert (logits[0] - logits[1]).abs().max() > 1e-6

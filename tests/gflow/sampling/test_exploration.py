"""Behaviours against their exact laws: chi-square with an error rate of 1 in 10 000 each."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import Exploration, Sampler, TabularPolicy, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError
from gflow.exact.graph import StateGraph
from gflow.sampling.exploration import ON_POLICY
from gflow.testing import TableEnvironment

COUNT = 6000
GRID = HyperGrid(2, 3)
FORCED = HyperGrid(2, 3, ending="forced")
FORK = TableEnvironment(
    [[1, 2, 1], [3, 2], [3, 4, 4], [5], [5], []],
    [0.0] * 6,
    stops=[False, True, False, True, False, False],
)


def scattered(graph: StateGraph[Any], seed: int = 0) -> TabularPolicy:
    policy = TabularPolicy(graph)
    with torch.no_grad():
        policy.forward_table.normal_(0, 1.5, generator=torch.Generator().manual_seed(seed))
    return policy


def critical(freedom: int) -> float:
    """99.99 % point of chi-square, by Wilson and Hilferty (within 1 % from 1 degree on)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + 3.719 * math.sqrt(part)) ** 3


def assert_law(counts: Tensor, log_law: Tensor) -> None:
    """Observed counts come from the law; cells expected fewer than 5 times are put together."""
    expected = log_law.exp() * counts.sum()
    torch.testing.assert_close(log_law.exp().sum().item(), 1.0)
    assert counts[expected == 0].sum() == 0
    small = expected < 5
    seen = torch.cat([counts[~small], counts[small].sum()[None]]).double()
    wanted = torch.cat([expected[~small], expected[small].sum()[None]])
    seen, wanted = seen[wanted > 0], wanted[wanted > 0]
    statistic = ((seen - wanted) ** 2 / wanted).sum().item()
    assert statistic < critical(len(wanted) - 1), f"{statistic} with {len(wanted) - 1} degrees"


PLANS: dict[str, dict[str, Any]] = {
    "listed": {"plan": "ragged"},  # where the environment lists its states
    "shared": {"plan": "ragged", "share": True},
    "ragged": {"plan": "ragged", "share": False},
    "static": {"plan": "static"},
}


def objects(graph: StateGraph[Any], policy: TabularPolicy, how: Exploration, plan: str) -> Tensor:
    batch = Sampler(graph.env, **PLANS[plan]).forward(
        policy, COUNT, exploration=how, generator=torch.Generator().manual_seed(11)
    )
    rows = torch.bincount(graph.rows(batch.final_states), minlength=len(graph))
    assert rows[graph.objects].sum() == COUNT, "only objects are sampled"
    return rows[graph.objects]


def mixed(graph: StateGraph[Any], parts: list[tuple[float, TabularPolicy]]) -> Tensor:
    """Exact law of the objects when each step follows one of several policies."""
    found = [(math.log(w), *graph.log_pf(policy)) for w, policy in parts]
    log_pf = torch.stack([w + log_pf for w, log_pf, _ in found]).logsumexp(0)
    log_stop = torch.stack([w + log_stop for w, _, log_stop in found]).logsumexp(0)
    return graph.terminal_log_prob(log_pf, log_stop)


def with_table(policy: TabularPolicy, table: Tensor) -> TabularPolicy:
    other = TabularPolicy(policy.graph)
    with torch.no_grad():
        other.forward_table.copy_(table)
    return other


@pytest.mark.parametrize("plan", list(PLANS))
@pytest.mark.parametrize("env", [GRID, FORCED, FORK], ids=["free", "forced", "fork"])
@pytest.mark.parametrize(
    "kind",
    ["policy", "all-uniform", "epsilon", "trajectory", "temperature", "stop-bias", "other", "all"],
)
def test_objects_have_the_exact_distribution_of_the_exploration(
    env: Any, plan: str, kind: str
) -> None:
    graph = enumerate_states(env)
    policy, flat, other = scattered(graph), TabularPolicy(graph), scattered(graph, 1)
    table = policy.forward_table.detach()
    biased = table.clone()
    biased[:, env.stop_action] -= 1.2
    law = {
        "policy": lambda: (ON_POLICY, graph.terminal_distribution(policy)),
        "all-uniform": lambda: (Exploration(epsilon=1.0), graph.terminal_distribution(flat)),
        "epsilon": lambda: (
            Exploration(epsilon=0.4), mixed(graph, [(0.6, policy), (0.4, flat)])
        ),
        "trajectory": lambda: (
            Exploration(trajectory_epsilon=0.3),
            torch.logaddexp(
                math.log(0.7) + graph.terminal_distribution(policy),
                math.log(0.3) + graph.terminal_distribution(flat),
            ),
        ),
        "temperature": lambda: (
            Exploration(temperature=2.5),
            graph.terminal_distribution(with_table(policy, table / 2.5)),
        ),
        "stop-bias": lambda: (
            Exploration(stop_bias=1.2), graph.terminal_distribution(with_table(policy, biased))
        ),
        "other": lambda: (
            Exploration(other=other, other_weight=0.25),
            mixed(graph, [(0.75, policy), (0.25, other)]),
        ),
        "all": lambda: (
            Exploration(0.3, temperature=2.0, stop_bias=0.5, other=other, other_weight=0.5),
            mixed(
                graph,
                [
                    (0.35, with_table(policy, table / 2 - 0.5 * torch.eye(env.num_actions)[-1])),
                    (0.35, other),
                    (0.3, flat),
                ],
            ),
        ),
    }  # fmt: skip
    how, wanted = law[kind]()
    assert_law(objects(graph, policy, how, plan), wanted)


def test_the_chi_square_would_notice() -> None:
    """Negative: half the epsilon, the law per step for the law per trajectory, no exploration."""
    graph = enumerate_states(GRID)
    policy, flat = scattered(graph), TabularPolicy(graph)
    counts = objects(graph, policy, Exploration(epsilon=0.4), "ragged")
    for wrong in (
        mixed(graph, [(0.8, policy), (0.2, flat)]),
        graph.terminal_distribution(policy),
        torch.logaddexp(
            math.log(0.6) + graph.terminal_distribution(policy),
            math.log(0.4) + graph.terminal_distribution(flat),
        ),
    ):
        with pytest.raises(AssertionError, match="degrees"):
            assert_law(counts, wrong)


def test_a_full_epsilon_is_uniform_over_the_legal_actions_of_every_state() -> None:
    """D11: a peer's exploration had no effect. Here every state's actions are counted."""
    graph = enumerate_states(FORCED)
    policy = scattered(graph)
    with torch.no_grad():
        policy.forward_table.mul_(20)  # as far from uniform as can be
    for how in (Exploration(epsilon=1.0), Exploration(trajectory_epsilon=1.0)):
        batch = Sampler(FORCED).forward(
            policy, COUNT, exploration=how, generator=torch.Generator().manual_seed(5)
        )
        rows = graph.rows(batch.states)[batch.state_index[:, :-1]][batch.mask]
        actions = batch.actions[batch.mask]
        tried = 0
        for row in rows.unique().tolist():
            counts = torch.bincount(actions[rows == row], minlength=FORCED.num_actions)
            legal = FORCED.forward_mask(graph.states[row][None])[0]
            assert counts[~legal].sum() == 0
            assert_law(counts[legal], torch.full((int(legal.sum()),), -legal.sum().log().item()))
            tried += 1
        assert tried == 4  # every cell without a coordinate at the edge


def test_extreme_logits_never_lead_outside_the_mask() -> None:
    graph = enumerate_states(FORCED)
    for fill in (1e30, -1e30):
        policy = TabularPolicy(graph)
        with torch.no_grad():
            legal = FORCED.forward_mask(graph.states)
            policy.forward_table.copy_(torch.where(legal, fill, -fill))
        for how in (ON_POLICY, Exploration(0.3), Exploration(temperature=1e-3, stop_bias=5.0)):
            for plan in PLANS.values():
                batch = Sampler(FORCED, **plan).forward(
                    policy, 200, exploration=how, generator=torch.Generator().manual_seed(0)
                )
                # `along` refuses what is illegal
                again = Sampler(FORCED).along(batch.actions, batch.length)
                assert torch.equal(again.final_states, batch.final_states)


def test_the_trained_policy_is_not_written_to() -> None:
    graph = enumerate_states(GRID)
    policy = scattered(graph)
    before = policy.forward_table.detach().clone()
    how = Exploration(0.5, 0.2, 2.0, 1.0, other=scattered(graph, 1), other_weight=0.2)
    Sampler(GRID).forward(policy, 64, exploration=how)
    assert torch.equal(policy.forward_table, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 1.5}, r"epsilon must lie in \[0, 1\], got 1\.5"),
        ({"epsilon": math.nan}, "epsilon must lie"),
        ({"trajectory_epsilon": -0.1}, "trajectory_epsilon must lie"),
        ({"temperature": 0.0}, r"temperature must lie in \(0, 1e\+06\], got 0\.0"),
        ({"other_weight": 0.3}, "give `other` and a positive `other_weight` together"),
        ({"other": object()}, "give `other` and a positive `other_weight` together"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Exploration(**options)

"""Expected flows: the definition, closed forms, what must not change them, and noise on tokens."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import TabularPolicy, enumerate_states
from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact import expected_flows
from gflow.exact.expected import log_origin, origins
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.testing import TableEnvironment
from gflow.testing.noisy_tree import noisy_tree
from gflow.testing.slipping import SlippingGrid
from gflow.testing.strategies import random_dags, random_trees

C = CHANCE
MICRO = TableEnvironment(
    [[1, 2], [3, 4], [5, 6], [], [], [], []],
    [0.0, 0.0, 0.0, *(math.log(r) for r in (2, 3, 1, 4))],
    movers=[0, C, C, 0, 0, 0, 0],
    chance=[[], [0.5, 0.5], [0.9, 0.1], [], [], [], []],
)


def law_of(graph: StateGraph[Any], flows: ExactFlows) -> Tensor:
    """(X,) what the policy of some flows builds."""
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_the_example_of_the_paper() -> None:
    """1.1 of the specification: F(L) = 2.5, F(R) = 1.3, Z = 3.8 and the distribution."""
    graph = enumerate_states(MICRO)
    for form in ("tree", "dag"):
        flows = graph.expected_flows(form)
        close(flows.log_flow[:3].exp(), torch.tensor([3.8, 2.5, 1.3]))
        assert math.exp(flows.log_z) == pytest.approx(3.8, abs=1e-9)
        close(flows.log_pf[:2].exp(), torch.tensor([25 / 38, 13 / 38]))
        reached = torch.tensor([25 / 76, 25 / 76, 0.9 * 13 / 38, 0.1 * 13 / 38])
        close(law_of(graph, flows), reached)
        close(reached, torch.tensor([0.328947, 0.328947, 0.307895, 0.034211]), 1e-6)
        policy = TabularPolicy.solved(graph, flows)
        close(graph.terminal_distribution(policy).exp(), reached)


@given(env=random_trees())
def test_flows_are_rewards_below_times_chances_on_the_way(env: TableEnvironment) -> None:
    """T1.2: F(s) = sum over x below of R(x) prod P_env, and p(x) = R/Z prod P_env F(e)/F(e')."""
    graph = enumerate_states(env)
    flows = graph.expected_flows()
    below: list[dict[int, float]] = [{} for _ in range(len(graph))]  # object -> prod P_env
    shares = [0.0] * len(graph)  # prod of P_env F(e) / F(e') down to a state
    shares[0] = 1.0
    chance = (graph.movers == C).tolist()
    moves = list(zip(graph.parent.tolist(), graph.child.tolist(), flows.log_pf.tolist()))  # noqa: B905
    for x in graph.objects.tolist():
        below[x][x] = 1.0
    for s, c, log_p in reversed(moves):  # breadth first: children come later
        for x, weight in below[c].items():
            below[s][x] = weight * (math.exp(log_p) if chance[s] else 1.0)
    reward = graph.log_reward().exp()
    wanted = torch.tensor([sum(float(reward[x]) * w for x, w in found.items()) for found in below])
    close(flows.log_flow.exp(), wanted)
    flow = flows.log_flow.exp()
    for s, c, log_p in moves:
        step = math.exp(log_p) * float(flow[s] / flow[c]) if chance[s] else 1.0
        shares[c] = shares[s] * step
    objects = graph.objects
    p = reward[objects] / flow[0] * torch.tensor([shares[x] for x in objects.tolist()])
    close(law_of(graph, flows), p)
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-9)


@given(env=random_trees())
def test_expected_detailed_balance_holds_in_linear_space(env: TableEnvironment) -> None:
    """T1.1: F(s) P(s'|s) = F(s') where the agent moves, F(e) = sum P F(e') where chance does."""
    graph = enumerate_states(env)
    flows = graph.expected_flows()
    flow, p = flows.log_flow.exp(), flows.log_pf.exp()
    chance = (graph.movers == C)[graph.parent]
    close((flow[graph.parent] * p)[~chance], flow[graph.child][~chance])
    mean = torch.zeros(len(graph)).index_add(0, graph.parent, p * flow[graph.child])
    at = graph.movers == C
    close(mean[at], flow[at])


@given(env=random_trees(movers=(AGENT,)))
def test_without_chance_a_tree_is_sampled_in_proportion(env: TableEnvironment) -> None:
    """T1.3: deterministic moves give p = R / Z."""
    graph = enumerate_states(env)
    flows = graph.expected_flows()
    close(law_of(graph, flows), graph.log_target().exp())
    close(flows.log_flow, graph.exact_flows().log_flow)


@given(env=random_trees(movers=(CHANCE,)))
def test_without_an_agent_z_is_the_mean_reward(env: TableEnvironment) -> None:
    """T1.3: no agent's moves give Z = E[R]."""
    graph = enumerate_states(env)
    flows = graph.expected_flows()
    law = law_of(graph, flows)
    mean = (law * graph.log_reward()[graph.objects].exp()).sum()
    assert math.exp(flows.log_z) == pytest.approx(float(mean))


@pytest.mark.slow
@given(env=random_trees(), shift=st.floats(-5, 5))
def test_scaling_the_reward_scales_all_flows(env: TableEnvironment, shift: float) -> None:
    """T1.3: R times c scales every F by c, and the policy stays."""
    graph = enumerate_states(env)
    flows = graph.expected_flows()
    other = TableEnvironment(
        env._children, env._log_rewards + shift, movers=env._movers, chance=env._chance.exp()
    )
    scaled = enumerate_states(other).expected_flows()
    close(scaled.log_flow, flows.log_flow + shift)
    close(scaled.log_pf, flows.log_pf)


@given(env=random_trees(max_states=15), data=st.data())
def test_chance_without_a_choice_changes_nothing(
    env: TableEnvironment, data: st.DataObject
) -> None:
    """T1.3: a state of chance with one child, put on any edge."""
    flows = enumerate_states(env).expected_flows()
    rows = [[c for c in row if c >= 0] for row in env._children.tolist()]
    inner = [s for s, row in enumerate(rows) if row]
    s = data.draw(st.sampled_from(inner))
    a = data.draw(st.integers(0, len(rows[s]) - 1))
    fresh = len(rows)
    rows.append([rows[s][a]])
    rows[s][a] = fresh
    assert env._movers is not None
    chance = [
        row[: len(kids)] for row, kids in zip(env._chance.exp().tolist(), rows[:-1], strict=True)
    ]
    longer = TableEnvironment(
        rows, [*env._log_rewards.tolist(), 0.0], movers=[*env._movers.tolist(), C],
        chance=[*chance, [1.0]],
    )  # fmt: skip
    graph = enumerate_states(longer)
    found = graph.expected_flows().log_flow
    place = graph.rows(torch.arange(fresh))
    old = enumerate_states(env)
    close(found[place], flows.log_flow[old.rows(torch.arange(fresh))])


@given(
    first=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    second=st.lists(st.integers(1, 9), min_size=2, max_size=2),
    value=st.lists(st.floats(-3, 3), min_size=5, max_size=5),
    data=st.data(),
)
def test_kernels_of_equal_children_and_of_a_series(
    first: list[int], second: list[int], value: list[float], data: st.DataObject
) -> None:
    """T1.4: permuted kernels over equal rewards change nothing; two in series are their product."""
    p = [w / sum(first) for w in first]
    order = data.draw(st.permutations(range(len(p))))
    k = len(p)

    def flat(kernel: list[float], rewards: list[float]) -> float:
        env = TableEnvironment(
            [[1, 2], list(range(3, 3 + k)), [], *[[] for _ in range(k)]],
            [0.0, 0.0, value[4], *rewards],
            movers=[0, C, 0, *[0] * k],
            chance=[[], kernel, [], *[[] for _ in range(k)]],
        )
        return enumerate_states(env).expected_flows().log_z

    same = [value[0]] * k
    assert flat([p[i] for i in order], same) == pytest.approx(flat(p, same), abs=1e-9)

    q = [w / sum(second) for w in second]
    # s0 -> e1 -> (e2 -> x, y | z ...), against one state of chance with the composed kernel
    ends = k - 1
    series = TableEnvironment(
        [[1], [2, *range(3, 3 + ends)], [3 + ends, 4 + ends], *[[] for _ in range(ends + 2)]],
        [0.0, 0.0, 0.0, *value[:ends], value[2], value[3]],
        movers=[0, C, C, *[0] * (ends + 2)],
        chance=[[], p, q, *[[] for _ in range(ends + 2)]],
    )
    composed = TableEnvironment(
        [[1], list(range(2, 4 + ends)), *[[] for _ in range(ends + 2)]],
        [0.0, 0.0, *value[:ends], value[2], value[3]],
        movers=[0, C, *[0] * (ends + 2)],
        chance=[[], [*p[1:], p[0] * q[0], p[0] * q[1]], *[[] for _ in range(ends + 2)]],
    )
    a, b = (enumerate_states(env) for env in (series, composed))
    assert a.expected_flows().log_z == pytest.approx(b.expected_flows().log_z, abs=1e-9)
    close(law_of(a, a.expected_flows()).sort().values, law_of(b, b.expected_flows()).sort().values)


@pytest.mark.parametrize(("tokens", "length"), [(2, 4), (3, 2), (4, 3)])
@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.75])
@pytest.mark.parametrize("form", ["tree", "dag"])
def test_noise_on_tokens(tokens: int, length: int, alpha: float, form: Any) -> None:
    """T1.5: flows do not depend on alpha; the next token is (1-a)^2 rho + (1-(1-a)^2)/V."""
    value = 2 * torch.randn(tokens**length, generator=torch.Generator().manual_seed(tokens))
    graph = enumerate_states(noisy_tree(tokens, length, alpha, value))
    flows = graph.expected_flows(form)
    quiet = enumerate_states(noisy_tree(tokens, length, 0.0, value)).expected_flows(form)
    ours = graph.movers == AGENT
    close(flows.log_flow[ours], quiet.log_flow[ours])
    assert flows.log_z == pytest.approx(float(value.logsumexp(0)), abs=1e-9)
    # noise-free shares of the children of each prefix, and what really follows
    strings = [value.view(-1, tokens ** (length - d)).logsumexp(1) for d in range(length + 1)]
    kept = (1 - alpha) ** 2
    wanted = torch.zeros(())
    for d in range(length):
        rho = (strings[d + 1].view(-1, tokens) - strings[d][:, None]).exp()
        real = kept * rho + (1 - kept) / tokens
        wanted = (wanted[..., None] + real.log()).reshape(-1)
    close(law_of(graph, flows), wanted.exp())


@given(env=random_dags(max_states=9), seed=st.integers(0, 99))
def test_without_chance_the_form_of_graphs_is_the_ordinary_one(
    env: TableEnvironment, seed: int
) -> None:
    graph = enumerate_states(env)
    edge = torch.randn(len(graph.parent), generator=torch.Generator().manual_seed(seed))
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    log_pb = edge - total[graph.child]
    ordinary, found = graph.exact_flows(log_pb), graph.expected_flows("dag", log_pb)
    close(found.log_flow, ordinary.log_flow)
    close(found.log_pf, ordinary.log_pf)
    close(found.log_stop, ordinary.log_stop)


def test_in_a_graph_histories_count_by_default() -> None:
    env = TableEnvironment([[1, 2, 3], [4], [4], [], []], [0.0, 0.0, 0.0, 0.4, 1.1])
    graph = enumerate_states(env)
    weight = torch.tensor([math.exp(0.4), 2 * math.exp(1.1)])
    close(law_of(graph, graph.expected_flows()), weight / weight.sum())


def test_the_origin_of_a_move_of_chance_is_what_the_agent_left() -> None:
    """Two choices of one state that chance may confuse share P_B; those of others do not."""
    env = TableEnvironment(
        [[1, 2], [3, 4], [5], [6, 7], [6, 7], [7], [], []],
        [0.0] * 8,
        movers=[0, 0, 0, C, C, C, 0, 0],
        chance=[[], [], [], [0.5, 0.5], [0.2, 0.8], [1.0], [], []],
    )
    graph = enumerate_states(env)
    number = graph.states.tolist()
    at = {state: row for row, state in enumerate(number)}
    origin = {number[row]: number[int(to)] for row, to in enumerate(origins(graph))}
    assert origin == {0: 0, 1: 1, 2: 2, 3: 1, 4: 1, 5: 2, 6: 6, 7: 7}
    rho = log_origin(graph, graph.uniform_log_pb()).exp()
    found = {
        (number[int(p)], number[int(c)]): float(r)
        for p, c, r in zip(graph.parent, graph.child, rho, strict=True)
    }
    assert found[3, 6] == found[4, 6] == pytest.approx(1.0)
    assert found[3, 7] == found[4, 7] == pytest.approx(2 / 3)
    assert found[5, 7] == pytest.approx(1 / 3)
    assert found[1, 3] == found[2, 5] == 1.0
    # F(s, a) = sum P_env F(s') P_B(s | s'), by hand
    flow = graph.expected_flows("dag").log_flow.exp()
    assert float(flow[at[3]]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert float(flow[at[4]]) == pytest.approx(0.2 * 1 + 0.8 * 2 / 3)
    assert float(flow[at[5]]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("form", ["tree", "dag"])
def test_a_grid_on_ice_has_a_distribution(form: Any) -> None:
    graph = enumerate_states(SlippingGrid(2, 3))
    flows = graph.expected_flows(form)
    law = law_of(graph, flows)
    assert float(law.sum()) == pytest.approx(1.0)
    policy = TabularPolicy.solved(graph, flows)
    close(graph.terminal_distribution(policy).exp(), law)


def test_as_the_ice_grows_slower_the_grid_becomes_the_ordinary_one() -> None:
    graph = enumerate_states(SlippingGrid(2, 3, slip=1e-12))
    law = law_of(graph, graph.expected_flows("dag"))
    close(law, graph.log_target().exp(), 1e-9)


def test_zero_rewards_have_no_mass() -> None:
    env = TableEnvironment(
        [[1, 2], [3, 4], [], [], []], [0.0, 0.0, -math.inf, -math.inf, 0.5],
        movers=[0, C, 0, 0, 0], chance=[[], [0.25, 0.75], [], [], []],
    )  # fmt: skip
    graph = enumerate_states(env)
    flows = graph.expected_flows()
    assert math.exp(flows.log_z) == pytest.approx(0.75 * math.exp(0.5))
    close(law_of(graph, flows), torch.tensor([0.0, 0.25, 0.75]))


def test_refusals() -> None:
    graph = enumerate_states(MICRO)
    with pytest.raises(IncompatibleError, match=r"expected_flows\(\)` gives those that balance"):
        graph.exact_flows()
    with pytest.raises(ConfigError, match="form must be tree or dag, got 'graph'"):
        expected_flows(graph, "graph")  # type: ignore[arg-type]
    game = TableEnvironment([[1, 2], [], []], [0.0, 1.0, -1.0], movers=[1, 0, 0])
    with pytest.raises(IncompatibleError, match="a player's"):
        enumerate_states(game).expected_flows()
    merged = TableEnvironment(
        [[1, 2], [3], [3], [4, 5], [], []], [0.0] * 6, movers=[0, 0, 0, C, 0, 0]
    )
    graph = enumerate_states(merged)
    assert math.exp(graph.expected_flows().log_z) == pytest.approx(2.0)
    with pytest.raises(IncompatibleError, match="which has 2 parents"):
        graph.expected_flows("dag")

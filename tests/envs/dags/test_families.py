from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.envs.dags.env import Dags, DagState
from gflow.envs.dags.families import Families, family_rows
from gflow.envs.dags.scores import BIC, BGe, LinearGaussian, fair_prior
from gflow.state import take

SCORES: list[Any] = [BGe, BIC, LinearGaussian]


def observations(d: int, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(d)
    mixing = torch.randn(d, d, generator=generator)
    return torch.randn(rows, d, generator=generator) @ mixing + 0.3


def some_states(d: int, count: int) -> DagState:
    """Graphs of all densities up to complete ones."""
    generator = torch.Generator().manual_seed(0)
    bias = torch.linspace(0, 1, count)[:, None, None]
    return Dags(d).states((torch.rand(count, d, d, generator=generator) <= bias).triu(1))


@pytest.mark.parametrize("cls", SCORES)
def test_scores_and_gains_are_those_of_one_decomposition_each(cls: Any) -> None:
    d = 18
    score = cls(observations(d, 40), fair_prior(d))
    states = some_states(d, 7)
    alone = score.local(torch.arange(d), torch.zeros(d, d).bool())
    value, delta = score.value_and_delta(states)
    for row in range(7):
        graph = states.adjacency[row]
        now = score.local(torch.arange(d), graph.T)
        assert float(value[row]) == pytest.approx(float((now - alone).sum()), abs=1e-8)
        for i in (0, 5, d - 1):
            more = graph.clone()
            more[i] = True
            more[i, i] = False
            then = score.local(torch.arange(d), more.T)
            wanted = (then - now).masked_fill(graph[i] | (torch.arange(d) == i), 0.0)
            torch.testing.assert_close(delta[row, i], wanted, rtol=0, atol=1e-8)
    torch.testing.assert_close(score(states), value)
    torch.testing.assert_close(cls(observations(d, 40), fair_prior(d))(states), value)


def test_numbers_of_a_family_do_not_depend_on_its_company() -> None:
    # So a run that resumes with an empty memory goes on with the same bits.
    d = 20
    score = BGe(observations(d, 30))
    matrix, formula = score._matrix, score._with_prior
    states = some_states(d, 9)
    parents = states.adjacency.mT.reshape(-1, d)
    nodes = torch.arange(d).repeat(9)
    own, gains = family_rows(matrix, formula, nodes, parents, gains=True)
    assert gains is not None
    for row in range(0, len(nodes), 7):
        one, more = family_rows(matrix, formula, nodes[row, None], parents[row, None], True)
        assert more is not None
        assert torch.equal(one[0], own[row])
        assert torch.equal(more[0], gains[row])
    plain, none = family_rows(matrix, formula, nodes, parents, gains=False)
    assert none is None
    assert torch.equal(plain, own)


def test_a_memory_that_is_full_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gflow.envs.dags.families.LOOK_UP", 8 * 13 * 40)
    score, whole = BGe(observations(12, 30), table=False), BGe(observations(12, 30))
    states = some_states(12, 30)
    for rows in torch.arange(30).split(3):
        part = take(states, rows)
        torch.testing.assert_close(score.delta(part), whole.delta(part), rtol=0, atol=1e-9)
        torch.testing.assert_close(score(part), whole(part), rtol=0, atol=1e-9)
    memory = score._families[torch.device("cpu"), True]
    assert len(memory._index) <= 40


def test_an_edge_makes_one_family(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(matrix: Tensor, formula: Any, nodes: Tensor, parents: Tensor, gains: bool) -> Any:
        asked.append(len(nodes))
        return family_rows(matrix, formula, nodes, parents, gains)

    monkeypatch.setattr("gflow.envs.dags.families.family_rows", counting)
    env, score = Dags(17), BGe(observations(17, 30))
    states = env.initial(2)
    score.delta(states)
    for action in (1, 2 * 17 + 5, 5 * 17 + 1):
        states = env.step(states, torch.tensor([action, action]))
        score.delta(states)
        score.delta(states)
    assert asked == [17, 1, 1, 1]


def test_more_variables_than_bits_of_a_number() -> None:
    d = 70
    score = BGe(observations(d, 100))
    env = Dags(d, score)
    states = env.states(torch.ones(1, d, d).triu(66).bool())
    states = env.step(states, torch.tensor([69 * d + 65]))
    value, delta = score.value_and_delta(states)
    after = env.step(states, torch.tensor([68 * d + 65]))
    assert float(score(after) - value) == pytest.approx(float(delta[0, 68, 65]), abs=1e-8)


def test_families_of_different_variables_are_told_apart() -> None:
    matrix = torch.tensor([[2.0, 0.5], [0.5, 3.0]])
    memory = Families(matrix, lambda count, parents, family: family - parents, gains=False)
    own, none = memory(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, 2).bool())
    assert none is None
    torch.testing.assert_close(own, torch.tensor([[2.0, 3.0]]).log())

"""Exact answers where each trajectory starts where its condition says: filling in gaps."""

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, TabularPolicy, enumerate_states
from gflow.errors import IncompatibleError, ShapeError
from gflow.rewards.base import LogReward
from gflow.sampling.sampler import Sampler
from gflow.testing import all_trajectories, check_env

LENGTH, SYMBOLS = 3, 2


@dataclass(frozen=True)
class Filled:
    """Symbols 1 ... V or 0 for a gap, and which of them are given."""

    symbols: Tensor
    given: Tensor


class Uneven(LogReward[Filled]):
    """Symbols count by their place, the condition by its first number."""

    def __call__(self, states: Filled, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        place = torch.arange(1, LENGTH + 1) / 3
        return (states.symbols * place).sum(-1) - (states.symbols[:, 0] == 2) * condition[:, 0]


class Infilling(DiscreteEnvironment[Filled]):
    """Gaps of a string are filled one by one; the condition holds the clues, 0 for none."""

    source_reads_condition = True
    condition_dim = LENGTH

    def __init__(self) -> None:
        self.num_actions, self.num_backward_actions = LENGTH * SYMBOLS, LENGTH
        self.horizon, self.feature_sizes = LENGTH, (SYMBOLS + 1,) * LENGTH
        self.reward = Uneven()

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Filled:
        symbols = torch.zeros(batch_size, LENGTH, dtype=torch.int64, device=device)
        return Filled(symbols, symbols > 0)

    def start(
        self, batch_size: int, device: torch.device | str = "cpu", condition: Tensor | None = None
    ) -> Filled:
        if condition is None:
            return self.initial(batch_size, device)
        return Filled(condition.long(), condition > 0)

    def forward_mask(self, states: Filled) -> Tensor:
        return (states.symbols == 0).repeat_interleave(SYMBOLS, 1)

    def backward_mask(self, states: Filled) -> Tensor:
        return (states.symbols > 0) & ~states.given

    def backward_action(self, states: Filled, actions: Tensor) -> Tensor:
        return actions // SYMBOLS

    def forward_action(self, states: Filled, backward_actions: Tensor) -> Tensor:
        symbol = states.symbols.gather(1, backward_actions[:, None]).squeeze(1)
        return backward_actions * SYMBOLS + (symbol - 1).clamp(min=0)

    def _step(self, states: Filled, actions: Tensor) -> Filled:
        place, symbol = (actions // SYMBOLS)[:, None], (actions % SYMBOLS + 1)[:, None]
        return Filled(states.symbols.scatter(1, place, symbol), states.given)

    def _backstep(self, states: Filled, actions: Tensor) -> Filled:
        return Filled(states.symbols.scatter(1, actions[:, None], 0), states.given)

    def encode(self, states: Filled) -> Tensor:
        return states.symbols

    def key(self, states: Filled) -> Tensor:
        digit = states.symbols + SYMBOLS * states.given
        return (digit * (2 * SYMBOLS + 1) ** torch.arange(LENGTH)).sum(-1)


CLUES = [clue for clue in product(range(SYMBOLS + 1), repeat=LENGTH) if 0 in clue]


def by_hand(clue: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Probabilities of all strings that agree with the clue."""
    strings = [
        word
        for word in product(range(1, SYMBOLS + 1), repeat=LENGTH)
        if all(c in (0, w) for c, w in zip(clue, word, strict=True))
    ]
    value = torch.tensor(
        [sum(w * (i + 1) / 3 for i, w in enumerate(s)) - (s[0] == 2) * clue[0] for s in strings]
    )
    return dict(zip(strings, value.softmax(0).tolist(), strict=True))


@pytest.mark.parametrize("clue", CLUES)
def test_laws_are_those_of_strings_that_agree_with_the_clues(clue: tuple[int, ...]) -> None:
    env, condition = Infilling(), torch.tensor([clue]).double()
    graph = enumerate_states(env, condition=condition)
    expected = by_hand(clue)
    words = [tuple(row) for row in graph.states.symbols[graph.objects].tolist()]
    assert sorted(words) == sorted(expected)
    wanted = torch.tensor([expected[word] for word in words])
    torch.testing.assert_close(graph.log_target().exp(), wanted)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    torch.testing.assert_close(graph.terminal_distribution(policy).exp(), wanted)
    torch.testing.assert_close(graph.terminal_distribution(policy, condition).exp(), wanted)
    total = torch.tensor(flows.log_z).exp()
    each = graph.log_reward()[graph.objects].exp()
    torch.testing.assert_close(each / total, wanted)


@pytest.mark.slow
@given(clue=st.sampled_from(CLUES))
def test_the_checker_starts_where_the_condition_says(clue: tuple[int, ...]) -> None:
    condition = torch.tensor([clue]).double()
    checked = check_env(Infilling(), condition=condition)
    assert checked.exhaustive
    assert checked.num_states == (SYMBOLS + 1) ** clue.count(0)
    assert checked.longest == clue.count(0)


def test_samplers_and_lists_agree() -> None:
    env, condition = Infilling(), torch.tensor([[0.0, 2.0, 0.0]])
    graph = enumerate_states(env, condition=condition)
    walks = all_trajectories(env, condition=condition)
    assert len(walks) == 2 * SYMBOLS**2
    assert bool((walks.final_states.symbols[:, 1] == 2).all())
    drawn = Sampler(env).forward(TabularPolicy(graph), 50, condition=condition.expand(50, -1))
    graph.rows(drawn.final_states)  # all are among the listed


def test_without_a_condition_there_is_no_list() -> None:
    with pytest.raises(IncompatibleError, match=r"enumerate_states\(env, condition=condition\)"):
        enumerate_states(Infilling())


def test_a_list_for_one_condition_answers_for_no_other() -> None:
    graph = enumerate_states(Infilling(), condition=torch.tensor([0.0, 1.0, 0.0]))
    other = torch.tensor([[0.0, 2.0, 0.0]])
    for question in (
        lambda: graph.log_target(other),
        lambda: graph.exact_flows(condition=other),
        lambda: graph.terminal_distribution(TabularPolicy(graph), other),
        lambda: graph.log_pb(TabularPolicy(graph), other),
    ):
        with pytest.raises(IncompatibleError, match=r"were listed for the condition \[0.0, 1.0"):
            question()


def test_several_conditions_at_once_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"one condition, \(1, 3\), got \(2, 3\)"):
        enumerate_states(Infilling(), condition=torch.zeros(2, 3))

"""A memory of texts: what stays, what is near what, and that it comes back as it was. LM-9, 10."""

from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import Needs, Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError
from gflow.language import (
    LookupTool,
    PrefixReward,
    Prompts,
    TextMemory,
    TokenEnvironment,
    edit_distance,
)
from gflow.rewards.base import FunctionReward

STOP = 3


class Table(PrefixReward):
    """Scores from a table of random numbers, by prompt and text; counts how often it is asked."""

    def __init__(self, seed: int = 0, temperature: float = 1.0) -> None:
        super().__init__(5, temperature)
        self.table = torch.randn(997, generator=torch.Generator().manual_seed(seed))
        self.asked = 0

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        self.asked += len(tokens)
        code = (tokens + 1) * 6 ** torch.arange(tokens.shape[1])
        code = torch.nn.functional.pad(code.cumsum(1), (1, 0)) + 31 * prompt[:, None]
        return self.table[code % len(self.table)]


def writer(
    reward: Any = None, prompts: int = 2, length: int = 5, **settings: Any
) -> TokenEnvironment:
    rows = Prompts([[i] for i in range(prompts)])
    reward = Table() if reward is None else reward
    return TokenEnvironment(5, STOP, reward, length, prompts=rows, **settings)


def distance(a: list[int], b: list[int]) -> int:
    """From the definition."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


TEXTS = st.lists(st.lists(st.sampled_from([0, 1, 2, 4]), max_size=5), min_size=1, max_size=9)


@given(a=TEXTS, b=TEXTS, band=st.integers(0, 8))
def test_edit_distances_are_exact_up_to_the_band(
    a: list[list[int]], b: list[list[int]], band: int
) -> None:
    pairs = [(x, y) for x in a for y in b]
    one, other = (
        torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(pair[side], dtype=torch.int64) for pair in pairs], batch_first=True,
            padding_value=7 * side,
        )
        for side in (0, 1)
    )  # fmt: skip
    length = torch.tensor([[len(x), len(y)] for x, y in pairs])
    found = edit_distance(one, length[:, 0], other, length[:, 1], band)
    assert found.tolist() == [min(distance(x, y), band + 1) for x, y in pairs]


def near(a: list[int], b: list[int], tolerance: float) -> bool:
    return a == b or distance(a, b) < tolerance * (len(a) + len(b))


Shelf = list[tuple[float, list[int]]]


def by_the_rule(shelf: Shelf, batch: Shelf, capacity: int, tolerance: float) -> Shelf:
    """One text after the other, the best first."""
    least = min(shelf)[0] if len(shelf) == capacity else -torch.inf
    batch = [item for item in batch if item[0] > least]
    for score, text in sorted(batch, key=lambda item: -item[0]):
        rivals = [item for item in shelf if near(item[1], text, tolerance)]
        if any(item[0] >= score for item in rivals):
            continue
        shelf = [item for item in shelf if item not in rivals]
        if len(shelf) == capacity:
            worst = min(shelf)
            if worst[0] >= score:
                continue
            shelf.remove(worst)
        shelf.append((score, text))
    return shelf


BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 1), st.lists(st.sampled_from([0, 1, 2, 4]), max_size=5)),
             min_size=1, max_size=6),
    min_size=1, max_size=5,
)  # fmt: skip


@given(
    batches=BATCHES,
    capacity=st.integers(1, 4),
    tolerance=st.sampled_from([0.0, 0.1, 0.25, 0.6]),
    seed=st.integers(0, 20),
)
def test_what_stays_is_the_better_of_what_is_near(
    batches: list[list[tuple[int, list[int]]]], capacity: int, tolerance: float, seed: int
) -> None:
    """LM-9: never over capacity, nothing near anything else, the better kept, whatever T."""
    reward = Table(seed)
    memory = TextMemory(writer(reward), capacity, tolerance)
    wanted: dict[int, Shelf] = {0: [], 1: []}

    def score(prompt: int, text: list[int]) -> float:
        tokens = torch.tensor([text], dtype=torch.int64).view(1, -1)
        told = torch.tensor([prompt])
        return float(reward.score(tokens, torch.tensor([len(text)]), told)[0, -1])

    for step, batch in enumerate(batches):
        reward.temperature = 1.0 + step  # scores are remembered before it
        memory.seed([text for _, text in batch], [prompt for prompt, _ in batch])
        for prompt in (0, 1):
            fresh = [(score(prompt, text), text) for p, text in batch if p == prompt]
            wanted[prompt] = by_the_rule(wanted[prompt], fresh, capacity, tolerance)
            found = memory.best(prompt)
            assert [text for text, _ in found] == [t for _, t in sorted(wanted[prompt])[::-1]]
            assert [s for _, s in found] == pytest.approx([score(prompt, t) for t, _ in found])
            assert len(found) <= capacity
            for (a, _), (b, _) in combinations(found, 2):
                assert not near(a, b, tolerance)
    assert memory.counts(torch.tensor([1, 0])).tolist() == [len(wanted[1]), len(wanted[0])]
    assert len(memory) == sum(map(len, wanted.values()))


def test_texts_at_the_tolerance_are_not_near() -> None:
    """One of two tokens is a quarter of their lengths; one of three is less."""
    memory = TextMemory(writer(), 10, 0.25)
    memory.seed([[1, 2], [1, 4], [1, 2, 0], [1, 4, 0]], [0, 0, 1, 1])
    assert memory.counts(torch.tensor([0, 1])).tolist() == [2, 1]


def drawn(memory: TextMemory, count: int, seed: int = 0) -> Any:
    prompt = torch.arange(count) % 2
    g = torch.Generator().manual_seed(seed)
    return memory.sample(Sampler(memory.env), prompt, prompt[:, None].double(), g)


def filled(capacity: int = 4, **settings: Any) -> TextMemory:
    memory = TextMemory(writer(), capacity, 0.1, **settings)
    texts = [[0], [1, 2], [4, 4, 4], [2, 2, 0, 1], [1, 1, 1, 1], []]
    memory.seed(texts * 2, [0] * 6 + [1] * 6)
    return memory


@pytest.mark.parametrize("draw", ["uniform", "reward"])
def test_draws_are_even_or_in_proportion_to_the_reward_of_now(draw: Any) -> None:
    memory = filled(draw=draw)
    memory.reward.temperature = 0.7
    batch = drawn(memory, 6000)
    final = batch.final_states
    assert final.prompt.tolist() == [i % 2 for i in range(6000)]
    written = [tuple(row) for row in memory.env.tokens_of(final)]
    for prompt in (0, 1):
        texts = memory.best(prompt)
        assert len(texts) == 4
        weight = torch.tensor([score / 0.7 for _, score in texts]).softmax(0)
        if draw == "uniform":
            weight = torch.full((4,), 0.25)
        mine = written[prompt::2]
        shares = [mine.count(tuple(text)) / len(mine) for text, _ in texts]
        assert shares == pytest.approx(weight.tolist(), abs=0.03)
        scores = dict((tuple(text), score) for text, score in texts)
        got = batch.log_reward[prompt::2].tolist()
        assert got == pytest.approx([scores[text] / 0.7 for text in mine])


def test_nothing_is_scored_again_until_the_reward_forgets() -> None:
    memory = filled()
    reward: Any = memory.reward
    reward._scores.clear()  # as if others had pushed them out
    asked = reward.asked
    batch = drawn(memory, 40)
    memory.env.target_of_trajectories(batch)
    assert reward.asked == asked
    before = memory.best(1)
    reward.table = reward.table.flip(0)
    reward.forget()
    after = memory.best(1)
    assert reward.asked == asked + 4  # of that prompt alone
    assert sorted(t for t, _ in after) == sorted(t for t, _ in before)
    assert [s for _, s in after] == sorted([s for _, s in after], reverse=True)
    length = torch.tensor([len(t) for t, _ in after])
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(t) for t, _ in after], True)
    anew = reward.score(tokens.long(), length, torch.ones(4, dtype=torch.int64))
    assert [s for _, s in after] == pytest.approx(anew.gather(1, length[:, None])[:, 0].tolist())


def test_replay_runs_the_tool_again_and_scores_as_on_policy() -> None:
    """LM-10: what the memory gives back has the log-probabilities of what was sampled."""
    env = writer(prompts=1, tool=LookupTool({0: 4}), min_length=1, length=3)
    policy = TabularPolicy(enumerate_states(env), "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(0))
    memory = TextMemory(env, 200, 0.0)
    batch = Sampler(env).forward(policy, 40, generator=torch.Generator().manual_seed(1))
    assert int(batch.final_states.by_tool.sum()) > 5
    memory.add(batch)
    needs = Needs(stop=True)
    terms = evaluate(env, policy, batch, needs)
    g = torch.Generator().manual_seed(2)
    again = memory.sample(Sampler(env), torch.zeros(60, dtype=torch.int64), generator=g)
    replayed = evaluate(env, policy, again, needs)

    def rows(batch: Any, said: Any) -> dict[Any, tuple[Tensor, ...]]:
        there = torch.arange(said.log_stop.shape[1]) < said.length[:, None]
        stop = said.log_stop.where(there, 0.0).nan_to_num(neginf=0.0).sum(1)
        texts = map(tuple, env.tokens_of(batch.final_states))
        columns = zip(said.log_pf.sum(1), stop, batch.log_reward, strict=True)
        return dict(zip(texts, columns, strict=True))

    first, second = rows(batch, terms), rows(again, replayed)
    assert len(second) > 15
    for text, values in second.items():
        torch.testing.assert_close(torch.stack(values), torch.stack(first[text]))
    assert int(again.final_states.by_tool.sum()) > 5


def test_it_is_saved_and_taken_back() -> None:
    memory = filled(draw="reward")
    other = TextMemory(writer(), 4, 0.1, "reward")
    other.load_state_dict(memory.state_dict())
    reward: Any = other.reward
    for _ in range(2):
        one, two = drawn(memory, 30), drawn(other, 30)
        assert one.actions.tolist() == two.actions.tolist()
        assert one.log_reward.tolist() == two.log_reward.tolist()
        assert reward.asked == 0  # scores came along
        for each in (memory, other):
            each.seed([[4, 2, 4, 2, 4], [2]], [1, 0])
        reward.asked = 0
    assert memory.best(0) == other.best(0)
    memory.reward.forget()
    stale = TextMemory(writer(Table(5)), 4, 0.1)
    stale.load_state_dict(memory.state_dict())
    mine = TextMemory(writer(Table(5)), 4, 0.1)
    mine.seed([text for text, _ in memory.best(0)], [0] * 4)
    assert stale.best(0) == mine.best(0)


def test_only_texts_that_can_be_written_are_taken_in() -> None:
    legal = torch.tensor([True, True, True, True, False])
    memory = TextMemory(writer(min_length=1, legal=legal, tool=LookupTool({0: 2})))
    memory.seed([[0, 2, 1], [1]], [0, 1])
    assert memory.best(0)[0][0] == [0, 2, 1]
    for text in ([], [4], [0, 1], [0], [1] * 6):
        with pytest.raises(ConfigError, match=r"text 1, \[.*cannot be written behind prompt 1"):
            memory.seed([[1], text], [1, 1])
    with pytest.raises(ConfigError, match="no prompt 2 among 2"):
        memory.seed([[1]], [2])
    with pytest.raises(ConfigError, match="for each of 1 texts"):
        memory.seed([[1]], [])


def test_other_objects_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="remembers texts"):
        TextMemory(HyperGrid(2, 3))  # type: ignore[arg-type]
    plain: Any = FunctionReward(lambda s: s.tokens.double().sum(1))
    with pytest.raises(IncompatibleError, match="PrefixReward"):
        TextMemory(writer(plain))

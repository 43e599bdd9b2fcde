"""Texts as an environment: masks (LM-7), prompts, tools, moves back, sizes."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import FunctionReward, Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.errors import ConfigError
from gflow.language import LookupTool, Prompts, TokenEnvironment
from gflow.testing import check_env

REWARD: Any = FunctionReward(lambda s: -(s.tokens == 0).sum(1).double())


@pytest.mark.slow
@settings(max_examples=15)
@given(
    vocabulary=st.sampled_from([2, 3, 4]),
    length=st.sampled_from([1, 2, 3]),
    least=st.sampled_from([0, 1]),
    stop=st.sampled_from([0, 1]),
    tool=st.booleans(),
    several=st.booleans(),
)
def test_texts_keep_the_contract(
    vocabulary: int, length: int, least: int, stop: int, tool: bool, several: bool
) -> None:
    env = TokenEnvironment(
        vocabulary,
        stop,
        REWARD,
        length,
        least,
        prompts=[[0], [1, 0]] if several else None,
        tool=LookupTool({1 - stop: vocabulary - 1}) if tool else None,
    )
    check_env(env, condition=torch.tensor([[1.0]]) if several else None)


def test_masks_at_every_length() -> None:
    """LM-7: no illegal token, no stop before the least length, the stop alone at the largest."""
    legal = torch.tensor([True, True, False, True, True])
    env = TokenEnvironment(5, 3, REWARD, 2, 1, legal)
    graph = enumerate_states(env)
    assert len(graph) == 1 + 3 + 9
    mask, size = env.forward_mask(graph.states), env.size(graph.states)
    assert not bool(mask[:, 2].any())
    assert mask[:, 3].tolist() == (size >= 1).tolist()
    assert mask[:, [0, 1, 4]].all(1).tolist() == (size < 2).tolist()
    assert bool((mask[size == 2].sum(1) == 1).all())
    policy = TabularPolicy(graph, "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(0))
    law = env.law(graph.states, policy.forward_table)
    torch.testing.assert_close(law.table().exp().sum(1), torch.ones(len(graph)))


def test_a_tool_writes_on_its_own_turn() -> None:
    """Its words are certain, count in no length, and are undone word by word."""
    env = TokenEnvironment(4, 3, REWARD, 2, tool=Echo())
    assert env.length == 6
    state = env.initial(1)
    state = env.step(state, torch.tensor([0]))
    assert env.show(state) == ["0"]
    assert env.forward_mask(state)[0].tolist() == [False, True, False, False]
    states = [state]
    for token in (1, 2):
        states.append(env.step(states[-1], torch.tensor([token])))
    assert env.show(states[-1]) == ["0 1 2"]
    assert states[-1].by_tool[0].tolist() == [False, True, True, False, False, False]
    assert env.forward_mask(states[-1])[0].tolist() == [True, True, True, True]
    for later, earlier in zip(states[::-1], states[-2::-1], strict=False):
        back = env.backstep(later, torch.tensor([0]))
        for name in ("tokens", "pending", "by_tool"):
            assert getattr(back, name).tolist() == getattr(earlier, name).tolist()
    start = env.backstep(state, torch.tensor([0]))
    assert start.pending.tolist() == [[4, 4]]
    one = env.step(states[-1], torch.tensor([1]))  # 1 wakes nobody
    assert env.forward_mask(one)[0].tolist() == [False, False, False, True]


class Echo:
    """Says 1 2 after a 0."""

    reply_length = 2

    def reply(
        self, tokens: torch.Tensor, length: torch.Tensor, prompt: torch.Tensor
    ) -> torch.Tensor:
        last = tokens.gather(1, length[:, None] - 1)
        return torch.where(last == 0, torch.tensor([[1, 2]]), -1)


def test_what_a_tool_says_costs_nothing() -> None:
    env = TokenEnvironment(4, 3, REWARD, 2, tool=Echo())
    policy = TabularPolicy(enumerate_states(env), "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(0))
    batch = Sampler(env).forward(policy, 256, generator=torch.Generator().manual_seed(1))
    terms = evaluate(env, policy, batch)
    said = torch.zeros_like(terms.log_pf, dtype=torch.bool)
    width = batch.final_states.by_tool.shape[1]
    said[:, :width] = batch.final_states.by_tool[:, : said.shape[1]]
    assert int(said.sum()) > 20
    assert bool((terms.log_pf[said] == 0).all())
    assert bool((terms.log_pf[~said & terms.mask] < 0).any())
    again = Sampler(env).along(batch.actions, batch.length)
    assert again.final_states.by_tool.tolist() == batch.final_states.by_tool.tolist()


def test_conditions_call_prompts() -> None:
    prompts = Prompts([[1, 2, 3], [4], [5, 1]])
    assert [prompts.row(i) for i in range(3)] == [[1, 2, 3], [4], [5, 1]]
    tokens, there = prompts.at(torch.tensor([1, 2]))
    assert tokens[there].tolist() == [4, 5, 1]
    assert tokens.shape == (2, 2)
    drawn = prompts.sampler(2, rows=[0, 2])(40, torch.Generator().manual_seed(0))
    assert set(drawn[:, 0].tolist()) == {0.0, 2.0}
    assert bool((drawn[::2] == drawn[1::2]).all())
    env = TokenEnvironment(6, 0, REWARD, 2, prompts=prompts)
    behind = env.start(2, condition=torch.tensor([[2.0], [1.0]]))
    assert behind.prompt.tolist() == [2, 1]
    assert len(set(env.key(behind).tolist())) == 2
    with pytest.raises(ConfigError, match="no prompt 3 among 3"):
        env.start(1, condition=torch.tensor([[3.0]]))
    with pytest.raises(ConfigError, match="no condition says which"):
        env.start(1)
    with pytest.raises(ConfigError, match="prompt 1 is empty"):
        Prompts([[1], []])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stop": 3}, "one of the 3 tokens"),
        ({"min_length": 3}, "at most max_length"),
        ({"legal": torch.ones(2) > 0}, "`legal` must be"),
        ({"legal": torch.tensor([False, True, False])}, "no token is legal"),
    ],
)
def test_impossible_texts_are_refused(changed: dict[str, Any], said: str) -> None:
    settings: dict[str, Any] = {"vocabulary": 3, "stop": 1, "max_length": 2, "reward": REWARD}
    with pytest.raises(ConfigError, match=said):
        TokenEnvironment(**{**settings, **changed})

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import (
    AnyOrder,
    Autoregressive,
    PrependAppend,
    SequenceEnvironment,
    VariableLength,
)
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.objectives import (
    DetailedBalance,
    ModifiedDetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.testing import all_trajectories, check_env
from gflow.training.trainer import TrainConfig, Trainer

KINDS = [Autoregressive, VariableLength, PrependAppend, AnyOrder]


def uneven(states: Tensor) -> Tensor:
    """No two strings of one kind have a simple relation of rewards."""
    weight = torch.arange(1, states.shape[1] + 1, dtype=torch.get_default_dtype())
    return ((states + 1).double().sqrt() * weight).sum(-1).sin()


REWARD: Any = FunctionReward(uneven)


@pytest.mark.slow
@given(
    kind=st.sampled_from(KINDS),
    symbols=st.integers(1, 3),
    length=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_contract_holds(kind: Any, symbols: int, length: int, seed: int) -> None:
    options: dict[str, Any] = {}
    generator = torch.Generator().manual_seed(seed)
    if kind is VariableLength:
        options["min_length"] = seed % (length + 1)
    elif kind is not PrependAppend:
        allowed = torch.rand(length, symbols, generator=generator) < 0.6
        allowed[:, 0] |= ~allowed.any(1)
        options["allowed"] = allowed
    checked = check_env(kind("xyz"[:symbols], length, REWARD, **options))
    assert checked.exhaustive


@pytest.mark.parametrize("kind", KINDS)
def test_long_sequences_have_no_keys_and_still_keep_the_contract(kind: Any) -> None:
    env = kind("ACGU", 40, REWARD)
    assert not env.has_keys
    assert env.num_keys is None
    assert env.all_states() is None
    check_env(env, examples=4)


@pytest.mark.parametrize("kind", [Autoregressive, VariableLength, PrependAppend, AnyOrder])
def test_keys_have_no_gaps_and_list_all_states(kind: Any) -> None:
    env = kind("abc", 4, REWARD)
    listed = env.all_states()
    assert torch.equal(env.key(listed), torch.arange(env.num_keys))
    graph = enumerate_states(env)
    assert len(graph) == env.num_keys
    assert torch.equal(env.key(graph.states).sort().values, torch.arange(env.num_keys))


def test_numbers_of_states_and_objects() -> None:
    for kind, states, objects in [
        (Autoregressive, 1 + 3 + 9 + 27, 27),
        (PrependAppend, 1 + 3 + 9 + 27, 27),
        (VariableLength, 1 + 3 + 9 + 27, 40),
        (AnyOrder, 4**3, 27),
    ]:
        graph = enumerate_states(kind("abc", 3, REWARD))
        assert (len(graph), len(graph.objects)) == (states, objects), kind


@pytest.mark.parametrize("min_length", range(4))
def test_objects_have_the_lengths_allowed(min_length: int) -> None:
    env = VariableLength("ab", 3, REWARD, min_length)
    graph = enumerate_states(env)
    lengths = env.filled(graph.states[graph.objects])
    assert torch.bincount(lengths, minlength=4).tolist() == [
        2**size if size >= min_length else 0 for size in range(4)
    ]


def test_prepend_append_against_strings() -> None:
    env = PrependAppend("ab", 4, REWARD)
    graph = enumerate_states(env)
    names = [text.replace("_", "") for text in env.show(graph.states)]
    found = {(names[i], names[j]) for i, j in zip(graph.parent, graph.child, strict=True)}
    expected = {
        (text, child)
        for size in range(4)
        for text in map("".join, itertools.product("ab", repeat=size))
        for letter in "ab"
        for child in (text + letter, letter + text)
    }
    assert found == expected
    assert len(graph.parent) == len(expected)  # no transition twice


def test_any_order_builds_a_word_in_as_many_ways_as_there_are_orders() -> None:
    env = AnyOrder("ab", 4, REWARD)
    graph = enumerate_states(env)
    ways = graph.log_num_trajectories()[graph.objects].exp()
    torch.testing.assert_close(ways, torch.full_like(ways, 24))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", [TrajectoryBalance, DetailedBalance, SubTrajectoryBalance])
def test_residuals_vanish_at_the_exact_flows(kind: Any, objective: Any) -> None:
    env = kind("ab", 3, REWARD)
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    loss = objective(log_z=flows.log_z) if objective is TrajectoryBalance else objective()
    batch = all_trajectories(env)
    residual = loss.residual(evaluate(env, policy, batch, loss.needs))
    assert residual.abs().max() < 1e-9
    torch.testing.assert_close(graph.terminal_distribution(policy), graph.log_target())
    with torch.no_grad():
        policy.forward_table[0, 0] += 0.1
    assert loss.residual(evaluate(env, policy, batch, loss.needs)).abs().max() > 1e-3


def test_modified_balance_on_variable_length() -> None:
    env = VariableLength("ab", 3, REWARD)
    graph = enumerate_states(env)
    policy = TabularPolicy.solved(graph, graph.exact_flows())
    loss = ModifiedDetailedBalance()
    assert loss.refusal(env) is None
    terms = evaluate(env, policy, all_trajectories(env), loss.needs)
    assert loss.residual(terms).abs().max() < 1e-9
    assert ModifiedDetailedBalance.refusal(VariableLength("ab", 3, REWARD, min_length=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", [TrajectoryBalance, DetailedBalance])
@pytest.mark.slow
def test_training_reaches_the_law(kind: Any, objective: Any) -> None:
    torch.manual_seed(0)
    env = kind("abc", 3, FunctionReward(lambda states: 2 * uneven(states)))
    policy = MLPPolicy(env, width=64, log_flow=objective.needs.log_flow)
    config = TrainConfig(batch_size=64, lr=3e-3, steps=500, lr_half_life=150)
    Trainer(env, policy, objective(), config).train()
    graph = enumerate_states(env)
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.04


@pytest.mark.parametrize("kind", KINDS)
def test_plans_build_the_same_kind_of_objects(kind: Any) -> None:
    env = kind("abcd", 6, REWARD)
    policy = MLPPolicy(env, width=8)
    generator = torch.Generator().manual_seed(0)
    for plan in ("ragged", "static"):
        batch = Sampler(env, plan).forward(policy, 50, generator=generator)
        assert bool(env.can_end(batch.final_states).all())
        back = Sampler(env, plan).backward(policy, batch.final_states, generator=generator)
        assert torch.equal(back.final_states, batch.final_states)


def test_alphabet_round_trip_and_names() -> None:
    dna = Alphabet("ACGT")
    tokens = dna.encode(["GATT", "C"], 5)
    assert tokens.tolist() == [[2, 0, 3, 3, 4], [1, 4, 4, 4, 4]]
    assert dna.decode(tokens) == ["GATT", "C"]
    blocks = Alphabet(["C=O", "N"])
    assert blocks.decode(blocks.encode(["N C=O N"])) == ["N C=O N"]
    env = AnyOrder(blocks, 2, REWARD)
    assert env.show(env.step(env.initial(1), torch.tensor([2]))) == ["_ C=O"]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="distinct"):
        Alphabet("AA")
    with pytest.raises(ConfigError, match="'X' is no symbol"):
        Alphabet("AC").encode(["AX"])
    with pytest.raises(ConfigError, match="longer than 2"):
        Alphabet("AC").encode(["AAC"], 2)
    with pytest.raises(ConfigError, match="Autoregressive: length must be at least 1"):
        Autoregressive("AC", 0, REWARD)
    with pytest.raises(ConfigError, match=r"min_length must lie in 0 \.\.\. 3, got 4"):
        VariableLength("AC", 3, REWARD, min_length=4)
    with pytest.raises(ConfigError, match=r"\(3, 2\) bool"):
        AnyOrder("AC", 3, REWARD, allowed=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ConfigError, match="with a symbol for every place"):
        AnyOrder("AC", 1, REWARD, allowed=torch.zeros(1, 2, dtype=torch.bool))


def test_large_batches_fit() -> None:
    env: SequenceEnvironment = AnyOrder("ACDEFGHIKLMNPQRSTVWY", 20, REWARD)
    states = env.initial(4096)
    for place in range(20):
        assert env.forward_mask(states).shape == (4096, 400)
        states = env._step(states, torch.full((4096,), 20 * place + place))
    assert torch.equal(states, torch.arange(20).expand(4096, -1))

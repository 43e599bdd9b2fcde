"""Small molecules as chains of five blocks, with a complete table of predicted properties."""

from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import SequenceEnvironment
from gflow.envs.sequences.rewards import measured_sequences
from gflow.errors import ConfigError, MissingExtraError
from gflow.readers.pickled_arrays import numpy_names
from gflow.readers.plain_pickle import LARGEST, load_plain

LENGTH = 5
BLOCKS = (
    ("C", 0, 0),
    ("O", 0, 0),
    ("N", 0, 0),
    ("CF", 0, 0),
    ("C=O", 0, 0),
    ("C=C", 0, 1),
    ("C#C", 0, 1),
    ("c1ccccc1", 0, 3),
    ("C1CCCCC1", 0, 3),
    ("C1CCNC1", 0, 2),
    ("CCC", 0, 0),
)
"""SMILES of a block, the atom bonded to the block before, and the one bonded to the next."""

DIGITS = "0123456789a"

WHERE = (
    "The table maps strings of five digits 0 ... 9, a (one per block) to numbers and is pickled "
    "with numpy. It lies in the MIT-licensed repository d-tiapkin/gfnx as "
    "proxy/weights/qm9_small/block_qm9str_v1_s5.pkl."
)


def load_qm9_table(path: str | Path) -> Tensor:
    """(161051,) float64 values of all chains of five blocks; the first block is the first digit.

    The pickle is read as data: nothing that it names is called.

    Args:
        path: The file.

    Raises:
        ConfigError: The file is missing, incomplete, or no such pickle. The message says where
            such files come from.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no QM9 table at {path}. {WHERE}")
    try:
        with path.open("rb") as file:
            table = load_plain(file.read(LARGEST + 1), numpy_names())
        index = [int(word, len(DIGITS)) for word in table]
        found = torch.tensor([float(value) for value in table.values()], dtype=torch.float64)
    except Exception as error:  # a damaged pickle may raise anything
        raise ConfigError(f"{path} cannot be read as a QM9 table: {error}. {WHERE}") from error
    size = len(DIGITS) ** LENGTH
    if sorted(index) != list(range(size)):
        raise ConfigError(f"{path} has {len(index)} chains; all {size} are needed. {WHERE}")
    return torch.empty(size, dtype=torch.float64).index_put((torch.tensor(index),), found)


def qm9_chains(
    values: Tensor,
    order: str = "prepend_append",
    beta: float = 5.0,
    peak: float = 100.0,
    floor: float = 1e-3,
) -> SequenceEnvironment:
    """Chains of five blocks, :math:`R = peak (max(y, floor) / max y)^beta`.

    Args:
        values: (161051,) from `load_qm9_table`.
        order: "prepend_append", "left_to_right" or "any".
        beta: Exponent.
        peak: Largest reward.
        floor: Smallest value before exponentiation.
    """
    names = Alphabet([smiles for smiles, _, _ in BLOCKS])
    return measured_sequences(names, LENGTH, values, order, beta, peak, floor)


def chain_smiles(blocks: list[int]) -> str:
    """SMILES of a chain: each block is bonded by its first atom to the last one of the chain.

    Raises:
        MissingExtraError: RDKit is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError as error:
        raise MissingExtraError("rdkit", "mol", "SMILES of chains of blocks") from error
    molecule, end = Chem.RWMol(), -1
    for block in blocks:
        smiles, first, last = BLOCKS[block]
        size = molecule.GetNumAtoms()
        molecule.InsertMol(Chem.MolFromSmiles(smiles))
        if size:
            molecule.AddBond(end, size + first, Chem.BondType.SINGLE)
        end = size + last
    molecule.UpdatePropertyCache(strict=False)
    return str(Chem.MolToSmiles(molecule))

"""The learned docking score of soluble epoxide hydrolase (sEH) of the first GFlowNet paper."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.envs.molecules.extras import MoleculeError, rdkit
from gflow.errors import ConfigError
from gflow.readers.pickled_arrays import content, numpy_names
from gflow.readers.plain_pickle import LARGEST, load_plain

WIDTH, STEPS, READS = 64, 12, 3
ELEMENTS, FEATURES = 56, 71
SMALL = {1: 0, 6: 1, 7: 2, 8: 3, 9: 4}
"""Columns of H, C, N, O, F; all other elements share the next one."""

SHAPES = {
    0: (WIDTH, FEATURES),
    1: (WIDTH,),
    2: (WIDTH, WIDTH),
    3: (WIDTH,),
    4: (128, 4),
    5: (128,),
    6: (WIDTH**2, 128),
    7: (WIDTH**2,),
    **dict.fromkeys((8, 9), (3 * WIDTH, WIDTH)),
    **dict.fromkeys((10, 11), (3 * WIDTH,)),
    16: (4 * WIDTH, 2 * WIDTH),
    17: (4 * WIDTH, WIDTH),
    **dict.fromkeys((18, 19), (4 * WIDTH,)),
    20: (1, 2 * WIDTH),
    21: (1,),
}
"""Shapes of the arrays in the file by their place; 12 ... 15 belong to heads that are not used."""

WHERE = (
    "The weights are a gzipped pickle of 22 numpy arrays. They lie in the MIT-licensed repository "
    "GFNOrg/gflownet as mols/data/pretrained_proxy/best_params.pkl.gz."
)


@dataclass(frozen=True)
class SehProxy:
    r"""Predicted binding to soluble epoxide hydrolase, :math:`\max(y, floor) / 8`.

    y is the output of a message-passing network that was trained on docking scores; it imitates
    docking, not measured affinity. Good molecules have about 1, and more is possible.

    Attributes:
        path: The file of weights, read once per process.
        floor: Smallest output that counts, in units of y.

    Raises:
        ConfigError: The file is missing or is not the one meant; the message says where it lies.

    Reference:
        Bengio et al., Flow network based generative models for non-iterative diverse candidate
        generation, 2021, https://arxiv.org/abs/2106.04399
    """

    path: str
    floor: float = 0.1

    name: ClassVar[str] = "seh"

    def __post_init__(self) -> None:
        """Read the weights, and refuse a floor that is negative."""
        if not self.floor >= 0:
            raise ConfigError(f"SehProxy: floor must not be negative, got {self.floor}.")
        _network(str(self.path))

    def __call__(self, molecule: Any) -> float:
        """At least `floor` / 8, of one RDKit molecule."""
        return max(float(self.outputs([molecule])[0]), self.floor) / 8.0

    def outputs(self, molecules: Sequence[Any]) -> Tensor:
        """(B,) float32 outputs y of the network for B RDKit molecules, in one pass."""
        return _network(str(self.path))(*graphs_of(molecules))


def graphs_of(molecules: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """B molecules as one graph of M atoms, and E directed bonds.

    An atom has 71 numbers: which of H, C, N, O, F or another it is (6 columns), three unused,
    aromatic, sp, sp2, sp3, its hydrogens, its element among the first 56, and one unused.

    Returns:
        (M, 71) float32 features, (M,) int64 molecule of each atom, and (3, E) int64 source,
        target and kind of each bond: 0 single, 1 double, 2 triple, 3 aromatic, and 4 for
        the loop at the atom of a molecule without bonds.

    Raises:
        MoleculeError: An element beyond barium, a dummy atom, a bond of another kind, or no atom.
    """
    chem = rdkit()
    kinds = {
        chem.BondType.SINGLE: 0,
        chem.BondType.DOUBLE: 1,
        chem.BondType.TRIPLE: 2,
        chem.BondType.AROMATIC: 3,
    }
    hybrids = {
        chem.HybridizationType.SP: 10,
        chem.HybridizationType.SP2: 11,
        chem.HybridizationType.SP3: 12,
    }
    filled: list[tuple[int, int, float]] = []
    row: list[int] = []
    bonds: list[tuple[int, int, int]] = []
    for number, molecule in enumerate(molecules):
        first = len(row)
        for at, atom in enumerate(molecule.GetAtoms(), first):
            z = atom.GetAtomicNum()
            if not 1 <= z <= ELEMENTS:
                raise MoleculeError(
                    f"SehProxy: {chem.MolToSmiles(molecule)} has an atom {atom.GetSymbol()}; the "
                    f"network knows the elements from hydrogen to barium."
                )
            filled += [(at, SMALL.get(z, 5), 1.0), (at, 13 + z, 1.0)]
            filled += [(at, 9, float(atom.GetIsAromatic()))]
            filled += [(at, 13, float(atom.GetTotalNumHs(includeNeighbors=True)))]
            if atom.GetHybridization() in hybrids:
                filled.append((at, hybrids[atom.GetHybridization()], 1.0))
            row.append(number)
        if len(row) == first:
            raise MoleculeError("SehProxy: a molecule without atoms has no score.")
        before = len(bonds)
        for bond in molecule.GetBonds():
            if bond.GetBondType() not in kinds:
                raise MoleculeError(
                    f"SehProxy: {chem.MolToSmiles(molecule)} has a bond {bond.GetBondType()}; the "
                    f"network knows single, double, triple and aromatic bonds."
                )
            a, b = first + bond.GetBeginAtomIdx(), first + bond.GetEndAtomIdx()
            kind = kinds[bond.GetBondType()]
            bonds += [(a, b, kind), (b, a, kind)]
        if len(bonds) == before:
            bonds.append((first, first, 4))
    place, column, value = zip(*filled, strict=True)
    features = torch.zeros(len(row), FEATURES, dtype=torch.float32)
    features[list(place), list(column)] = torch.tensor(value, dtype=torch.float32)
    return features, torch.tensor(row), torch.tensor(bonds).T


class SehNetwork:
    """Twelve rounds of one convolution and one recurrent cell, and an attentive reading of all.

    A message over a bond is the source's features times a matrix that depends on the kind of the
    bond alone, so the network that makes these matrices runs when the weights are read, not here.

    Args:
        arrays: The 22 arrays in the order of the file; see `SHAPES`.
    """

    def __init__(self, arrays: Sequence[Tensor]) -> None:
        a = arrays
        self.lift, self.bias, self.out = (a[0], a[1]), a[3], (a[20], a[21])
        self.gru, self.lstm = tuple(a[8:12]), tuple(a[16:20])
        kinds = torch.cat([torch.eye(4), torch.zeros(1, 4)]).to(a[4])
        made = F.linear(F.leaky_relu(F.linear(kinds, a[4], a[5])), a[6], a[7])
        made = made.view(5, WIDTH, WIDTH)
        # What an atom sends over each kind of bond, and last what it keeps, by one product.
        self.send = torch.cat([made, a[2].T[None]]).transpose(0, 1).reshape(WIDTH, 6 * WIDTH)

    @torch.inference_mode()
    def __call__(self, features: Tensor, row: Tensor, bonds: Tensor) -> Tensor:
        """(B,) outputs; the arguments are those that `graphs_of` returns."""
        source, target, kind = bonds
        sent = source * 6 + kind
        degree = torch.bincount(target, minlength=len(row)).clamp(min=1)[:, None]
        x = F.leaky_relu(F.linear(features, *self.lift))
        for _ in range(STEPS):
            ready = x @ self.send
            kept = ready[:, 5 * WIDTH :] + self.bias
            arriving = ready.view(-1, WIDTH)[sent]
            mean = torch.zeros_like(x).index_add_(0, target, arriving) / degree
            x = torch.gru_cell(F.leaky_relu(mean + kept), x, *self.gru)
        out: Tensor = F.linear(self._read(x, row), *self.out).squeeze(1)
        return out

    def _read(self, x: Tensor, row: Tensor) -> Tensor:
        """(B, 2 WIDTH) what an LSTM asks and what the atoms that answer best have (Set2Set)."""
        size = int(row[-1]) + 1
        state = (x.new_zeros(size, WIDTH), x.new_zeros(size, WIDTH))
        seen = x.new_zeros(size, 2 * WIDTH)
        for _ in range(READS):
            state = torch.lstm_cell(seen, state, *self.lstm)
            score = (x * state[0][row]).sum(1)
            top = score.new_full((size,), -torch.inf).scatter_reduce_(0, row, score, "amax")
            weight = (score - top[row]).exp()
            total = weight.new_zeros(size).index_add_(0, row, weight)
            answer = torch.zeros_like(state[0]).index_add_(0, row, weight[:, None] * x)
            seen = torch.cat([state[0], answer / total[:, None]], 1)
        return seen


def load_seh_weights(path: str | Path) -> list[Tensor]:
    """The 22 float32 arrays of the published file.

    The pickle is read as data: nothing that it names is called.

    Raises:
        ConfigError: The file is missing, or does not hold these arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no file of sEH weights at {path}. {WHERE}")
    try:
        with gzip.open(path) as file:
            found = load_plain(file.read(LARGEST + 1), numpy_names())
        arrays = [torch.tensor(content(a), dtype=torch.float32) for a in found]
    except Exception as error:  # a damaged pickle may raise anything
        raise ConfigError(f"{path} cannot be read as sEH weights: {error}. {WHERE}") from error
    if len(arrays) != 22:
        raise ConfigError(f"{path} holds {len(arrays)} arrays, not 22. {WHERE}")
    for place, shape in SHAPES.items():
        if tuple(arrays[place].shape) != shape:
            raise ConfigError(
                f"{path}: array {place} has shape {tuple(arrays[place].shape)}, not {shape}. "
                f"{WHERE}"
            )
    return arrays


@cache
def _network(path: str) -> SehNetwork:
    return SehNetwork(load_seh_weights(path))

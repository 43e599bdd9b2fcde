"""The learned docking score of soluble epoxide hydrolase (sEH) of the first GFlowNet paper."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.envs.molecules.extras import MoleculeError, rdkit
from gflow.errors import ConfigError
from gflow.readers.pickled_arrays import content, numpy_names
from gflow.readers.plain_pickle import LARGEST, load_plain

WIDTH, STEPS, READS = 64, 12, 3
ELEMENTS, FEATURES = 56, 71
_COLUMN = [{1: 0, 6: 1, 7: 2, 8: 3, 9: 4}.get(z, 5) for z in range(ELEMENTS + 1)]
"""Columns of H, C, N, O, F; all other elements share the next one."""

ALONE = 16
"""Products of fewer rows than this may be computed in another way, with other last bits."""

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
        return self.many([molecule])[0]

    def many(self, molecules: Sequence[Any]) -> list[float]:
        """Of several molecules in one pass, to the last bit what each alone has."""
        return [max(y, self.floor) / 8.0 for y in self.outputs(molecules).tolist()]

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
    adjacency = rdkit().GetAdjacencyMatrix
    elements: list[int] = []
    aromatic: list[bool] = []
    hydrogens: list[int] = []
    hybrids: list[int] = []
    sizes: list[int] = []
    ends: list[Any] = []
    orders: list[Any] = []
    first = 0
    for molecule in molecules:
        size = molecule.GetNumAtoms()
        atoms = [molecule.GetAtomWithIdx(i) for i in range(size)]  # far quicker than GetAtoms
        elements += [atom.GetAtomicNum() for atom in atoms]
        aromatic += [atom.GetIsAromatic() for atom in atoms]
        hydrogens += [atom.GetTotalNumHs(includeNeighbors=True) for atom in atoms]
        hybrids += [int(atom.GetHybridization()) for atom in atoms]
        _refuse(molecule, elements[len(elements) - size :])
        matrix = adjacency(molecule, useBO=True)
        found = matrix.nonzero()
        bonded = len(found[0]) > 0
        ends.append(np.stack(found) + first if bonded else np.full((2, 1), first))
        orders.append(matrix[found] if bonded else np.zeros(1))
        sizes.append(size)
        first += size
    z = torch.tensor(elements)
    features = torch.zeros(len(z), FEATURES, dtype=torch.float32)
    at = torch.arange(len(z))
    features[at, torch.tensor(_COLUMN)[z]] = 1.0
    features[:, 9] = torch.tensor(aromatic).float()
    features[:, 13] = torch.tensor(hydrogens).float()
    features[at, 13 + z] = 1.0
    shape = torch.tensor(_hybrid_columns())[torch.tensor(hybrids)]
    features[at[shape > 0], shape[shape > 0]] = 1.0
    row = torch.repeat_interleave(torch.tensor(sizes))
    bonds = torch.from_numpy(np.concatenate(ends, 1))
    # Orders 1, 2, 3 and 1.5, and 0 at a loop.
    kind = torch.tensor([4, 4, 0, 3, 1, 1, 2])[torch.from_numpy(np.concatenate(orders) * 2).long()]
    return features, row, torch.cat([bonds, kind[None]])


def _refuse(molecule: Any, elements: Sequence[int]) -> None:
    """Refuse what the network does not know."""
    if not elements:
        raise MoleculeError("SehProxy: a molecule without atoms has no score.")
    if not 1 <= min(elements) <= max(elements) <= ELEMENTS:
        bad = next(i for i, z in enumerate(elements) if not 1 <= z <= ELEMENTS)
        raise MoleculeError(
            f"SehProxy: {rdkit().MolToSmiles(molecule)} has an atom "
            f"{molecule.GetAtomWithIdx(bad).GetSymbol()}; the network knows the elements from "
            f"hydrogen to barium."
        )
    odd = molecule.GetSubstructMatch(_odd_bond())
    if odd:
        kind = molecule.GetBondBetweenAtoms(*odd).GetBondType()
        raise MoleculeError(
            f"SehProxy: {rdkit().MolToSmiles(molecule)} has a bond {kind}; the network knows "
            f"single, double, triple and aromatic bonds."
        )


@cache
def _odd_bond() -> Any:
    return rdkit().MolFromSmarts("*!-;!=;!#;!:*")


@cache
def _hybrid_columns() -> list[int]:
    """For each hybridization of RDKit, as a number, the column of sp, sp2 or sp3, or 0."""
    kinds = rdkit().HybridizationType
    known = {int(kinds.SP): 10, int(kinds.SP2): 11, int(kinds.SP3): 12}
    return [known.get(number, 0) for number in range(max(map(int, kinds.values)) + 1)]


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
        self.lstm = tuple(a[16:20])
        # The rows of a recurrent cell: reset, update (with one bias for both sides), new.
        gates = 2 * WIDTH
        self.arrived, self.gate_bias = a[8].T.contiguous(), (a[10] + a[11])[:gates]
        self.new_bias, self.old_bias = a[10][gates:], a[11][gates:]
        # What an atom keeps, and what the cell makes of its state, by one product.
        self.own = torch.cat([a[2].T, a[9].T], 1)
        kinds = torch.cat([torch.eye(4), torch.zeros(1, 4)]).to(a[4])
        made = F.linear(F.leaky_relu(F.linear(kinds, a[4], a[5])), a[6], a[7])
        self.send = made.view(5, WIDTH, WIDTH)

    @torch.inference_mode()
    def __call__(self, features: Tensor, row: Tensor, bonds: Tensor) -> Tensor:
        """(B,) outputs; the arguments are those that `graphs_of` returns.

        What a molecule gets does not depend on the others: all that mixes rows is sums over the
        atoms of one molecule, in their order, and products of many rows with the same weights.
        """
        atoms, size = len(row), int(row[-1]) + 1
        senders, sent, first = _routes(bonds, atoms)
        x = F.leaky_relu(F.linear(_many(features), *self.lift))
        for _ in range(STEPS):
            messages = torch.cat([x[rows] @ self.send[kind] for kind, rows in senders])
            mean = F.embedding_bag(sent, messages, first, mode="mean")
            own = x @ self.own
            own[:, :WIDTH].add_(self.bias)[:atoms].add_(mean)
            x = self._cell(F.leaky_relu(own[:, :WIDTH]) @ self.arrived, own[:, WIDTH:], x)
        out: Tensor = F.linear(self._read(x[:atoms], row, size), *self.out).squeeze(1)
        return out[:size]

    def _cell(self, new: Tensor, old: Tensor, x: Tensor) -> Tensor:
        """(M, WIDTH) the next state, from (M, 3 WIDTH) of the message and of the state."""
        gates = 2 * WIDTH
        reset, keep = (
            new[:, :gates].add_(old[:, :gates]).add_(self.gate_bias).sigmoid_().chunk(2, 1)
        )
        fresh = torch.addcmul(new[:, gates:] + self.new_bias, reset, old[:, gates:] + self.old_bias)
        # The hyperbolic tangent, by a function that is three times as fast here.
        fresh = fresh.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)
        return torch.addcmul(fresh, keep, x - fresh)

    def _read(self, x: Tensor, row: Tensor, size: int) -> Tensor:
        """(>= B, 2 WIDTH) what an LSTM asks and what the atoms that answer best have (Set2Set)."""
        size = max(size, ALONE)
        state = (x.new_zeros(size, WIDTH), x.new_zeros(size, WIDTH))
        seen = x.new_zeros(size, 2 * WIDTH)
        for _ in range(READS):
            state = torch.lstm_cell(seen, state, *self.lstm)
            score = (x * state[0][row]).sum(1)
            top = score.new_full((size,), -torch.inf).scatter_reduce_(0, row, score, "amax")
            weight = (score - top[row]).exp()
            total = weight.new_zeros(size).index_add_(0, row, weight)
            answer = torch.zeros_like(state[0]).index_add_(0, row, weight[:, None] * x)
            seen = torch.cat([state[0], answer / total.clamp(min=1.0)[:, None]], 1)
        return seen


def _many(rows: Tensor) -> Tensor:
    """At least `ALONE` rows, zeros at the end."""
    return F.pad(rows, (0, 0, 0, max(ALONE - len(rows), 0)))


def _routes(bonds: Tensor, atoms: int) -> tuple[list[tuple[int, Tensor]], Tensor, Tensor]:
    """How messages go: what is sent, and what of it arrives where.

    Returns:
        For each kind of bond the atoms that send over it, at least `ALONE` of them; (E,) which of
        these messages arrive, listed by target; and (M,) where the list of each atom begins.
    """
    source, target, kind = bonds
    pairs, place = (kind * atoms + source).unique(return_inverse=True)
    senders: list[tuple[int, Tensor]] = []
    shift, begun = torch.zeros(5, dtype=torch.int64), 0
    for number, count in enumerate(torch.bincount(pairs // atoms, minlength=5).tolist()):
        if not count:
            continue
        rows = pairs[begun : begun + count] % atoms
        shift[number] = sum(len(r) for _, r in senders) - begun
        senders.append((number, F.pad(rows, (0, max(ALONE - count, 0)))))
        begun += count
    order = target.argsort(stable=True)
    degree = torch.bincount(target, minlength=atoms)
    return senders, (place + shift[kind])[order], degree.cumsum(0) - degree


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

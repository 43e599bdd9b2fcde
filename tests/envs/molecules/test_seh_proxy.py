"""The sEH network against an independent evaluation, and against published values."""

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gflow.envs.molecules import Goal, MoleculeError, Molecules, SehProxy, Vocabulary
from gflow.envs.molecules.proxy import SHAPES, SehNetwork, graphs_of, load_seh_weights
from gflow.errors import ConfigError

Chem = pytest.importorskip("rdkit.Chem")
FILE = (
    Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    / "seh_proxy_bengio2021.pkl.gz"
)
UREA = "O=C(Nc1ccc(OC(F)(F)F)cc1)NC1CCNCC1"
SMILES = ["CC(=O)Oc1ccccc1C(=O)O", UREA, "N#CCBr", "C", "[Na+].[Cl-]", "C[N+](C)(C)CC=C.[I-]"]


def synthetic(seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Random arrays in the format of the file, of about the size of real ones."""
    random = np.random.default_rng(seed)
    shapes = [SHAPES.get(i, (2, 3)) for i in range(22)]
    return [(random.normal(size=s) * 0.5 / s[-1] ** 0.5).astype(np.float32) for s in shapes]


def write(path: Path, content: object) -> str:
    with gzip.open(path, "wb") as file:
        pickle.dump(content, file)
    return str(path)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return write(tmp_path / "weights.pkl.gz", synthetic())


@torch.no_grad()
def one_by_one(arrays: list[Tensor], smiles: str) -> float:
    """The same network written the long way: one molecule, a matrix per bond, modules of torch."""
    a = [x.double() for x in arrays]
    molecule = Chem.MolFromSmiles(smiles)
    hybrid = [Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3]
    kinds = [Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE]
    rows = []
    for atom in molecule.GetAtoms():
        kind = [atom.GetSymbol() == s for s in ("H", "C", "N", "O", "F")]
        kind.append(not any(kind))
        shape = [atom.GetHybridization() == h for h in hybrid]
        element = [atom.GetAtomicNum() == z for z in range(1, 57)]
        hydrogens = atom.GetTotalNumHs(includeNeighbors=True)
        rows.append([*kind, 0, 0, 0, atom.GetIsAromatic(), *shape, hydrogens, *element, 0])
    x = torch.nn.functional.leaky_relu(torch.tensor(rows).double() @ a[0].T + a[1])
    arrows = []
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        code = [float(bond.GetBondType() == k) for k in kinds] + [float(bond.GetIsAromatic())]
        arrows += [(*ends, code), (*ends[::-1], code)]
    arrows = arrows or [(0, 0, [0.0] * 4)]
    gru, lstm = nn.GRU(64, 64), nn.LSTM(128, 64)
    for module, start in ((gru, 8), (lstm, 16)):
        for parameter, value in zip(module.parameters(), a[start : start + 4], strict=True):
            parameter.data = value
    for _ in range(12):
        inbox: list[list[Tensor]] = [[] for _ in rows]
        for source, target, code in arrows:
            hidden = torch.nn.functional.leaky_relu(a[4] @ torch.tensor(code).double() + a[5])
            inbox[target].append(x[source] @ (a[6] @ hidden + a[7]).view(64, 64))
        mean = [torch.stack(m).mean(0) if m else torch.zeros(64) for m in inbox]
        message = torch.nn.functional.leaky_relu(torch.stack(mean) + x @ a[2].T + a[3])
        x = gru(message[None], x[None])[0][0]
    seen, state = torch.zeros(1, 1, 128), None
    for _ in range(3):
        asked, state = lstm(seen, state)
        answer = ((x @ asked[0, 0]).softmax(0)[:, None] * x).sum(0)
        seen = torch.cat([asked[0, 0], answer])[None, None]
    return float(seen[0, 0] @ a[20][0] + a[21][0])


def test_columns_of_the_features() -> None:
    features, row, bonds = graphs_of([Chem.MolFromSmiles(s) for s in ("N#CBr", "C")])
    assert row.tolist() == [0, 0, 0, 1]
    n, c, br, methane = (set(f.nonzero().flatten().tolist()) for f in features)
    assert [n, c, br] == [{2, 10, 13 + 7}, {1, 10, 13 + 6}, {5, 12, 13 + 35}]
    assert methane == {1, 12, 13, 13 + 6}
    assert features[3, 13] == 4
    assert bonds.T.tolist() == [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [3, 3, 4]]


@pytest.mark.parametrize("smiles", SMILES)
def test_agrees_with_the_long_way(weights: str, smiles: str) -> None:
    proxy = SehProxy(weights)
    got = float(proxy.outputs([Chem.MolFromSmiles(smiles)])[0])
    assert got == pytest.approx(one_by_one(load_seh_weights(weights), smiles), abs=1e-5)


def test_molecules_in_one_pass_do_not_touch(weights: str) -> None:
    molecules = [Chem.MolFromSmiles(s) for s in SMILES]
    together = SehProxy(weights).outputs(molecules)
    alone = torch.cat([SehProxy(weights).outputs([m]) for m in molecules])
    assert torch.equal(together, alone)
    some = SehProxy(weights).outputs([molecules[i] for i in (3, 1, 1, 0)])
    assert torch.equal(some, together[[3, 1, 1, 0]])
    assert alone.unique().numel() == len(SMILES)
    assert together.dtype == torch.float32


def test_goals_ask_for_all_molecules_at_once(weights: str) -> None:
    molecules = [Chem.MolFromSmiles(s) for s in SMILES]
    proxy, asked = SehProxy(weights), []
    one = Goal((proxy, "qed")).measure(molecules[:1], SMILES[:1])[0]

    class Counting(SehProxy):
        def many(self, molecules: Any) -> list[float]:
            asked.append(len(molecules))
            return super().many(molecules)

    rows = Goal((Counting(weights), "qed")).measure(molecules, SMILES)
    assert asked == [len(SMILES)]
    assert rows[0] == one
    assert [row[0] for row in rows] == [proxy(molecule) for molecule in molecules]


def test_value_is_an_eighth_and_floored(weights: str) -> None:
    molecule = Chem.MolFromSmiles(UREA)
    output = float(SehProxy(weights).outputs([molecule])[0])
    low, high = SehProxy(weights, floor=0.0), SehProxy(weights, floor=abs(output) + 1)
    assert low(molecule) == pytest.approx(max(output, 0.0) / 8)
    assert high(molecule) == pytest.approx((abs(output) + 1) / 8)


@pytest.mark.slow
def test_rewards_in_workers_equal_those_here(weights: str) -> None:
    goal = Goal((f"seh:{weights}", "qed"))
    assert goal.names == ("seh", "qed")
    assert goal.properties[0] == SehProxy(weights)
    assert pickle.loads(pickle.dumps(goal)) == goal
    vocabulary = Vocabulary.from_fragments(["*C", "*c1ccc(*)cc1", "*O*"])
    values = []
    for workers in (0, 1):
        env = Molecules(vocabulary, goal, max_fragments=3, workers=workers)
        states = env.states_from_smiles(["COC", "Cc1ccc(C)cc1"])
        values.append(env.reward_values(states))
        env.close()
    assert torch.equal(*values)


@pytest.mark.parametrize("smiles", ["[U]", "*C", "[Fe]<-N"])
def test_what_the_network_does_not_know(weights: str, smiles: str) -> None:
    with pytest.raises(MoleculeError, match="the network knows"):
        SehProxy(weights)(Chem.MolFromSmiles(smiles))


def test_no_atoms(weights: str) -> None:
    with pytest.raises(MoleculeError, match="without atoms"):
        SehProxy(weights)(Chem.MolFromSmiles(""))


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file of sEH weights at .*GFNOrg/gflownet"):
        Goal((f"seh:{tmp_path / 'none'}",))
    evil = write(tmp_path / "evil", [np.zeros(1), print])
    with pytest.raises(ConfigError, match=r"asks for builtins\.print, which no table needs"):
        SehProxy(evil)
    short = write(tmp_path / "short", synthetic()[:5])
    with pytest.raises(ConfigError, match="holds 5 arrays, not 22"):
        SehProxy(short)
    arrays = synthetic()
    arrays[8] = arrays[8].T
    with pytest.raises(ConfigError, match=r"array 8 has shape \(64, 192\), not \(192, 64\)"):
        SehProxy(write(tmp_path / "turned", arrays))
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(ConfigError, match="cannot be read as sEH weights"):
        SehProxy(str(tmp_path / "text"))
    with pytest.raises(ConfigError, match="floor must not be negative"):
        SehProxy(write(tmp_path / "fine", synthetic()), floor=-1.0)


@pytest.mark.skipif(not FILE.is_file(), reason="needs the published weights")
def test_published_values() -> None:
    proxy = SehProxy(str(FILE))
    adamantyl = "O=C(NC1CCCCC1)NC12CC3CC(CC(C3)C1)C2"
    molecules = [Chem.MolFromSmiles(s) for s in (SMILES[0], UREA, adamantyl)]
    got = proxy.outputs(molecules)
    torch.testing.assert_close(got, torch.tensor([2.490, 4.719, 3.847]).float(), atol=1e-3, rtol=0)
    arrays = load_seh_weights(FILE)
    for smiles, value in zip((SMILES[0], UREA, adamantyl), got.tolist(), strict=True):
        assert value == pytest.approx(one_by_one(arrays, smiles), abs=1e-5)
    assert torch.equal(SehNetwork(arrays)(*graphs_of(molecules)), got)

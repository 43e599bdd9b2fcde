"""Docking against Vina's published formula, against known energies, and without Vina."""

import gc
import itertools
import math
import os
import pickle
import sys
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.envs.atoms.env import Atoms
from gflow.envs.molecules import (
    Docking,
    Goal,
    MoleculeError,
    Molecules,
    Oracle,
    Vocabulary,
    docking,
)
from gflow.errors import ConfigError, MissingExtraError

Chem = pytest.importorskip("rdkit.Chem")
DATA = Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
RECEPTOR = DATA / "4jnc.nohet.aligned.pdbqt"
SEH = f"dock:{RECEPTOR}:-13.4:26.3:-13.3:20.013:16.3:18.5"
CUBE = [tuple(2.2 * x for x in corner) for corner in itertools.product((-1.0, 1.0), repeat=3)]


def write(path: Path, atoms: Sequence[Sequence[float]], kind: str = "C") -> str:
    """A receptor of single atoms, in the columns of PDBQT."""
    lines = [
        f"ATOM  {i:5d} {kind:<4} LIG A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00    +0.000 {kind}"
        for i, (x, y, z) in enumerate(atoms, 1)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Eight carbons around a hole: their file, whose maps are made once."""
    yield write(tmp_path_factory.mktemp("receptor") / "cube.pdbqt", CUBE)
    docking._engine.cache_clear()


@pytest.fixture
def cube(maps: str) -> Docking:
    """The receptor, and no energy of any molecule known."""
    pytest.importorskip("vina")
    pytest.importorskip("meeko")
    docking._energy.cache_clear()
    return Docking(maps, (0, 0, 0), (12, 12, 12))


def formula(distance: Tensor, hydrophobic: bool) -> Tensor:
    """Trott and Olson's five terms between two atoms, apart by `distance` of their surfaces."""
    d = distance
    steric = -0.035579 * torch.exp(-((d / 0.5) ** 2)) - 0.005156 * torch.exp(-(((d - 3) / 2) ** 2))
    repulsion = 0.840245 * d.clamp(max=0) ** 2
    if hydrophobic:
        return steric + repulsion - 0.035069 * (1.5 - d).clamp(0, 1)
    return steric + repulsion - 0.587439 * (-d / 0.7).clamp(0, 1)  # a hydrogen bond


@pytest.mark.slow
def test_one_pair_of_atoms(tmp_path: Path) -> None:
    pytest.importorskip("vina")
    apart = torch.linspace(-1, 3, 4001)
    for smiles, kind, hydrophobic in (("C", "C", True), ("O", "OA", False)):
        path = write(tmp_path / f"{kind}.pdbqt", [(1.0, 2.0, 3.0)], kind)
        found = Docking(path, (1, 2, 3), (10, 10, 10)).energy(Chem.MolFromSmiles(smiles))
        assert found == pytest.approx(float(formula(apart, hydrophobic).min()), abs=2e-3)


def test_a_pocket(cube: Docking) -> None:
    """Methane sits in the middle of the hole, where a grid finds the least energy too."""
    axis = torch.linspace(-1, 1, 41)
    places = torch.cartesian_prod(axis, axis, axis)
    apart = torch.cdist(places, torch.tensor(CUBE)) - 2 * 1.9
    best = float(formula(apart, hydrophobic=True).sum(1).min())
    assert best < -0.4
    assert cube.energy(Chem.MolFromSmiles("C")) == pytest.approx(best, abs=2e-2)


@pytest.mark.slow
def test_value_and_scale(cube: Docking) -> None:
    ethane = Chem.MolFromSmiles("CC")
    assert cube.energy(ethane) < -0.3
    assert cube(ethane) == pytest.approx(-cube.energy(ethane) / 10)
    half = Docking(cube.receptor, cube.center, cube.size, scale=5.0)
    assert half(ethane) == pytest.approx(2 * cube(ethane))


@pytest.mark.slow
def test_energy_is_of_the_molecule(cube: Docking) -> None:
    """However atoms are numbered, and whatever was docked before."""
    molecule = Chem.MolFromSmiles("CC(O)CNC")
    energy = cube.energy(molecule)
    docking._energy.cache_clear()
    cube.energy(Chem.MolFromSmiles("CCC"))
    turned = Chem.RenumberAtoms(molecule, [5, 3, 1, 0, 2, 4])
    assert cube.energy(turned) == energy


@pytest.mark.slow
def test_the_seed_decides(cube: Docking) -> None:
    """Another seed is another isomer, conformer and search: energies are close but not equal."""
    molecule = Chem.MolFromSmiles("CC(O)CC")
    energies = [
        Docking(cube.receptor, cube.center, cube.size, seed=seed).energy(molecule)
        for seed in (1, 2)
    ]
    assert len(set(energies)) > 1
    assert max(energies) - min(energies) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("CB(O)O", "Vina cannot read .*B is not a valid AutoDock type"),
        ("[Na+]", "Meeko cannot prepare"),
        ("[H][H]", "Meeko cannot prepare"),
        ("C1#CC1", "finds no conformer"),
        ("*C", "Meeko cannot prepare"),
        ("", "no molecule"),
    ],
)
def test_what_cannot_be_docked_is_worth_nothing(cube: Docking, smiles: str, reason: str) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    with pytest.raises(MoleculeError, match=reason):
        cube.energy(molecule)
    assert cube(molecule) == 0.0
    assert cube.energy(Chem.MolFromSmiles("C")) < -0.4  # nothing is left behind


@pytest.mark.slow
def test_rewards_in_workers_equal_those_here(cube: Docking) -> None:
    goal = Goal((f"dock:{cube.receptor}:0:0:0:12:12:12", "qed"), combine="sum")
    assert goal.names == ("dock:cube", "qed")
    assert goal.properties[0] == cube
    assert pickle.loads(pickle.dumps(goal)) == goal
    vocabulary = Vocabulary.from_fragments(["*C", "*c1ccc(*)cc1", "*O*"])
    values = []
    for workers in (0, 1):
        env = Molecules(vocabulary, goal, max_fragments=3, workers=workers)
        states = env.states_from_smiles(["COC", "Cc1ccc(C)cc1", "COC"])
        values.append(env.reward_values(states))
        assert env.host.scored == 2
        env.close()
    assert torch.equal(*values)
    assert values[0][0] == values[0][2]
    docking._energy.cache_clear()
    atoms = Atoms(goal, max_atoms=3)
    ether = atoms.reward_values(atoms.states_from_smiles(["COC"]))
    torch.testing.assert_close(ether, values[0][:1])


@pytest.mark.slow
def test_energies_are_kept_in_a_file(cube: Docking, tmp_path: Path) -> None:
    """Those of workers are those of this process; lower is better, and NaN is no energy."""
    smiles = ["COC", "CB(O)O", "no molecule", "COC"]
    here = cube.energies(smiles)
    assert here[0] == here[3] == cube.energy(Chem.MolFromSmiles("COC")) < -0.3
    assert [math.isnan(energy) for energy in here] == [False, True, True, False]
    oracle = Oracle(tmp_path / "energies.jsonl", cube.energies, {"receptor": "cube"}, workers=1)
    there = oracle(smiles)
    oracle.close()
    assert there == pytest.approx(here, nan_ok=True, abs=0)
    assert oracle.calls == 3
    assert oracle.seconds(["COC"]) > 0.01


def test_bad_receptors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no receptor '.*none\.pdbqt'.*mk_prepare_receptor"):
        Docking(str(tmp_path / "none.pdbqt"), (0, 0, 0), (9, 9, 9))
    (tmp_path / "empty.pdbqt").write_text("REMARK nothing\n")
    with pytest.raises(ConfigError, match="has no atoms"):
        Docking(str(tmp_path / "empty.pdbqt"), (0, 0, 0), (9, 9, 9))
    (tmp_path / "text.pdbqt").write_text(
        "ATOMS are the smallest parts of the elements that exist\n"
    )
    with pytest.raises(ConfigError, match="cannot be read as PDBQT"):
        Docking(str(tmp_path / "text.pdbqt"), (0, 0, 0), (9, 9, 9))
    far = write(tmp_path / "far.pdbqt", [(40, 30, 0), (13.9, 0, 0)])
    with pytest.raises(ConfigError, match=r"is 9\.4 Angstrom away from the nearest atom"):
        Docking(far, (0, 0, 0), (9, 9, 9))


def test_maps_of_many_receptors_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take 150 MB each."""
    made: list[weakref.ref[Any]] = []

    class Engine:
        def __init__(self, **settings: Any) -> None:
            made.append(weakref.ref(self))

        def set_receptor(self, receptor: str) -> None: ...

        def compute_vina_maps(self, **settings: Any) -> None: ...

    monkeypatch.setattr(docking, "_vina", lambda: SimpleNamespace(Vina=Engine))
    docking._engine.cache_clear()
    for number in range(9):
        docking._engine(f"{number}.pdbqt", (0.0, 0.0, 0.0), (9.0, 9.0, 9.0), 1)
    gc.collect()
    assert [ref() is not None for ref in made] == [False] * 5 + [True] * 4
    docking._engine.cache_clear()


def test_vina_refuses_a_receptor(tmp_path: Path) -> None:
    pytest.importorskip("vina")
    strange = Docking(write(tmp_path / "x.pdbqt", [(0, 0, 0)], "Xx"), (0, 0, 0), (9, 9, 9))
    with pytest.raises(ConfigError, match=r"Vina cannot read the receptor .*Xx"):
        strange(Chem.MolFromSmiles("C"))


def test_bad_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "cube.pdbqt", CUBE)
    for text in (path, f"{path}:1:2:3", f"{path}:1:2:3:a:5:6"):
        with pytest.raises(ConfigError, match="must be dock:FILE:X:Y:Z:DX:DY:DZ"):
            Goal((f"dock:{text}",))
    with pytest.raises(ConfigError, match="must be positive, got size=.*-1"):
        Docking(path, (0, 0, 0), (9, -1, 9))
    with pytest.raises(ConfigError, match="center must be three numbers"):
        Docking(path, (0, 0, float("nan")), (9, 9, 9))
    for wrong in ({"seed": 0}, {"exhaustiveness": 0}, {"scale": 0.0}):
        with pytest.raises(ConfigError, match="must be positive"):
            Docking(path, (0, 0, 0), (9, 9, 9), **wrong)


@pytest.mark.parametrize("package", ["vina", "meeko"])
def test_missing_packages(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if package == "meeko":
        pytest.importorskip("vina")
    monkeypatch.setitem(sys.modules, package, None)
    docking._vina.cache_clear()
    docking._meeko.cache_clear()
    path = write(tmp_path / "cube.pdbqt", CUBE)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*extra 'dock'.*'{package}>="):
        Docking(path, (0, 0, 0), (9, 9, 9))


@pytest.mark.slow
@pytest.mark.skipif(not RECEPTOR.is_file(), reason="needs the receptor of epoxide hydrolase")
def test_known_binders() -> None:
    """Aspirin, and two ureas of the class of known inhibitors, in the order of their strength."""
    pytest.importorskip("vina")
    seh = Goal((SEH,)).properties[0]
    assert isinstance(seh, Docking)
    smiles = [
        "CC(=O)Oc1ccccc1C(=O)O",
        "O=C(Nc1ccc(OC(F)(F)F)cc1)NC1CCNCC1",
        "O=C(NC1CCCCC1)NC12CC3CC(CC(C3)C1)C2",
    ]
    found = torch.tensor([seh.energy(Chem.MolFromSmiles(s)) for s in smiles])
    torch.testing.assert_close(found, torch.tensor([-6.72, -9.05, -10.36]), atol=0.3, rtol=0)

"""Alanine dipeptide: its geometry, its scan, and the error where OpenMM is missing."""

import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gflow.envs.torus.alanine import heavy_positions, openmm, torsion, turned
from gflow.envs.torus.alanine_target import BASINS, alanine, cache_path, load, save, scan_energies
from gflow.errors import ConfigError, MissingExtraError

needs_openmm = pytest.mark.skipif(find_spec("openmm") is None, reason="OpenMM is not installed")


def test_without_openmm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(MissingExtraError, match="extra 'openmm' with: pip install 'openmm"):
        openmm()
    with pytest.raises(MissingExtraError, match="alanine dipeptide"):
        alanine()


def test_the_starting_geometry_is_l_alanine_at_its_torsions() -> None:
    x = heavy_positions()
    assert math.degrees(torsion(x, (1, 3, 4, 5))) == pytest.approx(-80)  # phi
    assert math.degrees(torsion(x, (3, 4, 5, 8))) == pytest.approx(80)  # psi
    assert abs(math.degrees(torsion(x, (0, 1, 3, 4)))) == pytest.approx(180)
    assert abs(math.degrees(torsion(x, (4, 5, 8, 9)))) == pytest.approx(180)
    # Seen from H, the others of an L amino acid read CO, R, N clockwise.
    n, c, cb, ca = (x[k] for k in (3, 5, 6, 4))
    assert float(np.dot(n - ca, np.cross(c - ca, cb - ca))) > 0
    gaps = np.linalg.norm(x[:, None] - x[None], axis=-1) + np.eye(10)
    assert gaps.min() > 0.12


def test_turning_changes_one_torsion_and_no_bond() -> None:
    x = heavy_positions()
    y = turned(x, (3, 4), [5, 6, 7, 8, 9], 0.5)
    assert torsion(y, (1, 3, 4, 5)) - torsion(x, (1, 3, 4, 5)) == pytest.approx(0.5)
    assert torsion(y, (3, 4, 5, 8)) == pytest.approx(torsion(x, (3, 4, 5, 8)))
    for a, b in ((3, 4), (4, 5), (4, 6), (5, 7), (5, 8), (8, 9), (3, 5)):
        assert np.linalg.norm(y[a] - y[b]) == pytest.approx(np.linalg.norm(x[a] - x[b]))


def test_the_sign_of_a_torsion_is_that_of_iupac() -> None:
    """Looking along the middle bond, clockwise is positive."""
    x = np.array([[0.0, 1, 0], [0, 0, 0], [0, 0, 1], [-1.0, 0, 1]])
    assert torsion(x, (0, 1, 2, 3)) == pytest.approx(math.pi / 2)


def test_basins_are_the_usual_regions() -> None:
    x = torch.deg2rad(torch.tensor([[-80.0, 80], [-60, -45], [60, 45], [-150, 160]]))
    left, right = (holds(x).tolist() for holds in BASINS.values())
    assert left == [False, False, True, False]
    assert [a and not b for a, b in zip(right, left, strict=True)] == [False, True, False, False]


def test_scans_are_kept_whole(tmp_path: Path) -> None:
    energies = np.arange(144.0).reshape(12, 12)
    energies[3, 4] = np.inf
    path = tmp_path / "new" / "scan.csv"
    assert load(path, 12) is None
    save(path, energies)
    assert np.array_equal(load(path, 12), energies)  # type: ignore[arg-type]
    assert load(path, 13) is None
    path.write_text("1,2\nthree,4\n")
    assert load(path, 2) is None


@needs_openmm
def test_bad_settings_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for settings, said in (
        ({"scan": "loose"}, "relaxed or rigid"),
        ({"points": 4}, "at least 12"),
        ({"solvent": "oil", "scan": "rigid"}, "water or vacuum"),
        ({"kelvin": 0.0}, "positive"),
    ):
        with pytest.raises(ConfigError, match=said):
            alanine(**settings)
    assert not any(tmp_path.rglob("*.csv"))


@pytest.mark.slow
@needs_openmm
def test_a_rigid_scan_is_a_density(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = alanine("vacuum", "rigid", 24)
    kept = load(cache_path("vacuum", "rigid", 24), 24)
    assert kept is not None
    assert kept.max() - kept.min() > 1000  # atoms collide somewhere
    value = target.log_density(torch.rand(200, 2) * 2 * math.pi)
    assert bool(value.isfinite().all())
    weights = dict(zip(target.basin_names, target.basin_weights.tolist(), strict=True))
    assert weights["alpha_l"] < 0.2  # L-alanine keeps phi negative
    again: Any = alanine("vacuum", "rigid", 24)
    assert torch.equal(again.values, target.values)


@pytest.mark.slow
@needs_openmm
def test_relaxing_lowers_energies_and_keeps_torsions_and_handedness() -> None:
    from gflow.envs.torus.alanine import molecule

    model = molecule("vacuum")
    assert model.is_sound(model.minimum)
    for phi, psi in ((-80, 80), (60, 45), (-150, 150)):
        wanted = (math.radians(phi), math.radians(psi))
        rigid = model.at(model.minimum, *wanted)
        assert torsion(rigid, model.phi) == pytest.approx(wanted[0])
        assert torsion(rigid, model.psi) == pytest.approx(wanted[1])
        energy, relaxed = model.relaxed(model.minimum, *wanted)
        assert energy < model.energy(rigid)
        assert energy == pytest.approx(model.energy(relaxed), abs=1e-3)
        assert math.degrees(abs(torsion(relaxed, model.phi) - wanted[0])) < 0.5
        assert math.degrees(abs(torsion(relaxed, model.psi) - wanted[1])) < 0.5
        assert model.is_sound(relaxed)
        mirror = relaxed * np.array([1.0, 1.0, -1.0])
        assert not model.is_sound(mirror)
    assert model.energy(model.minimum) < energy + 40


@pytest.mark.slow
@needs_openmm
def test_a_relaxed_scan_knows_the_basins_of_alanine_in_vacuum() -> None:
    """C7eq is lowest, and the barrier at phi = 0 is high."""
    energies = scan_energies("vacuum", "relaxed", 12)
    assert bool(np.isfinite(energies).all())
    i, j = np.unravel_index(energies.argmin(), energies.shape)
    phi, psi = (30 * k - 360 * (k >= 6) for k in (int(i), int(j)))
    assert -100 <= phi <= -50
    assert 30 <= psi <= 100
    assert energies[0].min() > energies.min() + 15

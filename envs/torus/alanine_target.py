"""Alanine dipeptide as a density of two torsions: a scan of its energy, kept on disk."""

import heapq
import math
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gflow.envs.torus.alanine import GAS_CONSTANT, Scan, Solvent, molecule, openmm, torsion
from gflow.envs.torus.targets import TorusTable
from gflow.errors import ConfigError

MOST = 60.0
"""kJ/mol above the lowest energy at which a scan is cut off: 24 kT at 300 K, never visited."""


def scan_energies(
    solvent: Solvent = "water", scan: Scan = "relaxed", points: int = 36
) -> np.ndarray[Any, Any]:
    """(points, points) potential energies in kJ/mol at torsions 2 pi i / points: phi, then psi.

    What energies they are is said in `gflow.envs.torus.alanine`. A relaxed scan spreads from the
    minimised geometry, always from the place of lowest energy next, and each place starts from the
    geometry of its neighbour, so that atoms never jump. Places without a sound geometry, L-alanine
    with trans peptide bonds, are infinite.

    Raises:
        MissingExtraError: OpenMM is not installed.
        ConfigError: Unknown scan or too few points.
    """
    if scan not in ("relaxed", "rigid"):
        raise ConfigError(f"The scan must be relaxed or rigid, got {scan!r}.")
    if points < 12:
        raise ConfigError(f"A scan takes at least 12 points per torsion, got {points}.")
    model = molecule(solvent)
    step = 2 * math.pi / points
    if scan == "rigid":
        angles = np.arange(points) * step
        found = [model.energy(model.at(model.minimum, p, q)) for p, q in product(angles, angles)]
        return np.array(found).reshape(points, points)
    energies = np.full((points, points), np.inf)
    seen = np.zeros((points, points), dtype=bool)
    phi, psi = (torsion(model.minimum, atoms) for atoms in (model.phi, model.psi))
    start = (round(phi / step) % points, round(psi / step) % points)
    # energy of the neighbour, tie-break, place, geometry of the neighbour
    front: list[tuple[float, int, tuple[int, int], Any]] = [(0.0, 0, start, model.minimum)]
    pushed = 1
    while front:
        _, _, (i, j), origin = heapq.heappop(front)
        if seen[i, j]:
            continue
        energy, geometry = model.relaxed(origin, i * step, j * step)
        if not model.is_sound(geometry):
            continue  # another neighbour may do better
        seen[i, j], energies[i, j] = True, energy
        for near in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            place = (near[0] % points, near[1] % points)
            if not seen[place]:
                heapq.heappush(front, (energy, pushed, place, geometry))
                pushed += 1
    return energies


def alanine(
    solvent: Solvent = "water",
    scan: Scan = "relaxed",
    points: int = 36,
    kelvin: float = 300.0,
) -> TorusTable:
    r"""The density :math:`e^{-(E(\phi, \psi) - \min E) / k T}` of the torsions, interpolated.

    E is a scan by OpenMM (see `gflow.envs.torus.alanine` for what it is and is not), cut off 60
    kJ/mol above its minimum, on a grid between whose points -E / kT is interpolated. A relaxed scan
    takes minutes and is kept in the user's cache folder; the interpolated density is what is
    sampled.

    Basins by the usual regions: alpha_l has phi > 0, alpha_r psi between -120 and 50 degrees, and
    beta the rest, C7eq and C5 together.

    Raises:
        MissingExtraError: OpenMM is not installed.
        ConfigError: A setting is not allowed.
    """
    if not 0 < kelvin < math.inf:
        raise ConfigError(f"The temperature must be positive, got {kelvin} K.")
    path = cache_path(solvent, scan, points)
    energies = load(path, points)
    if energies is None:
        energies = scan_energies(solvent, scan, points)
        save(path, energies)
    above = np.minimum(energies - energies.min(), MOST)
    table = torch.from_numpy(-above / (GAS_CONSTANT * kelvin))
    return TorusTable(table, basins=BASINS, rest="beta", axes=("phi", "psi"))


def _alpha_l(x: Tensor) -> Tensor:
    return x[..., 0] >= 0


def _alpha_r(x: Tensor) -> Tensor:
    low, high = math.radians(-120), math.radians(50)
    return (x[..., 1] >= low) & (x[..., 1] < high)


BASINS = {"alpha_l": _alpha_l, "alpha_r": _alpha_r}
"""Regions of the torus; the first that holds a point counts."""


def cache_path(solvent: Solvent, scan: Scan, points: int) -> Path:
    """Where a scan by the installed OpenMM is kept.

    Raises:
        MissingExtraError: OpenMM is not installed.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    version = openmm().__version__
    return root / "gflow" / f"alanine-{solvent}-{scan}-{points}-openmm-{version}.csv"


def load(path: Path, points: int) -> np.ndarray[Any, Any] | None:
    """The scan kept at `path`, or None if there is none or it cannot be read."""
    try:
        found = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError):
        return None
    return found if found.shape == (points, points) else None


def save(path: Path, energies: np.ndarray[Any, Any]) -> None:
    """Keep a scan, to the last digit; a folder that cannot be written is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        np.savetxt(partial, energies, delimiter=",", fmt="%.17g")
        partial.replace(path)
    except OSError:
        pass

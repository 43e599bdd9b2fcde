"""Alanine dipeptide by a real force field: the energy of its two torsions, by OpenMM.

What the energy is. The molecule ACE-ALA-NME (22 atoms, L-alanine) under Amber ff14SB, in implicit
water (OBC2) or in vacuum, without a cutoff and without constraints. At each pair of torsions the
*relaxed* scan holds both with a stiff restraint, minimises everything else, and takes the
potential energy without the restraint; the *rigid* scan turns the parts of one minimised geometry
about their bonds and changes nothing else, so that atoms collide where they would have moved aside.
Neither is a free energy: the other degrees of freedom are at a point, not at a temperature.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from gflow.errors import ConfigError, MissingExtraError

Scan = Literal["relaxed", "rigid"]
Solvent = Literal["water", "vacuum"]

GAS_CONSTANT = 8.31446261815324e-3
"""kJ / (mol K)."""

HOLD = 5e3
"""kJ/mol of the restraint HOLD (1 - cos(torsion - wanted)): torsions are held to 0.2 degrees."""

HEAVY = (
    # residue, atom, the three atoms before it, bond (nm), angle, torsion (degrees)
    ("ACE", "CH3", (), 0.0, 0.0, 0.0),
    ("ACE", "C", (0,), 0.152, 0.0, 0.0),
    ("ACE", "O", (1, 0), 0.123, 120.5, 0.0),
    ("ALA", "N", (1, 0, 2), 0.134, 116.0, 180.0),
    ("ALA", "CA", (3, 1, 0), 0.145, 122.0, 180.0),
    ("ALA", "C", (4, 3, 1), 0.152, 111.0, -80.0),
    ("ALA", "CB", (4, 3, 5), 0.153, 110.0, -122.5),
    ("ALA", "O", (5, 4, 3), 0.123, 120.5, -100.0),
    ("NME", "N", (5, 4, 3), 0.134, 116.0, 80.0),
    ("NME", "C", (8, 5, 4), 0.145, 122.0, 180.0),
)
"""Ideal geometry from which minimising starts, at torsions (-80, 80)."""


def openmm() -> Any:
    """The module `openmm`, with `openmm.app` loaded.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import openmm
        import openmm.app
    except ImportError as error:
        raise MissingExtraError("openmm", "openmm", "The energy of alanine dipeptide") from error
    return openmm


def heavy_positions() -> np.ndarray[Any, Any]:
    """(10, 3) positions of the atoms but hydrogen, in nm, from bonds, angles and torsions."""
    placed: list[np.ndarray[Any, Any]] = []
    for _, _, before, bond, angle, torsion in HEAVY:
        a, t = math.radians(angle), math.radians(torsion)
        if len(before) == 0:
            placed.append(np.zeros(3))
        elif len(before) == 1:
            placed.append(np.array([bond, 0.0, 0.0]))
        elif len(before) == 2:
            placed.append(placed[before[0]] + bond * np.array([-math.cos(a), math.sin(a), 0.0]))
        else:
            one, two, three = (placed[k] for k in before)
            along = (one - two) / np.linalg.norm(one - two)
            across = np.cross(two - three, along)
            across /= np.linalg.norm(across)
            third = np.cross(across, along)
            step = (-math.cos(a), math.sin(a) * math.cos(t), math.sin(a) * math.sin(t))
            placed.append(one + bond * (step[0] * along + step[1] * third + step[2] * across))
    return np.array(placed)


def turned(
    positions: np.ndarray[Any, Any], bond: tuple[int, ...], moving: list[int], angle: float
) -> np.ndarray[Any, Any]:
    """(A, 3) `positions` with the atoms `moving` turned about a bond by an angle in radians."""
    start, end = positions[bond[0]], positions[bond[1]]
    axis = (end - start) / np.linalg.norm(end - start)
    out = positions.copy()
    arms = positions[moving] - end
    out[moving] = (
        end
        + arms * math.cos(angle)
        + np.cross(axis, arms) * math.sin(angle)
        + np.outer(arms @ axis, axis) * (1 - math.cos(angle))
    )
    return out


def torsion(positions: np.ndarray[Any, Any], atoms: tuple[int, ...]) -> float:
    """The torsion of four atoms in (-pi, pi], by the IUPAC sign."""
    a, b, c, d = (positions[k] for k in atoms)
    first, middle, last = b - a, c - b, d - c
    left, right = np.cross(first, middle), np.cross(middle, last)
    sine = np.linalg.norm(middle) * float(first @ right)
    return math.atan2(sine, float(left @ right))


@dataclass(frozen=True)
class Molecule:
    """Alanine dipeptide, ready to be asked for energies.

    Attributes:
        simulation: OpenMM's simulation; force group 1 holds the restraint.
        phi: The four atoms of phi.
        psi: The four atoms of psi.
        after_phi: Atoms that phi turns.
        after_psi: Atoms that psi turns.
        chirality: Three neighbours of the alpha carbon and itself.
        omegas: The four atoms of the two peptide bonds.
        minimum: (22, 3) a minimised geometry, nm.
    """

    simulation: Any
    phi: tuple[int, ...]
    psi: tuple[int, ...]
    after_phi: list[int]
    after_psi: list[int]
    chirality: tuple[int, ...]
    omegas: tuple[tuple[int, ...], ...]
    minimum: np.ndarray[Any, Any]

    def at(self, positions: np.ndarray[Any, Any], phi: float, psi: float) -> np.ndarray[Any, Any]:
        """(22, 3) `positions` with the torsions turned to angles in radians."""
        change = phi - torsion(positions, self.phi)
        positions = turned(positions, self.phi[1:3], self.after_phi, change)
        change = psi - torsion(positions, self.psi)
        return turned(positions, self.psi[1:3], self.after_psi, change)

    def energy(self, positions: np.ndarray[Any, Any]) -> float:
        """Potential energy without the restraint, kJ/mol."""
        context = self.simulation.context
        context.setPositions(positions)
        return self._energy()

    def relaxed(
        self, positions: np.ndarray[Any, Any], phi: float, psi: float
    ) -> tuple[float, np.ndarray[Any, Any]]:
        """Energy in kJ/mol and geometry, minimised at fixed torsions from `positions`."""
        context = self.simulation.context
        for name, value in (("phi0", phi), ("psi0", psi), ("hold", HOLD)):
            context.setParameter(name, value)
        context.setPositions(self.at(positions, phi, psi))
        openmm().LocalEnergyMinimizer.minimize(context, 5.0)
        context.setParameter("hold", 0.0)
        found = context.getState(getPositions=True).getPositions(asNumpy=True)
        return self._energy(), np.array(found._value)

    def is_sound(self, positions: np.ndarray[Any, Any]) -> bool:
        """Whether it is still L-alanine with two trans peptide bonds."""
        a, b, c, centre = (positions[k] for k in self.chirality)
        handed = float(np.dot(a - centre, np.cross(b - centre, c - centre))) > 0
        return handed and all(abs(torsion(positions, o)) > math.pi / 2 for o in self.omegas)

    def _energy(self) -> float:
        state = self.simulation.context.getState(getEnergy=True, groups={0})
        return float(state.getPotentialEnergy()._value)


@cache
def molecule(solvent: Solvent = "water") -> Molecule:
    """Build the molecule and minimise it.

    Raises:
        MissingExtraError: OpenMM is not installed.
        ConfigError: Unknown solvent.
    """
    if solvent not in ("water", "vacuum"):
        raise ConfigError(f"The solvent must be water or vacuum, got {solvent!r}.")
    mm = openmm()
    app = mm.app
    files = ["amber14/protein.ff14SB.xml", *(["implicit/obc2.xml"] * (solvent == "water"))]
    field = app.ForceField(*files)
    topology, element = app.Topology(), app.element.Element
    chain = topology.addChain()
    residues = {name: topology.addResidue(name, chain) for name in ("ACE", "ALA", "NME")}
    for residue, name, *_ in HEAVY:
        topology.addAtom(name, element.getBySymbol(name[0]), residues[residue])
    topology.createStandardBonds()
    vectors = [mm.Vec3(*row) for row in heavy_positions()]
    modeller = app.Modeller(topology, vectors * mm.unit.nanometer)
    modeller.addHydrogens(field)
    system = field.createSystem(
        modeller.topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False
    )
    place = {(a.residue.name, a.name): a.index for a in modeller.topology.atoms()}
    phi = tuple(place[key] for key in (("ACE", "C"), ("ALA", "N"), ("ALA", "CA"), ("ALA", "C")))
    psi = tuple(place[key] for key in (("ALA", "N"), ("ALA", "CA"), ("ALA", "C"), ("NME", "N")))
    hold = mm.CustomTorsionForce("hold * (1 - cos(theta - (which * psi0 + (1 - which) * phi0)))")
    hold.addPerTorsionParameter("which")
    for name in ("hold", "phi0", "psi0"):
        hold.addGlobalParameter(name, 0.0)
    hold.addTorsion(*phi, [0.0])
    hold.addTorsion(*psi, [1.0])
    hold.setForceGroup(1)
    system.addForce(hold)
    simulation = app.Simulation(
        modeller.topology,
        system,
        mm.VerletIntegrator(0.001),
        mm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(modeller.positions)
    mm.LocalEnergyMinimizer.minimize(simulation.context, 0.1)
    found = simulation.context.getState(getPositions=True).getPositions(asNumpy=True)._value
    ace = [k for (residue, _), k in place.items() if residue == "ACE"]
    first = [*ace, place["ALA", "N"], place["ALA", "H"], place["ALA", "CA"]]
    nme = [k for (residue, _), k in place.items() if residue == "NME"]
    ca, c, n = (place["ALA", name] for name in ("CA", "C", "N"))
    return Molecule(
        simulation=simulation,
        phi=phi,
        psi=psi,
        after_phi=[k for k in place.values() if k not in first],
        after_psi=[*nme, place["ALA", "O"]],
        chirality=(n, c, place["ALA", "CB"], ca),
        omegas=(
            (place["ACE", "CH3"], place["ACE", "C"], n, ca),
            (ca, c, place["NME", "N"], place["NME", "C"]),
        ),
        minimum=np.array(found),
    )

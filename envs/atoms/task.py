"""`gflow train atoms`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.molecules.drawn import MoleculeTables
from gflow.envs.molecules.judge import JudgedMolecules
from gflow.envs.molecules.report import metrics_of, report_best, write_best
from gflow.envs.molecules.wishes import MoleculeWishes
from gflow.policies.base import Policy
from gflow.tasks.several import SeveralScores
from gflow.tasks.task import Context, RunOptions
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class AtomsTask(JudgedMolecules, MoleculeWishes, MoleculeTables, SeveralScores):
    """Small molecules, built atom by atom.

    Attributes:
        properties: What is wanted: qed, sa, logp:LOW:HIGH, weight:LOW:HIGH, similarity:SMILES,
            isomers:FORMULA, guacamol:GOAL (docs/topics/guacamol.md), seh:FILE,
            dock:FILE:X:Y:Z:DX:DY:DZ (a receptor, and the centre and edges of the box).
        weights: Weight of each property; all 1 if not given.
        combine: Weighted geometric mean (product) or weighted mean (sum) of the properties.
        beta: Inverse temperature: molecules are sampled in proportion to reward^beta.
        vector: Keep the properties apart as scores, for objectives that compare them and for the
            Pareto front, and for conditions about them.
        max_atoms: Largest number of heavy atoms, up to 16; a group counts as one.
        kinds: Kinds of atoms, with charge if any: C N O F S Cl N+ O- ..., and groups: SO SO2 PO
            NO2 (sulfoxides, sulfones and sulfonamides, phosphates, nitro).
        max_order: Largest order of a bond.
        workers: Processes that score molecules; 0 scores in the main process.
        pool: Where workers are: local; ray for Ray on this machine (or where RAY_ADDRESS says);
            ray://HOST:PORT for a cluster.
        timeout: Seconds that scoring one molecule may take, in a worker; 0 for no limit.
        width: Features per atom in the graph network.
        depth: Rounds of message passing.
        backward: Backward policy.
    """

    name: ClassVar[str] = "atoms"
    summary: ClassVar[str] = "molecules atom by atom, with rings and charges; confirmed by RDKit"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=800,
        batch_size=64,
        lr=2e-3,
        lr_half_life=300,
        log_z_lr=0.1,
        epsilon=0.02,
        grad_clip=10.0,
    )
    run: ClassVar[RunOptions] = RunOptions(eval_every=100, checkpoint_every=100, threads=1)

    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_reward",
        "mean_score",
        "top_reward",
        "valid",
        "unique",
        "top10_mean_reward",
        "modes",
        "log_z",
        "elbo",
    )

    properties: tuple[str, ...] = ("qed",)
    combine: Literal["sum", "product"] = "product"
    beta: Positive = 16.0
    vector: bool = False
    max_atoms: Count = 9
    kinds: tuple[str, ...] = ("C", "N", "O", "F")
    max_order: Count = 3
    workers: Natural = 2
    pool: str = "local"
    timeout: NotNegative = 0.0
    width: Count = 64
    depth: Count = 4
    backward: BackwardChoice = "uniform"

    def environment(self) -> DiscreteEnvironment[Any]:
        """The environment with its reward."""
        from gflow.envs.atoms.env import Atoms
        from gflow.envs.molecules import Goal

        several = self.vector
        # Of several scores the mean is what tables and lists show.
        return Atoms(
            Goal(self.properties, self.weights, self.combine, factors=self.factors()),
            beta=1.0 if several else self.beta,
            max_atoms=self.max_atoms,
            kinds=self.kinds,
            max_order=self.max_order,
            workers=self.workers,
            scalarization=self.scalarization() if several else None,
            timeout=self.timeout or None,
            pool=self.pool,
        )

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A graph network over atoms."""
        from gflow.envs.atoms.policy import AtomPolicy

        return AtomPolicy(env, self.width, self.depth, own_backward(self.backward), needs.log_flow)

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B,) rewards in [0, 1] before the temperature; None where there are several scores."""
        if env.num_scores:
            return None
        values: Tensor = _atoms(env).reward_values(objects)
        return values

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """What RDKit takes for molecules, and the metrics of `gflow train molecules`."""
        from gflow.envs.atoms.chemistry import heavy_atoms
        from gflow.envs.atoms.env import Atoms

        env = context.env
        assert isinstance(env, Atoms)
        numbers = super().metrics(context, objects)
        heavy = torch.tensor([0, *(heavy_atoms(kind) for kind in env.kinds)])
        atoms = heavy[objects.kind.cpu()].sum(1).tolist()
        numbers["valid"] = valid_fraction(env.smiles(objects), atoms)
        return numbers | metrics_of(context, objects, _atoms(env).goal)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The best molecules as a table."""
        write_best(context, folder, _names(context.env))
        return super().artifacts(context, folder)

    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """Nobody knows it."""
        return None

    def report(self, context: Context) -> str:
        """The ten best molecules."""
        return report_best(context, _names(context.env))

    def close(self, env: DiscreteEnvironment[Any]) -> None:
        """End the workers."""
        _atoms(env).close()


def valid_fraction(smiles: list[str], atoms: list[int]) -> float:
    """Share that RDKit reads as one molecule with so many heavy atoms, and writes the same."""
    from rdkit import Chem

    good = 0
    for text, count in zip(smiles, atoms, strict=True):
        molecule = Chem.MolFromSmiles(text)
        good += (
            molecule is not None
            and len(Chem.GetMolFrags(molecule)) == 1
            and molecule.GetNumHeavyAtoms() == count
            and Chem.MolToSmiles(molecule) == text
        )
    return good / len(smiles)


def _names(env: DiscreteEnvironment[Any]) -> tuple[str, ...]:
    names: tuple[str, ...] = _atoms(env).goal.names
    return names


def _atoms(env: DiscreteEnvironment[Any]) -> Any:
    from gflow.envs.atoms.env import Atoms

    assert isinstance(env, Atoms)
    return env

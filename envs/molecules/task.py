"""`gflow train molecules`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.molecules.drawn import MoleculeTables
from gflow.envs.molecules.judge import JudgedMolecules
from gflow.envs.molecules.report import metrics_of, report_best, write_best
from gflow.envs.molecules.wishes import MoleculeWishes
from gflow.errors import ConfigError
from gflow.policies.base import Policy
from gflow.tasks.several import SeveralScores
from gflow.tasks.task import Context, RunOptions
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class MoleculesTask(JudgedMolecules, MoleculeWishes, MoleculeTables, SeveralScores):
    """Drug-like molecules, built fragment by fragment with RDKit.

    Attributes:
        properties: What is wanted: qed, sa, logp:LOW:HIGH, weight:LOW:HIGH, similarity:SMILES,
            isomers:FORMULA, guacamol:GOAL (docs/topics/guacamol.md), seh:FILE,
            dock:FILE:X:Y:Z:DX:DY:DZ (a receptor, and the centre and edges of the box).
        weights: Weight of each property; all 1 if not given.
        combine: Weighted geometric mean (product) or weighted mean (sum) of the properties.
        beta: Inverse temperature: molecules are sampled in proportion to reward^beta.
        vector: Keep the properties apart as scores, for objectives that compare them and for the
            Pareto front, and for conditions about them.
        max_fragments: Largest number of fragments of a molecule.
        min_fragments: Smallest number of fragments of a molecule.
        core: A scaffold with which every molecule begins, as SMILES with attachment points (*):
            "*c1ccc2[nH]cc(*)c2c1". It counts as one of the fragments.
        fragments: A file of your own fragments, taken as they are: SMILES with attachment points
            (*), or JSON with building blocks and the atoms that may bond (docs/topics/files.md).
        smiles: A file of your own molecules to cut the fragments from (SMI, CSV, SDF;
            docs/topics/files.md); RDKit's own if empty.
        skip_invalid: Pass over molecules of that file that RDKit cannot read.
        vocabulary_size: Fragments in the vocabulary: the most frequent ones.
        fragment_count: How often a fragment must have been seen.
        workers: Processes that score molecules; 0 scores in the main process.
        pool: Where workers are: local; ray for Ray on this machine (or where RAY_ADDRESS says);
            ray://HOST:PORT for a cluster.
        timeout: Seconds that scoring one molecule may take, in a worker; 0 for no limit.
        width: Features per fragment in the graph network.
        depth: Rounds of message passing.
        backward: Backward policy.
    """

    name: ClassVar[str] = "molecules"
    summary: ClassVar[str] = "drug-like molecules from BRICS fragments; QED, SA, logP, docking"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=800,
        batch_size=64,
        lr=5e-3,
        lr_half_life=300,
        log_z_lr=0.1,
        epsilon=0.05,
        grad_clip=10.0,
    )
    run: ClassVar[RunOptions] = RunOptions(eval_every=100, checkpoint_every=100, threads=1)

    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_reward",
        "mean_score",
        "top_reward",
        "unique",
        "top10_mean_reward",
        "modes",
        "log_z",
        "elbo",
    )

    properties: tuple[str, ...] = ("qed", "sa")
    combine: Literal["sum", "product"] = "product"
    beta: Positive = 64.0
    vector: bool = False
    max_fragments: Count = 5
    min_fragments: Count = 2
    core: str = ""
    fragments: str = ""
    smiles: str = ""
    skip_invalid: bool = False
    vocabulary_size: Count = 128
    fragment_count: Count = 3
    workers: Natural = 2
    pool: str = "local"
    timeout: NotNegative = 0.0
    width: Count = 64
    depth: Count = 3
    backward: BackwardChoice = "uniform"

    @classmethod
    def default_parts(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Trajectory balance with conditions, which have a log Z each; without, vargrad.

        beta times log R spans a hundred nats, which a learned log Z takes a thousand steps to
        cross; until then trajectory balance makes whatever it samples less likely.
        """
        told = given.get("condition", "auto") != "auto"
        return super().default_parts(given) | {"objective": "tb" if told else "vargrad"}

    def environment(self) -> DiscreteEnvironment[Any]:
        """The environment with its vocabulary and reward."""
        from gflow.envs.molecules import CutOptions, Goal, Molecules, Vocabulary

        if self.fragments and self.smiles:
            raise ConfigError(
                f"molecules: fragments={self.fragments!r} are taken as they are, and "
                f"smiles={self.smiles!r} would be cut into others. Give one of them."
            )
        options = CutOptions(size=self.vocabulary_size, min_count=self.fragment_count)
        if self.fragments:
            vocabulary = Vocabulary.from_fragment_file(self.fragments)
        elif self.smiles:
            vocabulary = Vocabulary.from_files(
                [Path(self.smiles)], options, skip_invalid=self.skip_invalid
            )
        else:
            vocabulary = Vocabulary.default(options)
        if self.forbid:
            from gflow.envs.molecules.forbidden import without_parts

            vocabulary = without_parts(vocabulary, self.forbid)
        several = self.vector
        # Of several scores the mean is what tables and lists show.
        goal = Goal(self.properties, self.weights, self.combine, factors=self.factors())
        return Molecules(
            vocabulary.extensible() if self.min_fragments > 2 else vocabulary,
            goal,
            beta=1.0 if several else self.beta,
            max_fragments=self.max_fragments,
            min_fragments=self.min_fragments,
            workers=self.workers,
            scalarization=self.scalarization() if several else None,
            timeout=self.timeout or None,
            pool=self.pool,
            core=self.core,
        )

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A graph network over fragments."""
        from gflow.envs.molecules import MoleculePolicy, Molecules

        assert isinstance(env, Molecules)
        return MoleculePolicy(
            env, self.width, self.depth, own_backward(self.backward), needs.log_flow
        )

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B,) rewards in [0, 1] before the temperature; None where there are several scores."""
        if env.num_scores:
            return None
        values: Tensor = _molecules(env).reward_values(objects)
        return values

    def describe(self, env: DiscreteEnvironment[Any], objects: Any) -> list[str]:
        """Canonical SMILES."""
        smiles: list[str] = _molecules(env).smiles(objects)
        return smiles

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Distinctness of the sample, its properties, and the best seen in the whole run."""
        numbers = super().metrics(context, objects)
        return numbers | metrics_of(context, objects, _molecules(context.env).host.goal)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The best molecules as a table."""
        names = _molecules(context.env).host.goal.names
        write_best(context, folder, names)
        return super().artifacts(context, folder)

    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """Nobody knows it."""
        return None

    def report(self, context: Context) -> str:
        """The ten best molecules."""
        return report_best(context, _molecules(context.env).host.goal.names)

    def close(self, env: DiscreteEnvironment[Any]) -> None:
        """End the workers."""
        _molecules(env).close()


def _molecules(env: DiscreteEnvironment[Any]) -> Any:
    from gflow.envs.molecules import Molecules

    if not isinstance(env, Molecules):
        raise ConfigError(f"{env.name} is not the environment of molecules.")
    return env

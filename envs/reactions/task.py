"""`gflow train reactions`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.molecules.drawn import MoleculeTables
from gflow.envs.molecules.judge import JudgedMolecules
from gflow.envs.molecules.report import best_molecules, metrics_of, report_best, write_best
from gflow.envs.molecules.wishes import MoleculeWishes
from gflow.policies.base import Policy
from gflow.tasks.several import SeveralScores
from gflow.tasks.task import Context, RunOptions
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig

DRAWN = 10
"""Routes in the picture of the best."""


@dataclass(frozen=True)
class ReactionsTask(JudgedMolecules, MoleculeWishes, MoleculeTables, SeveralScores):
    """Molecules with a route of synthesis: building blocks joined by reaction templates.

    Attributes:
        properties: What is wanted: qed, sa, logp:LOW:HIGH, weight:LOW:HIGH, similarity:SMILES,
            seh:FILE, dock:FILE:X:Y:Z:DX:DY:DZ (a receptor, and the centre and edges of the box).
        weights: Weight of each property; all 1 if not given.
        combine: Weighted geometric mean (product) or weighted mean (sum) of the properties.
        beta: Inverse temperature: molecules are sampled in proportion to reward^beta.
        vector: Keep the properties apart as scores, for objectives that compare them and for the
            Pareto front, and for conditions about them.
        templates: A file of your own reactions, one a line: reaction SMARTS, then a name; those
            of the library if empty (docs/topics/reactions.md).
        blocks: A file of your own building blocks (SMI, CSV, SDF; docs/topics/files.md); those of
            the library if empty.
        skip_invalid: Pass over blocks of that file that are no molecule of one part.
        max_steps: Largest number of reactions of a route.
        max_outcomes: Products of one reaction that are told apart.
        max_ways: Largest number of last steps to a molecule that are told apart.
        workers: Processes for reactions and scores; 0 does all in the main process.
        pool: Where workers are: local; ray for Ray on this machine (or where RAY_ADDRESS says);
            ray://HOST:PORT for a cluster.
        timeout: Seconds that one molecule may take, in a worker; 0 for no limit.
        width: Units of each layer of the network.
        depth: Hidden layers of the network.
        backward: Backward policy.
    """

    name: ClassVar[str] = "reactions"
    summary: ClassVar[str] = "molecules with routes: building blocks joined by reaction templates"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=500,
        batch_size=32,
        lr=2e-3,
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
        "mean_reactions",
        "log_z",
        "elbo",
    )

    properties: tuple[str, ...] = ("qed",)
    combine: Literal["sum", "product"] = "product"
    beta: Positive = 16.0
    vector: bool = False
    templates: str = ""
    blocks: str = ""
    skip_invalid: bool = False
    max_steps: Count = 3
    max_outcomes: Count = 8
    max_ways: Count = 64
    workers: Natural = 0
    pool: str = "local"
    timeout: NotNegative = 0.0
    width: Count = 128
    depth: Count = 2
    backward: BackwardChoice = "uniform"

    def environment(self) -> DiscreteEnvironment[Any]:
        """The environment with its templates, blocks and reward."""
        from gflow.envs.molecules import Goal
        from gflow.envs.reactions.blocks import SHIPPED as BLOCKS
        from gflow.envs.reactions.env import Reactions
        from gflow.envs.reactions.templates import SHIPPED as TEMPLATES

        several = self.vector
        return Reactions(
            Goal(self.properties, self.weights, self.combine, factors=self.factors()),
            beta=1.0 if several else self.beta,
            templates=self.templates or TEMPLATES,
            blocks=self.blocks or BLOCKS,
            max_steps=self.max_steps,
            max_outcomes=self.max_outcomes,
            max_ways=self.max_ways,
            skip_invalid=self.skip_invalid,
            workers=self.workers,
            scalarization=self.scalarization() if several else None,
            timeout=self.timeout or None,
            pool=self.pool,
        )

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A network over fingerprints."""
        from gflow.envs.reactions.policy import ReactionPolicy

        return ReactionPolicy(
            env, self.width, self.depth, own_backward(self.backward), needs.log_flow
        )

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B,) rewards in [0, 1] before the temperature; None where there are several scores."""
        if env.num_scores:
            return None
        values: Tensor = _reactions(env).reward_values(objects)
        return values

    def object_facts(self, env: Any, objects: Any) -> dict[str, list[Any]]:
        """What `gflow train molecules` says of molecules, and their routes."""
        from gflow.envs.reactions.routes import as_records, as_text, routes_of

        routes = routes_of(_reactions(env), objects)
        return super().object_facts(env, objects) | {
            "reactions": [len(route) for route in routes],
            "route": [as_text(route) for route in routes],
            "steps": [as_records(route) for route in routes],
        }

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Whether RDKit makes them by their routes, and the metrics of `gflow train molecules`."""
        from gflow.envs.reactions.routes import rerun, routes_of

        env = _reactions(context.env)
        numbers = super().metrics(context, objects)
        routes, smiles = routes_of(env, objects), env.smiles(objects)
        pairs = list(zip(routes, smiles, strict=True))
        numbers["valid"] = sum(rerun(route) == text for route, text in pairs) / len(pairs)
        numbers["mean_reactions"] = sum(map(len, routes)) / len(routes)
        used = {made.reaction for route in routes for made in route}
        numbers["templates_used"] = len(used) / len({t.name for t in env.chemist.templates})
        return numbers | metrics_of(context, objects, env.goal)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The best molecules as a table, and a picture of their routes."""
        from gflow.envs.reactions.routes import draw_routes, routes_of

        env = _reactions(context.env)
        write_best(context, folder, env.goal.names)
        drawn = super().artifacts(context, folder)
        best = best_molecules(context, DRAWN)
        if best:
            states = env.states_from_smiles([record.smiles for record in best])
            titles = [f"{record.value:.3f}" for record in best]
            drawn["routes"] = draw_routes(routes_of(env, states), folder / "routes.png", titles)
        return drawn

    def captions(self) -> dict[str, str]:
        """What the picture of routes shows."""
        said = (
            "Routes to the best molecules of the run, one a row: blocks, and what each reaction "
            "makes of them, with its name and, at the end, the reward."
        )
        return super().captions() | {"routes": said}

    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """Nobody knows it."""
        return None

    def report(self, context: Context) -> str:
        """The ten best molecules, and the routes to the first three."""
        from gflow.envs.reactions.routes import as_text, routes_of

        env = _reactions(context.env)
        best = [record.smiles for record in best_molecules(context, 3)]
        routes = routes_of(env, env.states_from_smiles(best)) if best else []
        lines = [f"  {number}. {as_text(route)}" for number, route in enumerate(routes, 1)]
        return "\n".join([report_best(context, env.goal.names), "routes to the best", *lines])

    def close(self, env: DiscreteEnvironment[Any]) -> None:
        """End the workers."""
        _reactions(env).close()


def _reactions(env: DiscreteEnvironment[Any]) -> Any:
    from gflow.envs.reactions.env import Reactions

    assert isinstance(env, Reactions)
    return env

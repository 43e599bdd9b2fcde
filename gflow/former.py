"""Former names of modules and methods: they work, with a warning that says the new ones."""

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FORMER = {
    "gflow.acceptance": "gflow.behaviours.acceptance",
    "gflow.anchored": "gflow.evaluation.anchored",
    "gflow.atom": "gflow.envs.cubes.atom",
    "gflow.augmentation": "gflow.behaviours.augmentation",
    "gflow.backtracking": "gflow.behaviours.backtracking",
    "gflow.backward_choice": "gflow.backward.choice",
    "gflow.backward_learners": "gflow.backward.fits",
    "gflow.backward_replay": "gflow.behaviours.data",
    "gflow.behaviour": "gflow.behaviours.base",
    "gflow.best": "gflow.memory.best",
    "gflow.beta_mixture": "gflow.envs.cubes.beta_mixture",
    "gflow.branching": "gflow.behaviours.branching",
    "gflow.bridge": "gflow.environment.bridge",
    "gflow.checkpoint": "gflow.training.checkpoint",
    "gflow.columns": "gflow.memory.columns",
    "gflow.encoder": "gflow.policies.encoder",
    "gflow.env": "gflow.environment.discrete",
    "gflow.envs.alanine": "gflow.envs.torus.alanine",
    "gflow.envs.alanine_target": "gflow.envs.torus.alanine_target",
    "gflow.envs.alignments": "gflow.envs.phylogeny.alignments",
    "gflow.envs.alphabet": "gflow.envs.sequences.alphabet",
    "gflow.envs.annealed": "gflow.envs.diffusion.annealed",
    "gflow.envs.annealing_path": "gflow.envs.diffusion.annealing_path",
    "gflow.envs.architecture": "gflow.envs.architectures.env",
    "gflow.envs.architecture_data": "gflow.envs.architectures.data",
    "gflow.envs.atom_canonical": "gflow.envs.atoms.canonical",
    "gflow.envs.atom_chemistry": "gflow.envs.atoms.chemistry",
    "gflow.envs.atom_policy": "gflow.envs.atoms.policy",
    "gflow.envs.bags": "gflow.envs.sets.bags",
    "gflow.envs.bits": "gflow.envs.sequences.bits",
    "gflow.envs.box": "gflow.envs.cubes.box",
    "gflow.envs.box_moves": "gflow.envs.cubes.moves",
    "gflow.envs.box_policy": "gflow.envs.cubes.policy",
    "gflow.envs.box_rewards": "gflow.envs.cubes.rewards",
    "gflow.envs.composition": "gflow.envs.pairs.composition",
    "gflow.envs.cube": "gflow.envs.cubes.cube",
    "gflow.envs.dag_data": "gflow.envs.dags.data",
    "gflow.envs.dag_guide": "gflow.envs.dags.guide",
    "gflow.envs.dag_local_scores": "gflow.envs.dags.local_scores",
    "gflow.envs.dag_metrics": "gflow.envs.dags.metrics",
    "gflow.envs.dag_policy": "gflow.envs.dags.policy",
    "gflow.envs.dag_scores": "gflow.envs.dags.scores",
    "gflow.envs.diffusion_bridge": "gflow.envs.diffusion.bridge",
    "gflow.envs.diffusion_oracle": "gflow.envs.diffusion.oracle",
    "gflow.envs.diffusion_policy": "gflow.envs.diffusion.policy",
    "gflow.envs.diffusion_process": "gflow.envs.diffusion.process",
    "gflow.envs.dominating_set": "gflow.envs.graphs.dominating_set",
    "gflow.envs.gaussian_steps": "gflow.envs.diffusion.gaussian_steps",
    "gflow.envs.graph_classes": "gflow.envs.graphs.classes",
    "gflow.envs.graph_draw": "gflow.envs.graphs.draw",
    "gflow.envs.graph_instances": "gflow.envs.graphs.instances",
    "gflow.envs.graph_optima": "gflow.envs.graphs.optima",
    "gflow.envs.graph_policy": "gflow.envs.graphs.policy",
    "gflow.envs.hypergrid": "gflow.envs.grids.hypergrid",
    "gflow.envs.hypergrid_rewards": "gflow.envs.grids.rewards",
    "gflow.envs.independent_set": "gflow.envs.graphs.independent_set",
    "gflow.envs.landscapes": "gflow.envs.grids.landscapes",
    "gflow.envs.node_subsets": "gflow.envs.graphs.node_subsets",
    "gflow.envs.pair": "gflow.envs.pairs.pair",
    "gflow.envs.qm9_string": "gflow.envs.sequences.qm9_string",
    "gflow.envs.rna": "gflow.envs.sequences.rna",
    "gflow.envs.rna_scores": "gflow.envs.sequences.rna_scores",
    "gflow.envs.sequence_base": "gflow.envs.sequences.base",
    "gflow.envs.sequence_rewards": "gflow.envs.sequences.rewards",
    "gflow.envs.small_graphs": "gflow.envs.graphs.small_graphs",
    "gflow.envs.spin_rewards": "gflow.envs.spins.rewards",
    "gflow.envs.tfbind": "gflow.envs.sequences.tfbind",
    "gflow.envs.torus_metrics": "gflow.envs.torus.metrics",
    "gflow.envs.torus_policy": "gflow.envs.torus.policy",
    "gflow.envs.torus_targets": "gflow.envs.torus.targets",
    "gflow.envs.unit_cube": "gflow.envs.cubes.base",
    "gflow.envs.von_mises": "gflow.envs.torus.von_mises",
    "gflow.exact_samples": "gflow.behaviours.exact_samples",
    "gflow.exploration": "gflow.sampling.exploration",
    "gflow.front_replay": "gflow.behaviours.front",
    "gflow.kernel": "gflow.environment.density",
    "gflow.kernel_env": "gflow.environment.continuous",
    "gflow.kernel_evaluation": "gflow.evaluation.densities",
    "gflow.kernel_rollout": "gflow.sampling.densities",
    "gflow.langevin_search": "gflow.behaviours.langevin",
    "gflow.local_search": "gflow.behaviours.local_search",
    "gflow.pareto": "gflow.memory.pareto",
    "gflow.policy": "gflow.policies.base",
    "gflow.pool": "gflow.rewards.pool",
    "gflow.preferences": "gflow.conditions.preferences",
    "gflow.relabel": "gflow.behaviours.hindsight",
    "gflow.replay": "gflow.memory.replay",
    "gflow.replay_draw": "gflow.memory.draw",
    "gflow.replay_keep": "gflow.memory.keep",
    "gflow.retrace": "gflow.evaluation.retrace",
    "gflow.reversed": "gflow.sampling.reversed",
    "gflow.reward": "gflow.rewards.base",
    "gflow.rollout": "gflow.sampling.sampler",
    "gflow.scalarizations": "gflow.rewards.scalarizations",
    "gflow.sequence_policy": "gflow.policies.transformer",
    "gflow.sorted_index": "gflow.memory.sorted_index",
    "gflow.space": "gflow.environment.base",
    "gflow.split_policy": "gflow.policies.split",
    "gflow.state_value": "gflow.policies.state_value",
    "gflow.tabular": "gflow.exact.tabular",
    "gflow.tracking": "gflow.training.tracking",
    "gflow.train_config": "gflow.training.config",
    "gflow.trajectory_count": "gflow.backward.count",
    "gflow.vector_reward": "gflow.rewards.vector",
    "gflow.walk": "gflow.sampling.walk",
}

FORMER_NAMES = {
    "BackwardReplay": "gflow.behaviours",
    "CachedReward": "gflow.rewards",
    "Clipped": "gflow.rewards",
    "LogZ": "gflow.objective",
    "ReplayBuffer": "gflow.memory",
    "Reversed": "gflow.sampling",
    "SplitPolicy": "gflow.policies",
    "StateGraph": "gflow.exact",
    "TemperatureConditional": "gflow.rewards",
    "Tempered": "gflow.rewards",
}
"""What was at the top level once, and the room of each."""


def former_name(name: str) -> Any:
    """What was at the top level once, with a warning of its room.

    Raises:
        AttributeError: For other names.
    """
    if name not in FORMER_NAMES:
        raise AttributeError(f"module 'gflow' has no attribute {name!r}")
    home = FORMER_NAMES[name]
    warnings.warn(
        f"gflow.{name} is {home}.{name} now; the former name goes with the next version.",
        DeprecationWarning,
        stacklevel=3,
    )
    return getattr(import_module(home), name)


class FormerNames(MetaPathFinder, Loader):
    """Finds a module under its former name, as the very module that it is now."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What loads it, for names of the table alone."""
        return ModuleSpec(name, self) if name in FORMER else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Nothing of its own."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in its place."""
        home = FORMER[module.__name__]
        warnings.warn(
            f"{module.__name__} is {home} now; the former name goes with the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[module.__name__] = import_module(home)


def install() -> None:
    """Answer for former names, once, after everything else that finds modules."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(FormerNames())


def formerly(name: str, today: Callable[P, R]) -> Callable[P, R]:
    """The function of today under its former name."""

    @wraps(today)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        warnings.warn(
            f"{name} is {today.__name__} now; the former name goes with the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return today(*args, **kwargs)

    return call

"""Options of a run: dataclasses that become flags, a YAML file, and objects."""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from gflow.backward.choice import BackwardOptions
from gflow.envs.architectures.task import ArchitectureTask
from gflow.envs.atoms.task import AtomsTask
from gflow.envs.cubes.task import BoxTask
from gflow.envs.dags.task import DagsTask
from gflow.envs.diffusion.task import DiffusionTask
from gflow.envs.graphs.task import IndependentSetTask
from gflow.envs.grids.landscapes_task import LandscapesTask
from gflow.envs.grids.task import HypergridTask
from gflow.envs.molecules.task import MoleculesTask
from gflow.envs.phylogeny.task import PhylogenyTask
from gflow.envs.sequences.bits_task import BitsTask
from gflow.envs.sequences.rna_task import RNATask
from gflow.envs.sequences.tfbind_task import TFBindTask
from gflow.envs.sets.bags_task import BagsTask
from gflow.envs.sets.task import SetsTask
from gflow.envs.spins.task import SpinsTask
from gflow.envs.torus.task import TorusTask
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.objective import Objective
from gflow.objectives import OBJECTIVES
from gflow.objectives.led import Residual
from gflow.objectives.opsubtb import OrderPreservingSubTrajectoryBalance
from gflow.objectives.order_preserving import Order, OrderPreserving
from gflow.objectives.regression import REGRESSIONS, Huber, Linex, Regression, SquaredUpTo
from gflow.objectives.subtb import SubTrajectoryBalance, Weighting
from gflow.tasks.behaviours import BehaviourOptions
from gflow.tasks.task import RunOptions, Task
from gflow.training.trainer import TrainConfig

TASKS: dict[str, type[Task]] = {
    cls.name: cls
    for cls in (
        HypergridTask,
        MoleculesTask,
        AtomsTask,
        DagsTask,
        BitsTask,
        TFBindTask,
        RNATask,
        SetsTask,
        BagsTask,
        SpinsTask,
        IndependentSetTask,
        LandscapesTask,
        ArchitectureTask,
        PhylogenyTask,
        DiffusionTask,
        TorusTask,
        BoxTask,
    )
}


def task_class(name: str) -> type[Task]:
    """The options of an environment by name.

    Raises:
        UnknownNameError: With the closest known name.
    """
    if name not in TASKS:
        raise UnknownNameError("environment", name, TASKS)
    return TASKS[name]


@dataclass(frozen=True)
class ObjectiveOptions:
    """Which objective, and its settings.

    Attributes:
        objective: Name from `gflow list`; empty for the environment's default.
        regression: How residuals are punished: squared, half_squared, huber, shifted_cosh, linex
            or squared_up_to.
        regression_parameter: delta of huber, alpha of linex, limit of squared_up_to.
        lam: Decay of sub-trajectory balance per unit of length.
        weighting: Weighting of sub-trajectory balance.
        log_z: Initial log Z of tb; the environment's own guess if not given.
        op_order: How order-preserving objectives (op...) compare: all pairs, random pairs, or the
            front of a batch; auto is all_pairs for one score and listwise for several.
        lambda_op: Weight of their order loss; 1 for optb and 0.1 for the others if not given.
        lambda_kl: Weight of their divergence of P_B from uniform.
        fm_epsilon: Added to both sides of fm.
        fm_leaf_coefficient: Weight of finished objects in fm; 0 weighs all states alike.
        led_base: Balance under the learned energies of led.
        led_residual: What led does with the energy that its potentials leave unexplained.
        led_lr: Learning rate of the potentials.
        led_steps: Gradient steps on the potentials per training batch.
        led_memory: Batches remembered for the potentials.
        led_dropout: Share of the potentials left out of each sum.
        led_width: Units per layer of the potentials' network.
        adjoint_repeats: Times at which adjoint regresses the drift, per object.
        adjoint_clip: Largest norm of the gradient of log R in adjoint; 0 for no limit.
    """

    objective: str = ""
    regression: Literal[
        "squared", "half_squared", "huber", "shifted_cosh", "linex", "squared_up_to"
    ] = "squared"
    regression_parameter: float | None = None
    lam: float = 0.9
    weighting: Weighting = "geometric_within"
    log_z: float | None = None
    op_order: Order = "auto"
    lambda_op: float | None = None
    lambda_kl: float = 0.0
    fm_epsilon: float = 0.0
    fm_leaf_coefficient: float = 0.0
    led_base: Literal["subtb", "db"] = "subtb"
    led_residual: Residual = "redistribute"
    led_lr: float = 1e-3
    led_steps: int = 8
    led_memory: int = 100
    led_dropout: float = 0.1
    led_width: int = 128
    adjoint_repeats: int = 4
    adjoint_clip: float = 0.0

    def build(self, task: Task, env: Any) -> Objective:
        """The objective for an environment.

        Raises:
            UnknownNameError: Unknown objective.
            IncompatibleError: Objective and environment cannot work together.
        """
        name = self.objective or task.objective
        if name not in OBJECTIVES:
            raise UnknownNameError("objective", name, OBJECTIVES)
        cls = OBJECTIVES[name]
        settings: dict[str, Any] = {"regression": self._regression()}
        if name == "tb":
            settings["log_z"] = task.log_z(env) if self.log_z is None else self.log_z
            if env.num_scores and env.condition_dim:
                settings["condition_dim"] = env.condition_dim
                settings["condition_encoder"] = task.condition_encoder(env)
        elif issubclass(cls, OrderPreserving):
            settings |= {"order": self.op_order, "lambda_kl": self.lambda_kl}
            if self.lambda_op is not None:
                settings["lambda_op"] = self.lambda_op
            if name == "opflsubtb":
                settings["encoder"] = task.encoder(env, 64)
            if issubclass(cls, OrderPreservingSubTrajectoryBalance):
                settings["lam"] = self.lam
        elif issubclass(cls, SubTrajectoryBalance):
            settings |= {"lam": self.lam, "weighting": self.weighting}
        elif name == "fm":
            settings["epsilon"] = self.fm_epsilon
            settings["leaf_coefficient"] = self.fm_leaf_coefficient or None
        elif name == "adjoint":
            settings |= {"repeats": self.adjoint_repeats, "clip": self.adjoint_clip or None}
        elif name == "led":
            settings |= {
                key: getattr(self, f"led_{key}")
                for key in ("base", "residual", "lr", "steps", "memory", "dropout", "width")
            }
            encoder = task.encoder(env, self.led_width)
            if encoder is None and not env.feature_sizes:
                raise IncompatibleError(
                    f"LearnedEnergyDecomposition cannot train on {env.name}: it holds a network of "
                    f"states and knows none for an environment without `feature_sizes`. Use fldb "
                    f"or flsubtb, or, in Python, LearnedEnergyDecomposition.build(encoder=...)."
                )
            settings |= {"lam": self.lam, "encoder": encoder}
        objective = cls.build(env, **settings)
        objective.check(env)
        return objective

    def _regression(self) -> Regression:
        if self.regression not in REGRESSIONS:
            raise UnknownNameError("regression", self.regression, REGRESSIONS)
        cls = REGRESSIONS[self.regression]
        if self.regression_parameter is None:
            return cls()
        if cls not in (Huber, Linex, SquaredUpTo):
            raise ConfigError(f"The regression {self.regression!r} takes no parameter.")
        return cls(self.regression_parameter)


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run."""

    task: Task
    objective: ObjectiveOptions
    train: TrainConfig
    run: RunOptions
    behaviour: BehaviourOptions = dataclasses.field(default_factory=BehaviourOptions)
    backward: BackwardOptions = dataclasses.field(default_factory=BackwardOptions)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dicts, for YAML and checkpoints."""
        parts = {
            part: {k: _plain(v) for k, v in dataclasses.asdict(getattr(self, part)).items()}
            for part in ("task", "objective", "behaviour", "train", "run", "backward")
        }
        return {"environment": self.task.name, **parts}

    def fingerprint(self) -> dict[str, Any]:
        """The settings that the numbers depend on: all but those of `run`, and where it is."""
        found = self.to_dict()
        kept = ("eval_every", "eval_samples")
        found["run"] = {k: v for k, v in found["run"].items() if k in kept}
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RunConfig":
        """The inverse of `to_dict`.

        Raises:
            ConfigError: A section or a key is missing or unknown.
        """
        if "environment" not in data:
            raise ConfigError("The configuration does not name its environment.")
        parts: dict[str, Any] = {
            "task": task_class(data["environment"]),
            "objective": ObjectiveOptions,
            "behaviour": BehaviourOptions,
            "train": TrainConfig,
            "run": RunOptions,
            "backward": BackwardOptions,
        }
        return cls(**{name: _build(part, data.get(name, {}), name) for name, part in parts.items()})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    known = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in known:
            raise ConfigError(
                f"The configuration has an unknown key {where}.{key}; known: {', '.join(known)}."
            )
    hints = typing.get_type_hints(cls)
    return cls(**{k: _coerce(v, hints[k]) for k, v in values.items()})


def _coerce(value: Any, hint: Any) -> Any:
    if isinstance(value, list) and typing.get_origin(hint) in (tuple, types.GenericAlias):
        return tuple(value)
    return value

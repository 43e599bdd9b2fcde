"""All settings of a run: from flags, from a file, as objects."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gflow.errors import ConfigError
from gflow.objective import Objective
from gflow.tasks.flags import (
    Flag,
    backward_field,
    chosen_parts,
    find,
    flags_of,
)
from gflow.tasks.parts import Part
from gflow.tasks.registry import task_class
from gflow.tasks.signature import REQUIRED, options_of
from gflow.tasks.task import RunOptions, Task
from gflow.training.config import TrainConfig

KINDS = ("objective", "regression", "behaviour", "backward", "condition")


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run.

    Attributes:
        task: The environment and what belongs to it.
        objective: What to train by.
        regression: How its residuals are punished.
        behaviour: Where training batches come from.
        backward: The backward policy; "auto" is what the task's policy has.
        condition: What the sampler is told; "auto" is what the task's environment is told.
        train: How to train.
        run: What to report and keep.
    """

    task: Task[Any]
    objective: Part
    regression: Part
    behaviour: Part
    backward: Part
    condition: Part
    train: TrainConfig
    run: RunOptions

    @classmethod
    def of(
        cls,
        task: Task[Any],
        train: TrainConfig | None = None,
        run: RunOptions | None = None,
        **parts: Part,
    ) -> "RunConfig":
        """The settings for a task with its defaults for all that is not given."""
        kind = type(task)
        field = backward_field(kind)
        told = {"condition": parts["condition"].name} if "condition" in parts else {}
        usual = kind.default_parts(vars(task) | told)
        given = {} if field is None else {field: getattr(task, field)}
        names = {**chosen_parts(kind, given), **usual}
        made = {k: parts.get(k) or _part(k, name, {}) for k, name in names.items()}
        return cls(task=task, train=train or kind.train, run=run or kind.run, **made)

    @classmethod
    def from_flags(
        cls,
        task: type[Task[Any]],
        given: Mapping[str, Any],
        listed: str,
        start: Task[Any] | None = None,
    ) -> "RunConfig":
        """The settings that values of flags say, by the names of the flags.

        Args:
            task: The class of the task.
            given: Name of a flag to its value.
            listed: What lists all flags, for messages.
            start: A task of the class whose options are the defaults.

        Raises:
            UnknownNameError: A part that there is not.
            ConfigError: A flag that there is not, or a value that is not allowed.
        """
        parts = chosen_parts(task, given)
        flags = flags_of(task, parts)
        values: dict[str, dict[str, Any]] = {"task": {}, "train": {}, "run": {}}
        for name, value in given.items():
            flag = find(name, flags, parts, listed)
            called = "--" + name.replace("_", "-")
            checked = flag.option.checked(value, called)
            if not flag.selector:
                values.setdefault(flag.section, {})[flag.option.name] = checked
        if start is None:
            _require(flags, values["task"])
            start = task(**values["task"])
        else:
            start = dataclasses.replace(start, **values["task"])
        made = {kind: _part(kind, parts[kind], values.get(kind, {})) for kind in KINDS}
        return cls(
            task=start,
            train=dataclasses.replace(task.train, **values["train"]),
            run=dataclasses.replace(task.run, **values["run"]),
            **made,
        )

    def build_objective(self, env: Any, plain: Any = None) -> Objective:
        """The objective for an environment, with what its task supplies.

        Args:
            env: The environment, with its conditions.
            plain: As the task made it, for its guess of log Z.

        Raises:
            IncompatibleError: Objective and environment cannot work together.
        """
        width, first = self.objective.settings.get("width", 64), env if plain is None else plain
        objective: Objective = self.objective.build(
            lambda name: self.task.supply(name, first if name == "log_z" else env, width),
            env=env,
            regression=self.regression.build(),
        )
        objective.check(env)
        return objective

    # ------------------------------------------------------------------ files

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dicts, for YAML and checkpoints."""
        own = {
            part: {k: _plain(v) for k, v in dataclasses.asdict(getattr(self, part)).items()}
            for part in ("task", "train", "run")
        }
        parts = {kind: getattr(self, kind).to_dict() for kind in KINDS}
        return {"environment": self.task.origin or self.task.name, **own, **parts}

    def fingerprint(self) -> dict[str, Any]:
        """The settings that the numbers depend on: all but those of `run`, and where it is."""
        found = self.to_dict()
        kept = ("eval_every", "eval_samples", "matmul")
        found["run"] = {k: v for k, v in found["run"].items() if k in kept}
        found["environment"] = self.task.name
        return found

    @classmethod
    def from_dict(cls, data: Any, cls_of_task: type[Task[Any]] | None = None) -> "RunConfig":
        """The inverse of `to_dict`.

        Args:
            data: What that gave.
            cls_of_task: The class of the task, where it is not the one that is named.

        Raises:
            ConfigError: A section or a key is missing, unknown or of a wrong type.
        """
        if not isinstance(data, dict) or not isinstance(data.get("environment"), str):
            raise ConfigError("The configuration does not name its environment.")
        for section, content in data.items():
            if section != "environment" and not isinstance(content, dict):
                raise ConfigError(
                    f"The configuration's section {section!r} must hold keys and values, got "
                    f"{content!r}."
                )
        unknown = [s for s in data if s not in ("environment", "task", "train", "run", *KINDS)]
        if unknown:
            raise ConfigError(f"The configuration has an unknown section {unknown[0]!r}.")
        found = task_class(data["environment"]) if cls_of_task is None else cls_of_task
        task = _object(found, data.get("task", {}), "task")
        defaults = cls.of(task)
        parts = {}
        for kind in KINDS:
            section = dict(data.get(kind, {}))
            name = section.pop("name", getattr(defaults, kind).name)
            parts[kind] = _part(kind, _text(kind, name), section)
        return cls(
            task=task,
            train=_object(TrainConfig, data.get("train", {}), "train"),
            run=_object(RunOptions, data.get("run", {}), "run"),
            **parts,
        )


def objective_of(task: Task[Any], name: str = "", **settings: Any) -> Part:
    """The objective of a name for a task, its default by the empty name."""
    return Part.of("objective", name or task.objective, settings)


def _part(kind: str, name: str, settings: Mapping[str, Any]) -> Part:
    if kind == "backward" and name == "auto":
        return Part(kind, name)
    return Part.of(kind, name, settings)


def _text(kind: str, name: Any) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"The configuration's {kind}.name must be text, got {name!r}.")
    return name


def _require(flags: list[Flag], given: Mapping[str, Any]) -> None:
    """Refuse a task without what has no default."""
    for flag in flags:
        if flag.option.default is REQUIRED and flag.option.name not in given:
            shown = "--" + flag.names[0].replace("_", "-")
            raise ConfigError(f"{shown} must be given: {flag.option.help or 'it has no default.'}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _object(cls: type, values: dict[str, Any], where: str) -> Any:
    known = {option.name: option for option in options_of(cls)}
    given = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"The configuration has an unknown key {where}.{key}; known: {', '.join(known)}."
            )
        given[key] = known[key].checked(value, f"The configuration's {where}.{key}")
    missing = [k for k, o in known.items() if o.default is REQUIRED and k not in given]
    if missing:
        raise ConfigError(f"The configuration lacks {where}.{missing[0]}.")
    return cls(**given)

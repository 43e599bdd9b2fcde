"""Parts of a run that are chosen by name: objective, behaviour, conditions, backward policy ...

The classes are found in their folders, and what can be set of one is what its signature says. A
new objective is one file in `objectives/`, a new behaviour one in `gflow/behaviours/`, a new
backward policy one in `gflow/backward/`, new conditions one in `gflow/conditions/`; `--objective
file.py:Class` takes one from elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gflow.backward.choice import BACKWARD_POLICIES
from gflow.behaviours.base import Behaviour
from gflow.conditions.conditioning import Conditioning
from gflow.conditions.draws import ConditionSampler
from gflow.discovery import Discovered
from gflow.errors import ConfigError, UnknownNameError
from gflow.objective import Objective
from gflow.objectives import OBJECTIVES
from gflow.objectives.regression import REGRESSIONS
from gflow.tasks.locate import absolute, load_class
from gflow.tasks.signature import Option, accepted, options_of

SUPPLIED = (
    "env",
    "regression",
    "encoder",
    "network",
    "generator",
    "condition_dim",
    "condition_encoder",
    "flows",
    "posterior",
)
"""Arguments of parts that the task and the run give, and no flag."""

SUPPLIED_BY_TASK = ("encoder", "condition_dim", "condition_encoder", "log_z", "flows", "posterior")
"""Those of them, and of its options, for which an objective asks its task."""

GUESSED = {"log_z": "the task's own guess if not given"}
"""Options whose default is the task's."""


def _by_flags(cls: type[Behaviour]) -> bool:
    if "inner" in accepted(cls):  # it changes what another gives
        return False
    try:
        options_of(cls, SUPPLIED)
    except ConfigError:  # it needs data
        return False
    return True


BEHAVIOURS: Discovered[Behaviour] = Discovered(
    "gflow.behaviours",
    Behaviour,
    "behaviour",
    _by_flags,
    "on_policy",
)
"""Every behaviour that options alone can describe, by its name."""

CONDITIONS: Discovered[Conditioning] = Discovered(
    "gflow.conditions", Conditioning, "condition", first="auto"
)
"""What a sampler may be told, by its name."""

REGISTRIES: dict[str, tuple[Mapping[str, type[Any]], tuple[type, ...]]] = {
    "objective": (OBJECTIVES, (Objective,)),
    "regression": (REGRESSIONS, ()),
    "behaviour": (BEHAVIOURS, (Behaviour,)),
    "backward": (BACKWARD_POLICIES, ()),
    "condition": (CONDITIONS, (Conditioning, ConditionSampler)),
}
"""Kind of a part to the classes by name, and what a class from elsewhere derives from."""

KIND_NAMES = {"backward": "backward policy"}
"""What a kind is called in messages, where that is not the word itself."""


def part_class(kind: str, name: str) -> type[Any]:
    """The class of a name or reference.

    Raises:
        UnknownNameError: With the closest known name.
        ConfigError: A file or module cannot be had.
    """
    known, bases = REGISTRIES[kind]
    if bases and (":" in name or name.endswith(".py")):
        return load_class(name, bases)
    if name not in known:
        raise UnknownNameError(KIND_NAMES.get(kind, kind), name, known)
    return known[name]


def part_options(kind: str, name: str) -> list[Option]:
    """What can be set of a part."""
    found = []
    for option in options_of(part_class(kind, name), SUPPLIED):
        if option.name in GUESSED:
            line = f"{option.help.rstrip('.')}; {GUESSED[option.name]}."
            option = Option(option.name, option.hint | None, None, line)
        found.append(option)
    return found


@dataclass(frozen=True)
class Part:
    """A class that was chosen by name, and all its settings.

    Attributes:
        kind: objective, regression, behaviour, backward or condition.
        name: Name or reference.
        settings: Every option of the class.
    """

    kind: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, name: str, settings: Mapping[str, Any] | None = None) -> "Part":
        """A part with defaults for what is not given.

        Raises:
            UnknownNameError: Unknown name.
            ConfigError: Unknown option or a value that is not allowed.
        """
        given = dict(settings or {})
        known = {option.name: option for option in part_options(kind, name)}
        for key in given:
            if key not in known:
                has = f"It has {', '.join(known)}." if known else "It has no options."
                raise ConfigError(f"The {kind} {name} has no option {key!r}. {has}")
        for key, option in known.items():
            given[key] = option.checked(given.get(key, option.default), f"{kind}.{key}")
        return cls(kind, absolute(name), given)

    @property
    def cls(self) -> type[Any]:
        """The class."""
        return part_class(self.kind, self.name)

    def build(self, supply: Callable[[str], Any] | None = None, **more: Any) -> Any:
        """An object of the class.

        Args:
            supply: Asked for the arguments in `SUPPLIED_BY_TASK` that the class takes.
            more: Further arguments; it gets those that it takes.
        """
        cls, names = self.cls, accepted(self.cls)
        given = {k: v for k, v in self.settings.items() if k not in GUESSED or v is not None}
        given |= {k: v for k, v in more.items() if k in names}
        for name in SUPPLIED_BY_TASK:
            if supply is not None and name in names and name not in given:
                given[name] = supply(name)
        return getattr(cls, "build", cls)(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and checkpoints."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in self.settings.items()}
        return {"name": self.name, **plain}

    @classmethod
    def from_dict(cls, kind: str, data: Mapping[str, Any], default: str) -> "Part":
        """The inverse of `to_dict`."""
        settings = {k: v for k, v in data.items() if k != "name"}
        return cls.of(kind, data.get("name", default), settings)

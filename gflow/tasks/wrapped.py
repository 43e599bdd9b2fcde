"""Tasks around other tasks: the same options and some more, another environment or policy."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from gflow.errors import ConfigError
from gflow.policies.encoder import StateEncoder
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.signature import REQUIRED, Option, documented, options_of
from gflow.tasks.task import Context, Task


@dataclass(frozen=True)
class WrappedTask(Task[Any]):
    """A task around another one, to which it leaves what it does not change.

    Classes are made by `wrapping`, for each class of tasks: its options become fields. A run's file
    names them by two words, such as ``pretrain hypergrid``.

    Attributes:
        word: The first of these words.
        made_of: The class of the task inside.
        taken: Names of its options, which are fields here.
        left_out: Options of the task inside that say nothing here, and keep their defaults.
        defaults: Options of the task inside with another default here.
    """

    word: ClassVar[str]
    made_of: ClassVar[type[Task[Any]]]
    taken: ClassVar[tuple[str, ...]] = ()
    left_out: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    refuses_conditions: ClassVar[str] = (
        "a pre-trained sampler is told outcomes and nothing else, and turned to one reward at a "
        "time. Leave --condition out, or train the task itself (gflow train)."
    )

    @property
    def inside(self) -> Task[Any]:
        """The task inside."""
        return self.made_of(**{name: getattr(self, name) for name in self.taken})

    @classmethod
    def settle(cls) -> None:
        """Fill in what depends on the task inside: training defaults and the like."""

    def environment(self) -> Any:
        """The environment of the task inside."""
        return self.inside.environment()

    def encoder(self, env: Any, width: int) -> StateEncoder | None:
        """As inside."""
        return self.inside.encoder(env, width)

    def log_z(self, env: Any) -> float:
        """As inside."""
        return self.inside.log_z(env)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """As inside."""
        return self.inside.metrics(context, objects)

    def rewards(self, env: Any, objects: Any, condition: Tensor | None = None) -> Tensor | None:
        """As inside."""
        return self.inside.rewards(env, objects, condition)

    def describe(self, env: Any, objects: Any) -> list[str]:
        """As inside."""
        return self.inside.describe(env, objects)

    def object_written(self, env: Any, objects: Any) -> list[Any]:
        """As inside."""
        return self.inside.object_written(env, objects)

    def object_smiles(self, env: Any, objects: Any) -> list[str] | None:
        """As inside."""
        return self.inside.object_smiles(env, objects)

    def object_facts(self, env: Any, objects: Any) -> dict[str, list[Any]]:
        """As inside."""
        return self.inside.object_facts(env, objects)

    def object_drawings(self, env: Any, objects: Any) -> list[str]:
        """As inside."""
        return self.inside.object_drawings(env, objects)

    def object_similarity(self, env: Any, objects: Any) -> Tensor | None:
        """As inside."""
        return self.inside.object_similarity(env, objects)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """As inside."""
        return self.inside.artifacts(context, folder)

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """As inside."""
        return self.inside.pictures(shown)

    def captions(self) -> dict[str, str]:
        """As inside."""
        return self.inside.captions()

    def report(self, context: Context) -> str:
        """As inside."""
        return self.inside.report(context)

    def close(self, env: Any) -> None:
        """As inside."""
        self.inside.close(env)


def wrapping(kind: type[WrappedTask], inside: type[Task[Any]], reference: str) -> type[WrappedTask]:
    """The class of tasks of a kind around those of a class.

    Args:
        kind: What wraps.
        inside: The class of the task inside.
        reference: What stands for that in a run's file.

    Raises:
        ConfigError: If two options have one name.
    """
    own = {option.name for option in options_of(kind)}
    options = [option for option in options_of(inside) if option.name not in kind.left_out]
    both = [option.name for option in options if option.name in own]
    if both:
        raise ConfigError(
            f"{inside.name}: its option {both[0]} is called like one of `gflow {kind.word}`. "
            f"Rename it."
        )
    fields: list[Any] = [(o.name, o.hint, _default(o, kind.defaults)) for o in options]
    lines = [f"    {o.name}: {o.help or 'Option of ' + inside.name + '.'}" for o in options]
    lines += [f"    {name}: {line}" for name, line in documented(kind).items() if name in own]
    summary = f"{inside.summary}; {(kind.__doc__ or '').splitlines()[0].rstrip('.').lower()}"
    cls: type[WrappedTask] = dataclasses.make_dataclass(
        f"{kind.__name__}Of{inside.__name__}",
        fields,
        bases=(kind,),
        namespace={"__doc__": "\n".join([summary, "", "Attributes:", *lines])},
        frozen=True,
    )
    cls.name, cls.summary = f"{kind.word}-{inside.name}", summary
    cls.origin = f"{kind.word} {reference}"
    cls.made_of, cls.taken = inside, tuple(option.name for option in options)
    cls.train, cls.run, cls.headline = inside.train, inside.run, inside.headline
    cls.exact_limit, cls.__module__ = inside.exact_limit, inside.__module__
    cls.settle()
    return cls


def _default(option: Option, defaults: dict[str, Any]) -> Any:
    if option.default is REQUIRED:
        return dataclasses.field(kw_only=True)
    return dataclasses.field(default=defaults.get(option.name, option.default), kw_only=True)

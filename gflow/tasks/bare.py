"""A task made from an environment alone: options from its signature, a policy for its features."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from gflow.backward.choice import BackwardChoice
from gflow.bounds import Count
from gflow.environment.base import Environment
from gflow.errors import ConfigError, GFlowError
from gflow.tasks.signature import REQUIRED, Option, options_of
from gflow.tasks.task import Task


@dataclass(frozen=True)
class PolicyOptions:
    """The network that is made for an environment with `feature_sizes`.

    Attributes:
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "learned"


@dataclass(frozen=True)
class BareTask(Task[Any]):
    """A task of an environment for which nobody wrote one.

    Attributes:
        made_of: The class of the environment.
        taken: Names of the arguments of that class, which are fields here.
        there: An environment that is there already, and takes none.
    """

    made_of: ClassVar[type[Environment[Any]]]
    taken: ClassVar[tuple[str, ...]] = ()
    there: ClassVar[Environment[Any] | None] = None

    def environment(self) -> Environment[Any]:
        """The environment, from the options of the same names."""
        if self.there is not None:
            return self.there
        settings = {name: getattr(self, name) for name in self.taken}
        try:
            return self.made_of(**settings)
        except GFlowError:
            raise
        except Exception as error:
            said = ", ".join(f"{k}={v!r}" for k, v in settings.items())
            raise ConfigError(
                f"{self.made_of.__name__}({said}) cannot be built: {type(error).__name__}: {error}"
            ) from error


def task_of(env: type[Environment[Any]]) -> type[BareTask]:
    """A task class for an environment class: its arguments and those of its policy as fields.

    Where an argument of the environment is called like an option of the policy, that becomes
    `policy_width` and so on.

    Raises:
        ConfigError: An argument without a default cannot be a flag.
    """
    return _made(env, options_of(env))


def task_of_object(env: Environment[Any]) -> BareTask:
    """A task for an environment that is there already: its options are those of its policy."""
    cls = _made(type(env), [])
    cls.there = env
    return cls()


def _made(env: type[Environment[Any]], options: list[Option]) -> type[BareTask]:
    taken = tuple(option.name for option in options)
    fields: list[Any] = [
        (o.name, o.hint, dataclasses.field(kw_only=True))
        if o.default is REQUIRED
        else (o.name, o.hint, dataclasses.field(default=o.default, kw_only=True))
        for o in options
    ]
    lines = [f"    {o.name}: {o.help or 'Argument of ' + env.__name__ + '.'}" for o in options]
    for o in options_of(PolicyOptions):
        name = f"policy_{o.name}" if o.name in taken else o.name
        fields.append((name, o.hint, dataclasses.field(default=o.default, kw_only=True)))
        lines.append(f"    {name}: {o.help}")
    summary = ((env.__doc__ or "").strip().splitlines() or [env.__name__])[0]
    cls: type[BareTask] = dataclasses.make_dataclass(
        f"{env.__name__}Task",
        fields,
        bases=(BareTask,),
        namespace={"__doc__": "\n".join([summary, "", "Attributes:", *lines])},
        frozen=True,
    )
    cls.name, cls.summary, cls.made_of, cls.taken = env.__name__.lower(), summary, env, taken
    cls.__module__ = env.__module__
    return cls

"""Tasks by name: the built-in ones, those of installed packages, and classes by reference.

Only the task that is asked for is imported. A package adds names of its own by entry points:

    [project.entry-points."gflow.tasks"]
    polymers = "my_package.tasks:PolymerTask"

A reference, `package.module:Class` or `file.py:Class`, may name a `Task` or an `Environment`.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gflow.bounds import complaint
from gflow.environment.base import Environment
from gflow.errors import ConfigError, GFlowError, UnknownNameError
from gflow.tasks.bare import task_of
from gflow.tasks.locate import absolute, load_class
from gflow.tasks.signature import options_of
from gflow.tasks.task import Task
from gflow.tasks.wrapped import wrapping

GROUP = "gflow.tasks"
"""The entry points by which a package adds tasks."""

BUILT_IN = {
    "hypergrid": "gflow.envs.grids.task:HypergridTask",
    "molecules": "gflow.envs.molecules.task:MoleculesTask",
    "atoms": "gflow.envs.atoms.task:AtomsTask",
    "reactions": "gflow.envs.reactions.task:ReactionsTask",
    "dags": "gflow.envs.dags.task:DagsTask",
    "bits": "gflow.envs.sequences.bits_task:BitsTask",
    "tfbind": "gflow.envs.sequences.tfbind_task:TFBindTask",
    "rna": "gflow.envs.sequences.rna_task:RNATask",
    "noisy-tfbind": "gflow.envs.noise.tfbind_task:NoisyTFBindTask",
    "sets": "gflow.envs.sets.task:SetsTask",
    "bags": "gflow.envs.sets.bags_task:BagsTask",
    "spins": "gflow.envs.spins.task:SpinsTask",
    "marginals": "gflow.envs.marginals.task:MarginalsTask",
    "mis": "gflow.envs.graphs.task:IndependentSetTask",
    "landscapes": "gflow.envs.grids.landscapes_task:LandscapesTask",
    "architecture": "gflow.envs.architectures.task:ArchitectureTask",
    "grammar": "gflow.envs.grammar.task:GrammarTask",
    "phylogeny": "gflow.envs.phylogeny.task:PhylogenyTask",
    "proofs": "gflow.envs.proofs.task:ProofsTask",
    "written-proofs": "gflow.envs.proofs.written_task:WrittenProofsTask",
    "diffusion": "gflow.envs.diffusion.task:DiffusionTask",
    "torus": "gflow.envs.torus.task:TorusTask",
    "arithmetic": "gflow.envs.language.arithmetic_task:ArithmeticTask",
    "integers": "gflow.envs.language.integers_task:IntegersTask",
    "continuation": "gflow.envs.language.continuation_task:ContinuationTask",
    "infilling": "gflow.envs.language.infilling_task:InfillingTask",
    "mixture": "gflow.envs.mixture.task:MixtureTask",
    "rationales": "gflow.envs.language.rationale_task:RationalesTask",
    "tictactoe": "gflow.envs.games.task:TicTacToeTask",
    "connect4": "gflow.envs.games.task:Connect4Task",
    "digits": "gflow.envs.codes.task:DigitsTask",
    "ebgfn": "gflow.envs.energies.task:EBGFNTask",
    "box": "gflow.envs.cubes.task:BoxTask",
    "stochastic-grid": "gflow.envs.noise.grid_task:StochasticGridTask",
}


class Tasks(Mapping[str, type[Task[Any]]]):
    """Every task that has a name; each is imported when it is looked up."""

    def __getitem__(self, name: str) -> type[Task[Any]]:
        if name in BUILT_IN:
            return load_class(BUILT_IN[name], (Task,))
        installed = _installed()
        if name not in installed:
            raise UnknownNameError("environment", name, self)
        return _task_of_package(installed[name])

    def __iter__(self) -> Iterator[str]:
        return iter((*BUILT_IN, *(name for name in _installed() if name not in BUILT_IN)))

    def __len__(self) -> int:
        return len(list(iter(self)))


TASKS = Tasks()


def importable() -> tuple[dict[str, type[Task[Any]]], dict[str, str]]:
    """Tasks by name, and why those of other packages that cannot be imported are not among them."""
    found, broken = {}, {}
    for name in TASKS:
        try:
            found[name] = TASKS[name]
        except GFlowError as error:
            broken[name] = str(error)
    return found, broken


def task_class(reference: str) -> type[Task[Any]]:
    """The task that a name or a reference stands for.

    Args:
        reference: A name from `gflow list`, ``package.module:Class`` or ``file.py:Class``; the
            class may be a `Task` or an `Environment`, from whose signature a task is made. Before
            it may stand ``pretrain``, ``converted`` or ``amortised`` and a space.

    Raises:
        UnknownNameError: With the closest known name.
        ConfigError: The file, the module or the class cannot be had, or is of another kind.
    """
    word, _, inside = reference.partition(" ")
    if inside:
        return _wrapped(word, inside)
    if ":" not in reference and not reference.endswith(".py"):
        return TASKS[reference]
    found = load_class(reference, (Task, Environment))
    cls: type[Task[Any]] = found if issubclass(found, Task) else task_of(found)
    cls.origin = absolute(reference)
    return cls


def _wrapped(word: str, inside: str) -> type[Task[Any]]:
    from gflow.tasks.outcomes import WRAPPED
    from gflow.tasks.own_reward import RewardedTask

    known = WRAPPED | {RewardedTask.word: RewardedTask}
    if word not in known:
        return TASKS[f"{word} {inside}"]  # refuses
    return wrapping(known[word], task_class(inside), absolute(inside))


def with_own_reward(reference: str, reward: str | None) -> str:
    """The reference of a task for what was said by --reward, if anything was.

    Args:
        reference: Of the task.
        reward: A function, or a name among those that the task itself has.

    Raises:
        ConfigError: It is neither.
    """
    from gflow.tasks.own_reward import WORD

    if reward is None or reference.startswith(f"{WORD} "):
        return reference
    own = {option.name: option for option in options_of(task_class(reference))}.get("reward")
    if own is not None and (":" not in reward or complaint(reward, own.hint) is None):
        return reference
    if ":" not in reward:
        raise ConfigError(
            f"--reward takes a function of your own here, as file.py:function or "
            f"package.module:function, got {reward!r}."
        )
    return f"{WORD} {reference}"


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _task_of_package(point: EntryPoint) -> type[Task[Any]]:
    package = point.dist.name if point.dist is not None else "a package"
    try:
        found = load_class(point.value, (Task, Environment))
    except ConfigError as error:
        raise ConfigError(f"The environment {point.name!r} of {package}: {error}") from error
    cls: type[Task[Any]] = found if issubclass(found, Task) else task_of(found)
    cls.origin = point.name
    return cls

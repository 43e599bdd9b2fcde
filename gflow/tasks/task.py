"""Tasks: an environment with what a person needs around it, in Python and on the command line."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from gflow.backward.choice import BACKWARD_POLICIES, own_backward, with_backward
from gflow.behaviours.base import Behaviour
from gflow.bounds import Count, Natural, NotNegative, check_fields
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact.graph import StateGraph, enumerate_states
from gflow.learner import Learner
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.policies.asked import Asked
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.policies.mlp import MLPPolicy
from gflow.rewards.base import LogReward
from gflow.sampling.sampler import Sampler
from gflow.terms import Needs
from gflow.training.callbacks import TrainingCallback
from gflow.training.config import TrainConfig
from gflow.training.improvement import Goal, goal_of
from gflow.training.trainer import Trainer

if TYPE_CHECKING:
    from gflow.tasks.conditional import Conditions
    from gflow.tasks.games import SolvedGame
    from gflow.tasks.levels import Levels
    from gflow.tasks.parts import Part
    from gflow.tasks.shown import Picture, Shown

E = TypeVar("E", bound=Environment[Any])


@dataclass(frozen=True)
class RunOptions:
    """How to run and what to keep.

    Attributes:
        out: Folder of the run; by default runs/ENV-OBJECTIVE-SEED.
        overwrite: Start anew in a folder that holds a run.
        eval_every: Steps between evaluations.
        eval_samples: Objects sampled per evaluation.
        checkpoint_every: Steps between checkpoints.
        pictures_every: Steps between pictures of the run while it trains, for trackers and gflow
            serve, a multiple of eval_every; 0 for the end alone.
        stop_metric: End early when this metric of the evaluations (tv, loss, mean_reward) no longer
            improves.
        patience: Evaluations without an improvement after which it ends.
        stop_goal: Whether small or large values of that metric are good; auto by its name.
        min_delta: What an improvement must be more than.
        minutes: Minutes of this process after which the run ends; gflow resume goes on. 0 for none.
        keep_best: Keep checkpoints/best.pt of the evaluation where this metric is best.
        best_goal: Whether small or large values of that metric are good; auto by its name.
        keep_every: Keep checkpoints/step-N.pt every so many steps; 0 for none.
        track: Further trackers: tensorboard, wandb.
        threads: Threads of torch; 0 leaves its own choice.
        matmul: How exact products of float32 matrices are. "high" and "medium" may be faster, on
            AMD processors too, where they go by oneDNN; numbers differ in the last digits.
        device: Where to train: cpu, cuda, or cuda:N.
        quiet: Print only the result.
    """

    out: str = ""
    overwrite: bool = False
    eval_every: Count = 200
    eval_samples: Count = 500
    checkpoint_every: Count = 200
    pictures_every: Natural = 0
    stop_metric: str = ""
    patience: Count = 10
    stop_goal: Goal = "auto"
    min_delta: NotNegative = 0.0
    minutes: NotNegative = 0.0
    keep_best: str = ""
    best_goal: Goal = "auto"
    keep_every: Natural = 0
    track: tuple[str, ...] = ()
    threads: Natural = 0
    matmul: Literal["highest", "high", "medium"] = "highest"
    device: str = "cpu"
    quiet: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for metric, goal in ((self.stop_metric, self.stop_goal), (self.keep_best, self.best_goal)):
            if metric and goal == "auto":
                goal_of(metric)
        for name, usual in (("patience", 10), ("stop_goal", "auto"), ("min_delta", 0.0)):
            if not self.stop_metric and getattr(self, name) != usual:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r} is about ending early, and no metric is "
                    f"watched: set stop_metric too."
                )
        if self.pictures_every % self.eval_every:
            raise ConfigError(
                f"pictures_every={self.pictures_every} must be a multiple of "
                f"eval_every={self.eval_every}: pictures are drawn where the run is evaluated."
            )
        try:
            kind = torch.device(self.device).type
        except RuntimeError as e:
            raise ConfigError(f"device must be cpu, cuda or cuda:N, got {self.device!r}.") from e
        if kind == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"device={self.device}: torch sees no GPU here. Use device=cpu.")


@dataclass(frozen=True)
class Task(ABC, Generic[E]):
    """An environment with its options, and what a person needs to train on it and to look at it.

    Subclasses are frozen dataclasses; every field becomes a flag, with its line under `Attributes`
    as help. Only `environment` has to be written:

        @dataclass(frozen=True)
        class PolymerTask(Task[Polymers]):
            length: Count = 8

            def environment(self) -> Polymers:
                return Polymers(self.length)

    Attributes:
        name: As on the command line; by default that of the class without "Task".
        summary: One line for `gflow list`; by default the first of the docstring.
        origin: What stands for the class in a run's file, if not its name.
        train: Training defaults that work here.
        run: Run defaults.
        objective: Objective by default.
        headline: Metrics printed while training; the files have all of them.
        exact_limit: Enumerate environments up to this many states for exact metrics.
        refuses_conditions: Why its sampler may not be told more, as --condition says; empty if it
            may.
        has_marginals: Whether its policy is a `MarginalPolicy`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    origin: ClassVar[str] = ""
    train: ClassVar[TrainConfig] = TrainConfig()
    run: ClassVar[RunOptions] = RunOptions()
    objective: ClassVar[str] = "tb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "optimal",
        "tv",
        "mean_reward",
        "top_reward",
        "log_z",
        "log_z_error",
        "elbo",
        "ess",
    )
    exact_limit: ClassVar[int] = 20_000
    refuses_conditions: ClassVar[str] = ""
    has_marginals: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name and summary for classes that give none."""
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.removesuffix("Task").lower() or cls.__name__.lower()
        if "summary" not in cls.__dict__:
            cls.summary = ((cls.__doc__ or "").strip().splitlines() or [cls.name])[0]

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def default_parts(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Names of the objective and the behaviour where none is given, by the other options.

        Args:
            given: Options that are given, by name.
        """
        return {"objective": cls.objective, "behaviour": "on_policy"}

    @abstractmethod
    def environment(self) -> E:
        """The environment that the options describe."""

    def policy(self, env: E, needs: Needs) -> Policy:
        """A fresh policy with the heads that an objective needs.

        By default a perceptron over `feature_sizes`, as wide and deep as fields `width` and
        `depth` say, with the backward policy of a field `backward`.

        Raises:
            IncompatibleError: The environment is not for such a policy.
        """
        if not env.numbered or not env.feature_sizes:
            lacks = (
                "it declares no `feature_sizes` (one number per column of `encode`, which must "
                "then be whole numbers below it). Give it these"
                if env.numbered
                else "its moves have densities, and each kind of them needs heads of its own. Write"
            )
            tail = (
                ", or write a Task whose `policy(env, needs)` returns a network for it."
                if env.numbered
                else " a Task whose `policy(env, needs)` returns a network for it."
            )
            raise IncompatibleError(f"There is no policy for {env.name} by default: {lacks}{tail}")
        return MLPPolicy(
            env,
            self._policy_option("width", 256),
            self._policy_option("depth", 2),
            own_backward(self._policy_option("backward", "learned"))
            if env.has_backward
            else "uniform",
            log_flow=needs.flows(env),
            condition_encoder=self.condition_encoder(env),
        )

    def _policy_option(self, name: str, default: Any) -> Any:
        return getattr(self, f"policy_{name}", getattr(self, name, default))

    def backward_network(self, env: E, log_flow: bool) -> Policy:
        """A fresh second network for P_B, with a backward head or with a log-flow head.

        Raises:
            IncompatibleError: If the task does not choose its backward policy by an option.
        """
        kind = "uniform" if log_flow else "learned"
        field = "policy_backward" if hasattr(self, "policy_backward") else "backward"
        if not hasattr(self, field):
            raise IncompatibleError(
                f"{type(self).__name__} has no option `backward`, so it builds no second network "
                f"for P_B. Leave --backward at auto, or give the task that option."
            )
        return replace(self, **{field: kind}).policy(env, Needs(log_flow=log_flow))

    @classmethod
    def cheap(cls) -> Any:
        """An environment of the kind that is quick to build, to ask which objectives it admits."""
        return cls().environment()

    def encoder(self, env: E, width: int) -> StateEncoder | None:
        """What networks beside the policy read states with; None for categorical features."""
        return None

    def log_z(self, env: E) -> float:
        """Initial log Z."""
        return 0.0

    def supply(self, name: str, env: E, width: int) -> Any:
        """What an objective takes beside its options, by the name of its argument.

        Args:
            name: Of the argument.
            env: The environment.
            width: Units of networks beside the policy.
        """
        told = 0 if env.reward.has_known_log_z or env.source_reads_condition else env.condition_dim
        match name:
            case "encoder":
                return self.encoder(env, width)
            case "log_z":
                return self.log_z(env)
            case "condition_dim":
                return told
            case "condition_encoder":
                return self.condition_encoder(env) if told else None
            case "flows" | "posterior":  # of a pre-trained sampler (`gflow finetune`)
                return None
        raise ConfigError(f"A task supplies no {name!r} to an objective.")

    def has_exact_law(self, env: E) -> bool:
        """Whether R / Z is what a run should come to, and so what it is measured against."""
        return True

    def metrics(self, context: "Context", objects: Any) -> dict[str, float]:
        """Metrics of this task, from freshly sampled objects."""
        return {}

    def condition(self, env: E) -> ConditionSampler | None:
        """Draws the conditions of training batches, for tasks that have them."""
        return None

    def condition_encoder(self, env: E) -> nn.Module | None:
        """What policies and log Z read of a condition; None for the condition as it is."""
        return env.condition_encoder()

    def behaviour(self, env: E, chosen: Behaviour) -> Behaviour:
        """Where training batches come from: what the options choose, or that wrapped."""
        return chosen

    def learners(self, env: E, policy: Policy) -> list[Learner]:
        """What is learned beside the policy: the model of a latent-variable task, say.

        Args:
            env: The environment.
            policy: As `policy` made it; a learner may take a part of it over.
        """
        return []

    def watchers(
        self, env: E, rewards: Callable[[Any], Tensor] | None = None
    ) -> list[TrainingCallback]:
        """What sees every step and says its `numbers` in evaluations; checkpoints keep it.

        Args:
            env: The environment.
            rewards: (B,) rewards of objects, of a task around this one in the place of its own.
        """
        return []

    def rewards(self, env: E, objects: Any, condition: Tensor | None = None) -> Tensor | None:
        """(B,) the reward R of objects, before any temperature: what `mean_reward` is the mean of.

        None where R spans so many orders of magnitude that its mean says nothing (posteriors,
        densities, energies) or where there are several scores; log R is then what is reported.
        """
        return object_log_reward(env, objects, condition).exp()

    def scaled(self, env: E, reward: LogReward[Any]) -> LogReward[Any]:
        """A reward of a person's own, with what the options say beside the reward; itself if so.

        Args:
            env: The environment with the reward that the options describe.
            reward: What stands in its place.
        """
        return reward

    def describe(self, env: E, objects: Any) -> list[str]:
        """One line per object, for `gflow sample`."""
        lines: list[str] = env.show(objects)
        return lines

    def object_written(self, env: E, objects: Any) -> list[Any]:
        """Objects as people write them, hashable: what functions of `--reward` are called with.

        By default `Environment.written`, or the lines of `describe` where the task has its own.
        """
        if type(self).describe is not Task.describe:
            return list(self.describe(env, objects))
        found: list[Any] = env.written(objects)
        return found

    def object_smiles(self, env: E, objects: Any) -> list[str] | None:
        """SMILES of objects that are molecules; None for others."""
        return None

    def object_facts(self, env: E, objects: Any) -> dict[str, list[Any]]:
        """What else tables of objects say of each, by name: numbers or text, one for each."""
        return {}

    def object_drawings(self, env: E, objects: Any) -> list[str]:
        """An SVG of each object, for tables; none by default."""
        return []

    def object_similarity(self, env: E, objects: Any) -> Tensor | None:
        """(B, B) how alike objects are, 1 for equal ones; None where nothing says."""
        return None

    def artifacts(self, context: "Context", folder: Path) -> dict[str, Path]:
        """Write what a user of this task expects to find; pictures and tables by name."""
        return {}

    def pictures(self, shown: "Shown") -> "dict[str, Picture]":
        """Figures of the learned sampler by name; by default a table of the best objects.

        Environments draw in a module of their own beside them (`draw.py`); the run saves what
        comes back, with captions for its page. The rewards are drawn for every environment.
        """
        from gflow.tasks.histogram import object_table

        table = object_table(shown)
        return {} if table is None else {"best_objects": table}

    def captions(self) -> dict[str, str]:
        """What pictures of `artifacts` show, by the names of their files without ending."""
        return {}

    def report(self, context: "Context") -> str:
        """What to print at the end."""
        return ""

    def close(self, env: E) -> None:
        """Release worker processes and the like; nothing by default."""


def object_log_reward(
    env: Environment[Any], objects: Any, condition: Tensor | None = None
) -> Tensor:
    """(B,) log R of finished objects, each for all the states that stand for it together."""
    value = env.log_reward(objects, condition).double()
    shared = env.log_multiplicity(objects)
    return value if shared is None else value + shared.double()


@dataclass
class Context:
    """A run in progress, as tasks see it.

    Attributes:
        task: The task.
        env: Its environment, without the conditions that the run chose; `trainer.env` has them.
        trainer: The trainer.
        best: The best objects.
        graph: All states of `env`, where they are listed and `policy` is one for it.
        front: The objects that no other dominates, of several scores.
        numbers: The metrics of the last report.
        exact: What some of them are at the exact solution, where it is known.
        solved: The exact solution of a game, by the identity of its list of states.
        conditions: What the sampler is told.
        levels: The conditions at which it is measured, if it is told any.
    """

    task: Task[Any]
    env: Any
    trainer: Trainer
    best: BestObjects | None
    graph: StateGraph[Any] | None
    front: ParetoArchive | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    exact: dict[str, float] = field(default_factory=dict)
    solved: dict[int, "SolvedGame"] = field(default_factory=dict)
    conditions: "Conditions | None" = None
    levels: "Levels | None" = None

    @property
    def sampler(self) -> Sampler:
        """Draws trajectories of `env` by `policy`."""
        told = self.conditions
        if told is None or not told.chosen:
            return self.trainer.sampler
        return Sampler(self.env, self.trainer.config.plan)

    def evaluation_generator(self) -> torch.Generator:
        """The random numbers of the evaluation at this step, apart from those of training."""
        trainer = self.trainer
        seed = trainer.config.seed * 1_000_003 + trainer.step
        return torch.Generator(trainer.device).manual_seed(seed)

    @property
    def solution(self) -> "SolvedGame | None":
        """The exact solution of a game, if it was solved for `env`."""
        return self.solved.get(id(self.graph))

    @property
    def policy(self) -> Policy | None:
        """The evaluated policy as one for `env`, without the conditions that the run chose.

        It is asked for the condition by which the environment is `env`; None where there is no
        such condition, or it is not among those that are trained on.
        """
        policy, told = self.trainer.evaluated_policy, self.conditions
        if told is None or not told.chosen or told.draw is None:
            return policy
        reference = told.conditioning.reference(told.env)
        return None if reference is None else Asked(policy, reference)


def policy_and_learners(
    task: Task[Any], told: "Conditions", needs: Needs, backward: "Part"
) -> tuple[Policy, list[Learner]]:
    """The policy of a task with the chosen backward policy, what fits that, and other learners.

    Tasks that choose it themselves ("auto") keep what they choose. Without moves back the default
    means none.
    """
    env, policy = told.env, told.policy(task, needs)
    own = task.learners(env, policy)
    if backward.name == "auto" or (backward.name == "learned" and not env.has_backward):
        return policy, own
    cls = BACKWARD_POLICIES[backward.name]
    network = None
    if cls.network != "none":
        network = task.backward_network(env, log_flow=cls.network == "log_flow")
    policy, fits = with_backward(backward.name, env, policy, network, **backward.settings)
    return policy, [*fits, *own]


def enumerate_if_small(task: Task[Any], env: Any) -> StateGraph[Any] | None:
    """All states, if there are few enough to be worth it and all trajectories start alike."""
    if env.source_reads_condition or not task.has_exact_law(env):
        return None
    if not env.has_keys or env.num_keys is None or env.num_keys > task.exact_limit:
        return None
    with torch.no_grad():
        return enumerate_states(env)

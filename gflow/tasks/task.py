"""What the command line must know of an environment to train on it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gflow.backward.choice import SECOND_NETWORK, BackwardOptions, with_backward
from gflow.behaviours.base import Behaviour
from gflow.conditions.draws import ConditionSampler
from gflow.errors import ConfigError
from gflow.exact.graph import StateGraph, enumerate_states
from gflow.learner import Learner
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.policies.base import Policy
from gflow.policies.encoder import StateEncoder
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig, Trainer


@dataclass(frozen=True)
class RunOptions:
    """How to run and what to keep.

    Attributes:
        out: Folder of the run; by default runs/ENV-OBJECTIVE-SEED.
        overwrite: Start anew in a folder that holds a run.
        eval_every: Steps between evaluations.
        eval_samples: Objects sampled per evaluation.
        checkpoint_every: Steps between checkpoints.
        track: Further trackers: tensorboard, wandb.
        threads: Threads of torch; 0 leaves its own choice.
        device: Where to train: cpu, cuda, or cuda:N.
        quiet: Print only the result.
    """

    out: str = ""
    overwrite: bool = False
    eval_every: int = 200
    eval_samples: int = 500
    checkpoint_every: int = 200
    track: tuple[str, ...] = ()
    threads: int = 0
    device: str = "cpu"
    quiet: bool = False

    def __post_init__(self) -> None:
        for name in ("eval_every", "eval_samples", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        try:
            kind = torch.device(self.device).type
        except RuntimeError as e:
            raise ConfigError(f"device must be cpu, cuda or cuda:N, got {self.device!r}.") from e
        if kind == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"device={self.device}: torch sees no GPU here. Use device=cpu.")


@dataclass(frozen=True)
class Task(ABC):
    """Options of one environment on the command line, and what to build from them.

    Subclasses are frozen dataclasses; every field becomes a flag.

    Attributes:
        name: As on the command line.
        summary: One line for `gflow list`.
        train: Training defaults that work here.
        run: Run defaults.
        objective: Objective by default.
        headline: Figures printed while training; the files have all of them.
        exact_limit: Enumerate environments up to this many states for exact metrics.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    train: ClassVar[TrainConfig]
    run: ClassVar[RunOptions] = RunOptions()
    objective: ClassVar[str] = "tb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "mean_reward",
        "top_reward",
        "log_z",
        "log_z_error",
        "elbo",
        "ess",
    )
    exact_limit: ClassVar[int] = 20_000

    @abstractmethod
    def environment(self) -> Any:
        """The environment that the options describe."""

    @abstractmethod
    def policy(self, env: Any, needs: Needs) -> Policy:
        """A fresh policy with the heads that an objective needs."""

    def backward_network(self, env: Any, log_flow: bool) -> Policy:
        """A fresh second network for P_B, with a backward head or with a log-flow head."""
        kind = "uniform" if log_flow else "learned"
        return replace(self, backward=kind).policy(env, Needs(log_flow=log_flow))  # type: ignore[call-arg]

    @classmethod
    def cheap(cls) -> Any:
        """An environment of the kind that is quick to build, to ask which objectives it admits."""
        return cls().environment()

    def encoder(self, env: Any, width: int) -> StateEncoder | None:
        """What networks beside the policy read states with; None for categorical features."""
        return None

    def log_z(self, env: Any) -> float:
        """Initial log Z."""
        return 0.0

    def metrics(self, context: "Context", objects: Any) -> dict[str, float]:
        """Figures of this task, from freshly sampled objects."""
        return {}

    def condition(self, env: Any) -> ConditionSampler | None:
        """Draws the conditions of training batches, for tasks that have them."""
        return None

    def condition_encoder(self, env: Any) -> nn.Module | None:
        """What policies and log Z read of a condition; None for the condition as it is."""
        return None

    def behaviour(self, env: Any, chosen: Behaviour) -> Behaviour:
        """Where training batches come from: what the options choose, or that wrapped."""
        return chosen

    def rewards(self, env: Any, objects: Any) -> Tensor:
        """(B,) the reward R that users think of, before temperatures and corrections."""
        reward: Tensor = env.log_reward(objects).exp()
        return reward

    def describe(self, env: Any, objects: Any) -> list[str]:
        """One line per object, for `gflow sample`."""
        lines: list[str] = env.show(objects)
        return lines

    def finish(self, context: "Context", folder: Path) -> dict[str, Path]:
        """Write what a user of this task expects to find; pictures by name."""
        return {}

    def report(self, context: "Context") -> str:
        """What to print at the end."""
        return ""

    def close(self, env: Any) -> None:  # noqa: B027
        """Release worker processes and the like; nothing by default."""


@dataclass
class Context:
    """A run in progress, as tasks see it."""

    task: Task
    env: Any
    trainer: Trainer
    best: BestObjects | None
    graph: StateGraph[Any] | None
    front: ParetoArchive | None = None
    numbers: dict[str, float] = field(default_factory=dict)


def policy_and_learners(
    task: Task, env: Any, needs: Needs, options: BackwardOptions
) -> tuple[Policy, list[Learner]]:
    """The policy of a task with the backward policy that its options name, and what fits it.

    Tasks without an option `backward` keep the backward policy that they choose.
    """
    kind = getattr(task, "backward", "auto")
    policy = task.policy(env, needs)
    if kind == "auto":
        return with_backward(policy.backward, env, policy, options=options)
    network = None
    if kind in SECOND_NETWORK:
        network = task.backward_network(env, log_flow=kind == "learned_maxent")
    return with_backward(kind, env, policy, network, options)


def enumerate_if_small(task: Task, env: Any) -> StateGraph[Any] | None:
    """All states, if there are few enough to be worth it and one law is meant."""
    if env.condition_dim:
        return None
    if not env.has_keys or env.num_keys is None or env.num_keys > task.exact_limit:
        return None
    with torch.no_grad():
        return enumerate_states(env)

"""A trained sampler in Python: `gflow.fit` makes one, `gflow.load` takes one from a folder.

`Trained.save_pretrained` puts one into a folder that can be given away, `from_pretrained` is back.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count, Natural
from gflow.conditions.conditioning import Conditioning
from gflow.conditions.draws import ConditionSampler
from gflow.conditions.ranges import RangeConditions
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.objective import Objective
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.pretrained import converted, same_states
from gflow.policies.asked import Asked
from gflow.policies.base import Policy
from gflow.runs import pretrained
from gflow.runs.build import build_context
from gflow.runs.folder import run_folder_of
from gflow.runs.objects import rows_of
from gflow.runs.probability import log_prob
from gflow.runs.run import Run
from gflow.sampling.sampler import Sampler
from gflow.shown import of_trainer
from gflow.state import batch_size
from gflow.tasks.bare import task_of_object
from gflow.tasks.flags import backward_field
from gflow.tasks.measure import evaluate_run
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import task_class, with_own_reward
from gflow.tasks.task import Context, Task
from gflow.training.callbacks import told_of
from gflow.training.trainer import Callback, Trainer
from gflow.trajectories import Trajectories


@dataclass(frozen=True)
class Trained:
    """A sampler that was trained, and what belongs to it.

    Attributes:
        config: All settings.
        context: The task, its environment, the trainer, the best objects, the graph of all states.
        given: What was made in Python and passed: policy, condition.
    """

    config: RunConfig
    context: Context
    given: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return of_trainer(self.trainer, "Trained")

    @property
    def env(self) -> Environment[Any]:
        """The environment, with the conditions that its sampler is told."""
        env: Environment[Any] = self.trainer.env
        return env

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.trainer.device

    @property
    def trainer(self) -> Trainer:
        """The trainer, to go on with."""
        return self.context.trainer

    @property
    def policy(self) -> Policy:
        """The policy: the average of its weights, where one is kept."""
        return self.trainer.evaluated_policy

    @property
    def objective(self) -> Objective:
        """What it was trained by."""
        return self.trainer.objective

    @property
    def sampler(self) -> Sampler:
        """Draws trajectories of the environment."""
        return self.trainer.sampler

    @property
    def step(self) -> int:
        """Steps of training."""
        return self.trainer.step

    def trajectories(
        self, number: int, seed: int = 0, condition: Tensor | None = None
    ) -> Trajectories[Any]:
        """Fresh trajectories of the policy.

        Args:
            number: How many.
            seed: Of the random numbers.
            condition: (number, C), or (C,) for all, what the sampler is told; drawn as in training
                if not given.
        """
        if number < 1:
            raise ConfigError(f"Trained.sample: number must be at least 1, got {number}.")
        trainer = self.trainer
        generator = torch.Generator(trainer.device).manual_seed(seed)
        if condition is not None:
            condition = self._checked(condition, number)
        elif trainer.condition is not None:
            condition = trainer.condition(number, generator)
        return trainer.sampler.forward(
            self.policy, number, condition=condition, generator=generator, device=trainer.device
        )

    def sample(self, number: int, seed: int = 0, condition: Tensor | None = None) -> Any:
        """Finished objects, `number` of them, as states of the environment."""
        return self.trajectories(number, seed, condition).final_states

    def table(
        self, number: int, seed: int = 0, condition: Tensor | None = None
    ) -> list[dict[str, Any]]:
        """Objects in words with their reward, or with log R: the lines of `gflow sample`.

        Short conditions stand beside them. The reward is that without any temperature that the
        sampler was told, log R that with it.

        Args:
            number: How many.
            seed: Of the random numbers.
            condition: As of `trajectories`.
        """
        return rows_of(self.context, self.env, self.trajectories(number, seed, condition))

    def log_prob(
        self,
        objects: Any,
        condition: Sequence[float] | Tensor | None = None,
        trajectories: Count = 100,
        seed: int = 0,
    ) -> Tensor:
        """(B,) float64 log-probabilities (log-densities) with which it gives finished objects.

        Exact where the run lists all states and the sampler is told nothing; else estimated by
        backward importance sampling (`gflow.metrics.log_likelihood`), exact on trees.

        Args:
            objects: B finished objects, as states of the environment.
            condition: (B, C), or (C,) for all, what the sampler is told.
            trajectories: Drawn backward from each object, where it is estimated.
            seed: Of these.

        Raises:
            IncompatibleError: Without moves back, or of what is no finished object.
        """
        count = batch_size(objects)
        if condition is None and self.trainer.condition is not None:
            raise IncompatibleError(
                f"{self.env.name}: this sampler is told conditions, and its probabilities depend "
                f"on them. Pass condition=, (C,) for all or (B, C) one row an object."
            )
        told = None if condition is None else self._checked(condition, count)
        return log_prob(self, objects, told, trajectories, seed)

    def save_pretrained(self, folder: str | Path, samples: Natural = 100) -> Path:
        """Write the sampler into a folder that can be moved, given away, or put on a hub.

        It holds `config.json` (all settings), `model.safetensors` (the evaluated policy, what the
        objective and learners learned), `README.md` (a card), and `files/`: copies of the files and
        folders that the settings name, code of your own among them. The state of the optimiser and
        memories stay behind: what goes on training exactly is a run's folder.

        Args:
            folder: Where; these files are replaced if they are there.
            samples: Objects drawn to measure the sampler for the card; 0 for none.

        Returns:
            The folder.

        Raises:
            ConfigError: If the folder is that of a run.
            MissingExtraError: Without safetensors.
        """
        return pretrained.save(self, folder, samples)

    def asked(self, condition: Sequence[float] | Tensor) -> Policy:
        """The policy for one condition, as one that is told nothing.

        Args:
            condition: (C,) or (1, C).

        Raises:
            ShapeError: If it is not as wide as what the sampler is told.
        """
        return Asked(self.policy, self._checked(condition, 1))

    def ranges(self, *ranges: str) -> Tensor:
        """(C,) the condition that asks for ranges, for a sampler trained with those.

        Args:
            ranges: As ``"logP 2..3"``, ``"weight ..400"``; what is not named may be anything.

        Raises:
            IncompatibleError: This sampler is not told ranges, or none of this quantity.
            ConfigError: A range that is none.
        """
        told = self.context.conditions
        if told is None or not isinstance(told.conditioning, RangeConditions):
            raise IncompatibleError(
                f"{self.env.name}: this sampler is told no ranges, so none can be asked for. Train "
                f"one with --condition ranges."
            )
        return told.conditioning.condition_of(told.env, ranges).to(self.device)

    def _checked(self, condition: Sequence[float] | Tensor, number: int) -> Tensor:
        """(number, C) conditions from as many, or from one for all."""
        rows = torch.as_tensor(condition, dtype=torch.get_default_dtype(), device=self.device)
        rows = rows[None] if rows.dim() == 1 else rows
        sampler = self.trainer.condition
        if sampler is None:
            raise IncompatibleError(
                f"{self.env.name}: this sampler is told nothing, so no condition can be asked for."
            )
        width = sampler(1).shape[1]
        if rows.dim() != 2 or rows.shape[1] != width or len(rows) not in (1, number):
            raise ShapeError(
                f"{self.env.name}: a condition has {width} numbers, for all or one row for each of "
                f"{number}, got shape {tuple(rows.shape)}."
            )
        return rows.expand(number, -1)

    @property
    def metrics(self) -> dict[str, float]:
        """What `gflow eval` measures; exact numbers, such as `tv`, where all states are known."""
        return evaluate_run(self.context, self.config.run.eval_samples)

    @property
    def outcome_flows(self) -> OutcomeFlows:
        """The flows to outcomes of a pre-trained sampler (`gflow pretrain`), frozen.

        Raises:
            IncompatibleError: If it was trained on something else, or without a log-flow head.
        """
        env = require_numbered(self.env, "outcome_flows", "There are no outcomes to mix.")
        return OutcomeFlows(self.policy, env)

    def converted(self, env: DiscreteEnvironment[Any], draws: int = 0) -> Policy:
        """The sampler of another reward on the same states, without training.

        Args:
            env: The environment whose reward is wanted.
            draws: Outcomes drawn for each state; 0 sums over all objects, where they can be listed.

        Raises:
            IncompatibleError: If the states are others, or this is no pre-trained sampler.
        """
        flows = self.outcome_flows
        same_states(env, flows.env)
        return converted(flows, env, draws)

    def train(self, steps: int) -> "Trained":
        """So many further steps."""
        self.trainer.train(steps)
        return self

    def close(self) -> None:
        """End the worker processes of the reward, if it has any."""
        self.context.task.close(self.context.env)


def fit(
    what: Environment[Any] | Task[Any] | str,
    objective: str = "",
    *,
    policy: Policy | None = None,
    condition: str | ConditionSampler | Conditioning | None = None,
    progress: bool = False,
    tracker: Any = None,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Trained:
    """Train a sampler, without a folder and, unless asked to, without a word.

        >>> from gflow.envs import HyperGrid
        >>> trained = fit(HyperGrid(2, 4), "subtb", steps=20, lam=0.8, width=16)
        >>> trained.sample(3).shape
        torch.Size([3, 2])

    Args:
        what: An environment, a task, or what `gflow train` takes: a name, `file.py:Class`.
        objective: Name of the objective; by default the task's.
        policy: The policy to train; by default the task's, for an environment a perceptron over
            `feature_sizes`.
        condition: What the sampler is told: a name with settings `condition_...`, a `Conditioning`,
            or, for an environment that reads conditions, what draws them.
        progress: As of `Trainer`; records come every `eval_every` steps.
        tracker: Likewise.
        callbacks: Likewise: `EarlyStopping`, `TimeLimit` and others, or functions.
        settings: Every flag of `gflow train` by its name: `steps`, `lr`, `lam`, `led_lr`, `side`.

    Raises:
        GFlowError: A setting that there is not or that is not allowed, or parts that do not go
            together.
    """
    if isinstance(condition, str):
        settings, condition = {**settings, "condition": condition}, None
    config = settings_for(what, objective, policy, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        context = build_context(config, policy, condition)
        told = told_of(progress, tracker, config.train.steps, config.train)
        context.trainer.callbacks = (*context.trainer.callbacks, *callbacks, *told)
        context.trainer.train()
    passed = {"policy": policy, "condition": condition}
    return Trained(config, context, tuple(name for name, one in passed.items() if one is not None))


def load(folder: str | Path, checkpoint: str = "last") -> Trained:
    """The sampler of a run's folder at its last checkpoint, or of `save_pretrained`.

        sampler = gflow.load("runs/hypergrid-tb-0")
        objects = sampler.sample(100)
        sampler.log_prob(objects), sampler.table(5), sampler.env, sampler.policy

    Args:
        folder: The folder.
        checkpoint: Of a run, another one that was kept: "best", "step-N".

    Raises:
        ConfigError: The folder holds neither, or no such checkpoint.
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    path = Path(folder).expanduser()
    if (path / pretrained.SETTINGS).exists() and not run_folder_of(path):
        if checkpoint != "last":
            raise ConfigError(f"{path} holds one sampler and no checkpoints: leave checkpoint out.")
        return from_pretrained(path)
    run = Run.open(path, checkpoint=checkpoint)
    return Trained(run.config, run.context)


def from_pretrained(
    folder: str | Path,
    *,
    environment: Environment[Any] | Task[Any] | None = None,
    policy: Policy | None = None,
    condition: ConditionSampler | Conditioning | None = None,
    trust_code: bool = False,
    device: str = "cpu",
) -> Trained:
    """The sampler that `Trained.save_pretrained` wrote into a folder, with equal numbers.

    It may be trained on, with a fresh optimiser.

    Args:
        folder: The folder.
        environment: The environment or task again, if it was made in Python.
        policy: Likewise one like the policy that was passed to `gflow.fit`; gets the weights.
        condition: Likewise what draws the conditions.
        trust_code: Run the Python files that came with the folder.
        device: Where to compute.

    Raises:
        ConfigError: There is no sampler in it, something must be passed, or it brings code.
        CheckpointError: The weights are damaged or do not fit.
        MissingExtraError: Without safetensors.
    """
    return pretrained.load(
        folder,
        environment=environment,
        policy=policy,
        condition=condition,
        trust_code=trust_code,
        device=device,
    )


def settings_for(
    what: Environment[Any] | Task[Any] | str,
    objective: str,
    policy: Policy | None,
    settings: dict[str, Any],
) -> RunConfig:
    """The settings that `fit` trains with."""
    task: Task[Any] | type[Task[Any]]
    if isinstance(what, str):
        task = task_class(with_own_reward(what, settings.get("reward")))
    elif isinstance(what, Environment):
        task = task_of_object(what)
    elif isinstance(what, Task):
        task = what
    else:
        raise ConfigError(
            f"fit: what to train on must be an environment, a task or a name, got {what!r}."
        )
    given = dict(settings)
    if objective:
        given["objective"] = objective
    kind = task if isinstance(task, type) else type(task)
    field = backward_field(kind)
    if not isinstance(task, type) and field is not None:
        given.setdefault(field, getattr(task, field))
    listed = f"gflow train {kind.name} --help"
    start = None if isinstance(task, type) else task
    try:
        config = RunConfig.from_flags(kind, given, listed, start)
    except ConfigError as error:
        error.args = (in_python(str(error)), *error.args[1:])
        raise
    if policy is not None:
        config = replace(config, backward=replace(config.backward, name="auto", settings={}))
    return config


def in_python(text: str) -> str:
    """What is said of flags, said of arguments.

    >>> in_python("There is no flag --stepz. Add --objective led, or leave --led-lr out.")
    "There is no argument stepz. Add objective='led', or leave led_lr out."
    """
    text = re.sub(
        r"Add --(\w+) (\w+)", r"Add \1='\2'", text.replace("no flag --", "no argument --")
    )
    return re.sub(r"--(?!help)([a-z][a-z0-9-]*)", lambda m: m[1].replace("-", "_"), text)

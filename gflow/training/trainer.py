"""The training loop: sample, evaluate, balance, step. Small enough to copy and change."""

import ast
import copy
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.base import Behaviour, OnPolicy, Rollout
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError, NonFiniteLossError
from gflow.learner import Learner, average_into, parameters_of
from gflow.memory.replay import ReplayBuffer
from gflow.objective import Objective
from gflow.policies.base import Policy
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.kernel_sampler import check_exploration, sampler_of
from gflow.state import take
from gflow.terms import FlowTerms
from gflow.training.config import TrainConfig
from gflow.trajectories import Trajectories

__all__ = ["Callback", "Record", "TrainConfig", "Trainer"]

Record = dict[str, float]
Callback = Callable[["Trainer", Trajectories[Any], Record], None]


class Trainer:
    """Trains a policy on an environment with an objective.

    Args:
        env: The environment.
        policy: The policy; trained in place.
        objective: The objective; its own parameters are trained at `config.log_z_lr`, its networks
            of states with the policy.
        config: How to train.
        condition: Draws conditions, for environments that read one.
        behaviour: Where fresh trajectories come from; the policy itself by default.
        learners: What is learned beside the policy, in addition to what the objective learns.
        callbacks: Called after every step with the trainer, the batch and the step's record.

    Raises:
        IncompatibleError: If the objective cannot work with the environment or the policy.
        ConfigError: If the behaviour needs larger batches, or batches a larger memory.

    Attributes:
        step: Number of gradient steps done.
        generator: Source of all randomness of sampling.
    """

    def __init__(
        self,
        env: Environment[Any],
        policy: Policy,
        objective: Objective,
        config: TrainConfig = TrainConfig(),
        *,
        condition: ConditionSampler | None = None,
        behaviour: Behaviour | None = None,
        learners: Sequence[Learner] = (),
        callbacks: Sequence[Callback] = (),
    ) -> None:
        reads = env.condition_dim > 0
        if reads != (condition is not None) and not (condition and env.source_reads_condition):
            raise IncompatibleError(
                f"{env.name} reads conditions of width {env.condition_dim}; the trainer was given "
                f"{'none' if condition is None else 'a sampler of conditions'}. Pass `condition=` "
                f"exactly for environments with condition_dim > 0."
            )
        objective.check(env, policy, conditional=condition is not None)
        self.behaviour = OnPolicy() if behaviour is None else behaviour
        self.behaviour.check(env, objective)
        self.learners = [*objective.learners(env), *learners]
        self.env, self.policy, self.objective, self.config = env, policy, objective, config
        self.condition, self.callbacks = condition, tuple(callbacks)
        self.device = next(policy.parameters()).device
        self.sampler = sampler_of(env, config.plan)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.step = 0
        taken = parameters_of(self.learners)
        networks = [p for module in objective.networks for p in module.parameters()]
        main = [p for p in [*policy.parameters(), *networks] if id(p) not in taken]
        taken |= {id(p) for p in networks}
        groups: list[dict[str, Any]] = [{"params": main, "lr": config.lr}]
        groups[0]["weight_decay"] = config.weight_decay
        own = [p for p in objective.parameters() if id(p) not in taken]
        if own:
            groups.append({"params": own, "lr": config.log_z_lr, "weight_decay": 0.0})
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self._main, self._parameters = main, [*main, *own]
        half_life = config.lr_half_life
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: 0.5 ** (step / half_life) if half_life else 1.0
        )
        self.average = copy.deepcopy(policy).requires_grad_(False) if config.ema else None
        self.replay = None
        fresh = config.batch_size - (config.replayed if config.replay else 0)
        if fresh:  # which is what is left once the memory is filled
            self.behaviour.check_count(fresh)
        if config.replay:
            self.replay = ReplayBuffer(
                env,
                config.replay,
                config.replay_keep,
                None if config.replay_draw == "auto" else config.replay_draw,
                config.replay_rebuild,
                distinct=config.replay_distinct,
                top=config.replay_top,
                cutoff=config.replay_cutoff,
            )
            self.replay.require_room(config.batch_size)
        if config.augment:
            augmentation = BackwardAugmentation(config.augment_objects, config.augment)
            assert self.replay is not None  # else TrainConfig refuses
            self.replay.require_room(config.augment_objects)
            self.callbacks = (augmentation, *self.callbacks)
        check_exploration(env, self.exploration)
        self._check_strict()

    @property
    def evaluated_policy(self) -> Policy:
        """The averaged policy if there is one, else the policy."""
        return self.policy if self.average is None else self.average

    @property
    def exploration(self) -> Exploration:
        """How the sampler explores at the present step."""
        c = self.config
        epsilon = c.epsilon
        if c.epsilon_steps:
            epsilon *= max(0.0, 1 - self.step / c.epsilon_steps)
        noise = c.noise
        if c.noise_steps:
            noise *= max(0.0, 1 - self.step / c.noise_steps)
        found = Exploration(
            epsilon,
            c.trajectory_epsilon,
            c.temperature,
            c.stop_bias,
            other=self.average if c.ema_sampling else None,
            other_weight=c.ema_sampling,
            noise=noise,
        )
        return ON_POLICY if found == ON_POLICY else found

    def sample(self) -> Trajectories[Any]:
        """The next training batch: fresh trajectories, and remembered ones if there is a memory."""
        count = self.config.batch_size
        old = 0
        if self.replay is not None and self.replay.ready(count):
            old = self.config.replayed
        parts = []
        if count > old:
            rollout = Rollout(
                self.policy,
                self.sampler,
                self.exploration,
                self.condition,
                self.generator,
                self.device,
            )
            parts.append(self.behaviour.collect(rollout, count - old))
        if self.replay is not None:
            if old:
                parts.append(
                    self.replay.sample(self.sampler, old, self.generator, self.device, self.policy)
                )
            if count > old:
                self.replay.add(parts[0].whole)
        return Trajectories.join(parts)

    def train_step(self) -> Record:
        """One gradient step.

        Returns:
            Loss, mean log-reward, mean length, the objective's estimate of log Z, and figures of
            the behaviour and the learners.

        Raises:
            NonFiniteLossError: Naming the environment, the objective and the trajectory.
        """
        batch = self.sample()
        learned: Record = {}
        for learner in self.learners:
            learned |= learner.learn(self.env, self.policy, batch, self.generator)
        value, terms = self.descend(batch)
        if self.config.lr_half_life:
            self.schedule.step()
        if self.average is not None:
            average_into(self.average, self.policy, 1 - self.config.ema)
        self.step += 1
        rewards = batch.whole.log_reward
        record = {
            "loss": value,
            "mean_log_reward": float(rewards.mean()),
            "mean_length": int(terms.length.sum()) / len(batch),
            "log_z": float(self.objective.log_z_estimate(terms).detach().mean()),
            **self.objective.figures(terms),
            **learned,
            **self.behaviour.figures,
        }
        for callback in self.callbacks:
            callback(self, batch.whole, record)
        return record

    def descend(self, batch: Trajectories[Any]) -> tuple[float, FlowTerms]:
        """One step of the optimiser on given trajectories; their loss and terms before it.

        Raises:
            NonFiniteLossError: Naming the environment, the objective and the trajectory.
        """
        terms = self.objective.evaluate(self.env, self.policy, batch)
        loss = self.objective(terms)
        value = float(loss.detach())
        if not math.isfinite(value):
            self._diagnose(batch, terms)
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        if self.config.grad_clip:
            # A list: a generator would be empty from the second step on.
            torch.nn.utils.clip_grad_norm_(self._main, self.config.grad_clip)
        self.optimizer.step()
        return value, terms

    def train(self, steps: int | None = None) -> Record:
        """`steps` gradient steps, by default up to `config.steps` in all; the last record."""
        record: Record = {}
        for _ in range(self.config.steps - self.step if steps is None else steps):
            record = self.train_step()
        return record

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """All that the numbers of the next step depend on."""
        numpy_state: Any = np.random.get_state()  # noqa: NPY002
        kind, keys, *rest = numpy_state
        return {
            "step": self.step,
            "policy": self.policy.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "replay": None if self.replay is None else self.replay.state_dict(),
            "behaviour": self.behaviour.state_dict(),
            "condition": None if self.condition is None else self.condition.state_dict(),
            "learners": [learner.state_dict() for learner in self.learners],
            "generator": self.generator.get_state(),
            "torch_random": torch.get_rng_state(),
            "python_random": repr(random.getstate()),
            "numpy_random": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue as if the run that gave `state` had not stopped."""
        self.step = state["step"]
        self.policy.load_state_dict(state["policy"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.replay is not None:
            self.replay.load_state_dict(state["replay"])
        self.behaviour.load_state_dict(state["behaviour"])
        if self.condition is not None:
            self.condition.load_state_dict(state["condition"])
        for learner, saved in zip(self.learners, state["learners"], strict=True):
            learner.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_random"])
        version, internal, gauss = ast.literal_eval(state["python_random"])
        random.setstate((version, tuple(internal), gauss))
        kind, keys, *rest = state["numpy_random"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002

    # ------------------------------------------------------------------ complaints

    def _check_strict(self) -> None:
        """Refuse to mix other trajectories into those that a strict objective learns from."""
        if not self.objective.strict:
            return
        explores = self.exploration is not ON_POLICY and not self.behaviour.gives_samples
        for what, done, names in (
            ("replay", self.config.replay > 0, "replay=0"),
            ("exploration", explores, "noise=0, epsilon=0 and the like"),
        ):
            if done:
                raise IncompatibleError(
                    f"{type(self.objective).__name__} learns from exact draws of one law, and "
                    f"{what} would mix in others. Switch it off ({names}), or use tb or vargrad, "
                    f"which learn from any trajectories."
                )

    def _diagnose(self, batch: Trajectories[Any], terms: FlowTerms) -> None:
        with torch.no_grad():
            share = self.objective.per_trajectory(terms)
        bad = ~share.isfinite()
        if bool(bad.all()):  # one bad weight spoils the batch mean of others
            bad = ~terms.log_weight.isfinite()
        bad = bad.nonzero()
        row = int(bad[0]) if len(bad) else int(share.abs().argmax())
        length = int(batch.length[row])
        path = self.env.show(take(batch.states, batch.state_index[row, : length + 1]))
        if length > 8:
            path = [*path[:4], "...", *path[-3:]]

        def numbers(values: Tensor) -> str:
            return "[" + ", ".join(f"{v:.3g}" for v in values[row, :length].tolist()) + "]"

        weights = [n for n, p in self.policy.named_parameters() if not bool(p.isfinite().all())]
        cause = (
            f"The policy's weights are already not finite ({', '.join(weights[:3])}): lower the "
            f"learning rate (lr={self.config.lr:g}) or set grad_clip."
            if weights
            else "The weights are finite: look at the reward and the log-probabilities above."
        )
        raise NonFiniteLossError(
            f"The loss of {type(self.objective).__name__} on {self.env.name} is not finite at step "
            f"{self.step}. Trajectory {row} of {len(batch)}: {' -> '.join(path)}; "
            f"log_reward {float(terms.log_reward[row]):.4g}, log_pf {numbers(terms.log_pf)}, "
            f"log_pb {numbers(terms.log_pb)}. {cause}"
        )

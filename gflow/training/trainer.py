"""The training loop: sample, evaluate, balance, step. Small enough to copy and change."""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from gflow.behaviours.base import Behaviour, OnPolicy, Sampling
from gflow.behaviours.replay import memory_of, with_memory
from gflow.conditions.draws import ConditionSampler
from gflow.deferred import Deferred, at_once, require_finite
from gflow.environment.base import Environment
from gflow.errors import CheckpointError, ConfigError, IncompatibleError
from gflow.evaluation.anchored import plain_log_reward
from gflow.learner import Learner, average_into, parameters_of
from gflow.listed.sharing import Sharing
from gflow.machines.ranks import ALONE, Ranks
from gflow.memory.replay import ReplayBuffer
from gflow.memory.rescore import of_now
from gflow.objective import Objective
from gflow.policies.base import Policy
from gflow.policies.chunked import chunked
from gflow.sampling.exploration import ON_POLICY, Exploration, check_exploration
from gflow.sampling.sampler import Sampler
from gflow.shown import of_trainer
from gflow.source import source_refusal
from gflow.terms import FlowTerms
from gflow.training.callbacks import TrainingCallback, load_state_of, state_of, told_of
from gflow.training.config import TrainConfig
from gflow.training.diagnosis import refuse_late, refuse_loss
from gflow.training.ledger import Ledger, Record
from gflow.training.random_state import load_random_state, random_state
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.compiled.runner import CompiledStep

__all__ = ["Callback", "Record", "TrainConfig", "Trainer"]

EXTRA = "_extra_state"
"""How names of what modules save beside tensors end."""

Callback = Callable[["Trainer", Trajectories[Any], Record], None]
"""Called after every step with the trainer, the whole trajectories, and the record, if any."""


class Trainer:
    """Trains a policy on an environment with an objective.

    Between records nothing is read by the host where sampling does not (plan="static", which GPUs
    have by default): what is logged and what must hold is kept in tensors. A step whose loss is not
    finite changes no weight, and neither does any after it; the error comes at the next record.
    With the ragged plan it comes at once.

    Args:
        env: The environment.
        policy: The policy; trained in place.
        objective: The objective; its own parameters are trained at `config.log_z_lr`, its networks
            of states with the policy.
        config: How to train.
        condition: Draws conditions, for environments that read one.
        behaviour: Where fresh trajectories come from; the policy itself by default.
        learners: What is learned beside the policy, in addition to what the objective learns.
        callbacks: Called after every step; see `Callback`.
        record_every: Steps between records, which are means over these steps.
        progress: Show a bar, or lines, of the records.
        tracker: Gets the records: "wandb", "tensorboard", or an object with `log(step, numbers)`.
        ranks: The processes that train together (`gflow.machines.join()` under torchrun);
            `config.batch_size` is that of all of them.

    Raises:
        IncompatibleError: If the objective cannot work with the environment or the policy.
        ConfigError: If the behaviour needs larger batches, or batches a larger memory.

    Attributes:
        step: Number of gradient steps done.
        stopped: Why `train` goes no further (see `stop`); empty if it may.
        generator: Source of all randomness of sampling.
        compiled: The step as one graph, where `config.compile` asks for it.
        deferring: Whether checks wait for the next record, as sampling reads nothing either.
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
        record_every: int = 1,
        progress: bool = False,
        tracker: Any = None,
        ranks: Ranks = ALONE,
    ) -> None:
        reads = env.condition_dim > 0
        if reads != (condition is not None) and not (condition and env.source_reads_condition):
            raise IncompatibleError(
                f"{env.name} reads conditions of width {env.condition_dim}; the trainer was given "
                f"{'none' if condition is None else 'a sampler of conditions'}. Pass `condition=` "
                f"exactly for environments with condition_dim > 0."
            )
        if record_every < 1:
            raise ConfigError(f"Trainer: record_every must be at least 1, got {record_every}.")
        objective.check(env, policy, conditional=condition is not None)
        self.behaviour = with_memory(env, OnPolicy() if behaviour is None else behaviour, config)
        self.behaviour.check(env, objective)
        self.behaviour.check_policy(policy)
        self.ranks, self.count = ranks, ranks.share(config.batch_size)
        self.behaviour.check_count(self.count)
        if self.behaviour.further_objective is not None:
            self.behaviour.further_objective.check(env, policy, conditional=condition is not None)
        self.learners = [*objective.learners(env), *learners]
        self.env, self.policy, self.objective, self.config = env, policy, objective, config
        told = told_of(progress, tracker if ranks.first else None, config.steps, config)
        self.callbacks: tuple[Callback, ...] = (*callbacks, *told)
        self.condition, self.stopped = condition, ""
        self._chunked = chunked(policy, config.chunk)
        self.device = next(policy.parameters()).device
        on_gpu = config.plan == "auto" and self.device.type != "cpu"
        self.deferring = config.plan == "static" or on_gpu
        self.sampler = Sampler(env, config.plan)
        self.generator = torch.Generator(self.device).manual_seed(ranks.seed(config.seed))
        self.step, self.record_every = 0, record_every
        self.ledger, self.deferred = Ledger(), Deferred(self.device)
        self._explored: Exploration | None = None
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
        ranks.equalise([policy, objective, *(learner.module for learner in self.learners)])
        self.average = copy.deepcopy(policy).requires_grad_(False) if config.ema else None
        check_exploration(env, self.exploration)
        explored = self.behaviour.gives.explored if self.exploration is not ON_POLICY else None
        reason = None if explored is None else source_refusal(explored, objective.learns_from)
        if reason is not None:
            raise IncompatibleError(f"{type(objective).__name__} on {env.name}: {reason}")
        self._sharing = None if config.compile else Sharing.of(self)
        self.compiled: CompiledStep | None = None
        if config.compile:
            from gflow.compiled.captured import step_of

            self.compiled = step_of(self)

    __repr__ = of_trainer

    @property
    def replay(self) -> ReplayBuffer | None:
        """What the behaviour remembers, if it does."""
        return memory_of(self.behaviour)

    @property
    def evaluated_policy(self) -> Policy:
        """The averaged policy if there is one, else the policy."""
        return self.policy if self.average is None else self.average

    @property
    def exploration(self) -> Exploration:
        """How the sampler explores at the present step."""
        c = self.config
        if self._explored is not None and not (c.epsilon_steps or c.noise_steps):
            return self._explored
        epsilon = self.objective.epsilon if c.epsilon is None else c.epsilon
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
        self._explored = ON_POLICY if found == ON_POLICY else found
        return self._explored

    @property
    def sampling(self) -> Sampling:
        """What the next batch is sampled with."""
        return Sampling(
            self.policy,
            self.sampler,
            self.exploration,
            self.condition,
            self.generator,
            self.device,
            record=not self.config.chunk and self.objective.reads_policy,
        )

    def sample(self) -> Trajectories[Any]:
        """The next training batch of this process."""
        return self.behaviour.collect(self.sampling, self.count)

    def loss_of(
        self, batch: Trajectories[Any] | None, objective: Objective | None = None
    ) -> tuple[Tensor, FlowTerms]:
        """() the loss of given trajectories with gradients, and their terms; reads nothing.

        Args:
            batch: The trajectories of this process; both results are those of all processes. None
                if this one has none.
            objective: What to train by in place of the trainer's.
        """
        objective = self.objective if objective is None else objective
        env, policy = self.env, self._chunked
        if self._sharing is not None and batch is not None and self._sharing.drew(batch):
            env, policy = self._sharing.env, self._sharing.policy
        own = None if batch is None else objective.evaluate(env, policy, batch)
        terms = self.ranks.joined(own)
        return objective(terms), terms

    def apply(self, loss: Tensor) -> None:
        """One step of the optimiser down a loss; none once a deferred check has failed."""
        for parameter in self._parameters:
            parameter.grad = None
        if loss.requires_grad or self.ranks.size == 1:  # others may have all the trajectories
            loss.backward()
        failed = self.ranks.reduce(self._parameters, self.deferred.failed)
        if self.config.grad_clip:
            # A list: a generator would be empty from the second step on.
            torch.nn.utils.clip_grad_norm_(self._main, self.config.grad_clip)
        if self.deferring:
            self.optimizer.found_inf = failed  # type: ignore[attr-defined]
        self.optimizer.step()
        increment_version(self._parameters)  # a fused step does not: see `Recording`

    def train_step(self, record: bool | None = None) -> Record:
        """One gradient step, and those that the behaviour adds to it.

        Args:
            record: Whether to make a record; None does every `record_every` steps.

        Returns:
            Means since the last record of the loss, log R of the objects, the length, the
            objective's estimate of log Z, and numbers of the objective, the behaviour and the
            learners. Empty if no record is due.

        Raises:
            NonFiniteLossError: Naming the environment, the objective and the trajectory.
        """
        if record is None:
            record = (self.step + 1) % self.record_every == 0
        if self.compiled is not None:
            return self._compiled_step(record)
        sampling = self.sampling
        version = self.env.reward.version if self.learners else 0
        with self.deferred.during(self.step) if self.deferring else at_once():
            if self._sharing is None:
                batch = self.behaviour.collect(sampling, self.count)
            else:
                batch = self._sharing.collect(sampling, self.count)
            if not self.step:
                self.objective.begin(batch)
                self.ranks.mean_weights(self.objective)
            for learner in self.learners:
                self.ledger.add(
                    self.ranks.learn(learner, self.env, self.policy, batch, self.generator)
                )
                if self.env.reward.version != version:  # the learner changed it
                    batch, version = of_now(self.env, batch), self.env.reward.version
            value, terms = self.descend(batch)
            for learner in self.learners:
                learner.observe(value)
            if self.config.lr_half_life:
                self.schedule.step()
            if self.average is not None:
                average_into(self.average, self.policy, 1 - self.config.ema)
            for further in self.ranks.in_step(self.behaviour.further(sampling)):
                loss, _ = self.descend(further, self.behaviour.further_objective)
                self.ledger.add({"augmented_loss": loss})
        if record and self.deferring:
            self._read_deferred()
        self.step += 1
        whole = batch.whole
        log_z = self.objective.log_z_estimate(terms).detach()
        if terms.from_source is not None:  # only those say what flows out of the source
            log_z = log_z[terms.from_source]
        if len(log_z):
            self.ledger.add({"log_z": log_z.mean()})
        if len(whole):
            env = self.env if self._sharing is None else self._sharing.env
            self.ledger.add({"mean_log_reward": plain_log_reward(env, whole).mean()})
        self.ledger.add(
            {
                "loss": value,
                "mean_length": terms.length.double().mean(),
                **self.objective.metrics(terms),
                **self.behaviour.metrics,
            }
        )
        found = self.ranks.mean_of(self.ledger.record()) if record else {}
        if self._sharing is not None and self.callbacks:
            whole = self._sharing.env.unlisted(whole)
        for callback in self.callbacks:
            callback(self, whole, found)
        return found

    def _compiled_step(self, record: bool) -> Record:
        """A step that is one graph; see `train_step`."""
        assert self.compiled is not None
        batch = self.compiled()
        if record:
            self._read_deferred()
        self.step += 1
        if self.config.lr_half_life:
            self.schedule.step()
        found: Record = {}
        if record:
            self._fold_compiled()
            found = self.ledger.record()
        for callback in self.callbacks:
            assert batch is not None
            callback(self, batch, found)
        return found

    def _fold_compiled(self) -> None:
        """Take what a graph summed into the ledger."""
        if self.compiled is not None:
            self.ledger.add_sums(*self.compiled.sums())

    def descend(
        self, batch: Trajectories[Any] | None, objective: Objective | None = None
    ) -> tuple[Tensor, FlowTerms]:
        """One step of the optimiser on given trajectories; their () loss and terms before it.

        Args:
            batch: The trajectories of this process; None if it has none.
            objective: What to train by in place of the trainer's.

        Raises:
            NonFiniteLossError: Naming the environment, the objective and the trajectory.
        """
        loss, terms = self.loss_of(batch, objective)
        value = loss.detach()

        def complain() -> NoReturn:
            used = self.objective if objective is None else objective
            shown = batch
            if self._sharing is not None and batch is not None and self._sharing.drew(batch):
                shown = self._sharing.env.unlisted(batch)
            refuse_loss(
                self.env, self.policy, used, self.config, self.step, shown, terms, self.ranks.start
            )

        require_finite(value, complain, "the loss")
        self.apply(loss)
        return value, terms

    def _read_deferred(self) -> None:
        """Complain of what failed since the last record."""
        found = self.deferred.read() if self.compiled is None else self.compiled.failure()
        if found is not None:
            refuse_late(self.env, self.objective, found[1], found[0], self.step)

    def train(self, steps: int | None = None) -> Record:
        """`steps` gradient steps, by default up to `config.steps` in all, unless it is stopped.

        Returns:
            The last record, which the last step always makes.
        """
        record: Record = {}
        last = self.config.steps if steps is None else self.step + steps
        self.stopped = self.stopped if steps is None else ""
        with self.ranks.together():
            while self.step < last and not self.ranks.any(bool(self.stopped)):
                record = self.train_step(record=True if self.step + 1 == last else None)
        if self.step >= self.config.steps or self.stopped:
            for callback in self.callbacks:
                if isinstance(callback, TrainingCallback):
                    callback.finish(self)
        return record

    def stop(self, reason: str) -> None:
        """Have `train` end after this step; so does a trainer that takes its state up again."""
        self.stopped = reason

    def means(self) -> Record:
        """The means since the last record, without beginning anew."""
        self._fold_compiled()
        return self.ranks.mean_of(self.ledger.means())

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """All that the numbers of the next step depend on; all processes must ask.

        Weights are there once. What each process has of its own (random numbers, memories) is that
        of the first one, and in `others` that of the others; these get what is their own alone.

        Raises:
            NonFiniteLossError: If a step since the last record failed.
            RankError: If the weights of the processes differ.
        """
        if self.deferring or self.compiled is not None:
            self._read_deferred()
        self._fold_compiled()
        if self.compiled is not None:
            self.compiled.write_back()
        modules = [self.policy, self.objective, *(learner.module for learner in self.learners)]
        self.ranks.check_equal(modules)
        own = self._own_state()
        mine, *others = self.ranks.gather(own) or [own]
        if not self.ranks.first:
            return mine
        return {
            "step": self.step,
            "dtype": str(torch.get_default_dtype()),
            "policy": self.policy.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "reward_version": self.env.reward.version,
            "stopped": self.stopped,
            "callbacks": state_of(self.callbacks),
            "others": others,
            **mine,
        }

    def _own_state(self) -> dict[str, Any]:
        """What differs from process to process."""
        objective = self.objective.state_dict()
        return {
            "ledger": self.ledger.state_dict(),
            "objective_extra": {k: v for k, v in objective.items() if k.endswith(EXTRA)},
            "behaviour": self.behaviour.state_dict(),
            "condition": None if self.condition is None else self.condition.state_dict(),
            "learners": [learner.state_dict() for learner in self.learners],
            "generator": self.generator.get_state(),
            **random_state(),
        }

    def load_state_dict(self, state: dict[str, Any], to_look_at: bool = False) -> None:
        """Continue as if the run that gave `state` had not stopped.

        Args:
            state: What `state_dict` gave in the first process.
            to_look_at: Any number of processes may take it: nothing will be trained.

        Raises:
            CheckpointError: If it was trained under another default dtype, or by another number of
                processes.
        """
        dtype = str(torch.get_default_dtype())
        if state["dtype"] != dtype:
            raise CheckpointError(
                f"This state was trained under the default dtype {state['dtype']}, and that is "
                f"{dtype} now, which gives other numbers. Call "
                f"torch.set_default_dtype({state['dtype']}) first."
            )
        own = [state, *state["others"]]
        if len(own) != self.ranks.size and not to_look_at:
            raise CheckpointError(
                f"This state is that of {len(own)} processes that trained together, each with "
                f"random numbers and memories of its own, and there are {self.ranks.size} now. "
                f"Continue with torchrun --nproc-per-node {len(own)} (or as many in all, on "
                f"several machines); one process needs no torchrun."
            )
        mine = own[0 if to_look_at else self.ranks.rank]
        if self.compiled is not None:
            self.compiled.reload()
        self.step = state["step"]
        self.policy.load_state_dict(state["policy"])
        self.objective.load_state_dict(state["objective"] | mine["objective_extra"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.behaviour.load_state_dict(mine["behaviour"])
        self.ledger.load_state_dict(mine["ledger"], self.device)
        if self.condition is not None:
            self.condition.load_state_dict(mine["condition"])
        for learner, saved in zip(self.learners, mine["learners"], strict=True):
            learner.load_state_dict(saved)
        self.env.reward.version = state["reward_version"]
        self.stopped = state["stopped"]
        load_state_of(self.callbacks, state["callbacks"])
        self.generator.set_state(mine["generator"])
        load_random_state(mine)

"""K trainers as one: every step is a step of each, with the numbers it would have by itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.base import OnPolicy
from gflow.deferred import at_once
from gflow.errors import IncompatibleError
from gflow.evaluation.anchored import plain_log_reward
from gflow.objective import Objective
from gflow.stacked.alike import apart, difference, refusal
from gflow.stacked.draws import Dice, Explorations
from gflow.stacked.environment import OfRuns, StackedEnvironment, of_runs
from gflow.stacked.objective import StackedObjective
from gflow.stacked.optimizer import StackedAdam
from gflow.stacked.parameters import stack
from gflow.stacked.perceptron import stacked_policy
from gflow.stacked.sampling import StackedSampler, only_visited
from gflow.terms import FlowTerms
from gflow.training.diagnosis import refuse_loss
from gflow.training.ledger import Ledger, Record
from gflow.training.trainer import Trainer
from gflow.trajectories import Trajectories

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8, torch.bfloat16: 0.1, torch.float16: 0.1}
"""How far a loss of the stack may be from the one that a run computes by itself, relatively."""


class StackedTrainer:
    """Trains runs that differ in seeds, rates and temperatures together.

    The trainers keep all that belongs to a run: parameters, moments of the optimiser and averages
    become views of stacked ones, and generators are drawn from as each run would by itself. So
    between steps every trainer may be asked anything; `hand_back` brings those of its parts up to
    date that are no views, before it is saved or trained by itself.

    Trajectories of the policy are drawn in one walk. Those of other behaviours are drawn run by
    run; evaluation, loss and optimiser are stacked all the same.

    Args:
        trainers: K of them, at one step.
        same: Whether their environments are known to be the same, as those of one task.

    Raises:
        IncompatibleError: If they cannot be stacked, with the reason.

    Attributes:
        step: Number of gradient steps that each has done.
    """

    def __init__(self, trainers: Sequence[Trainer], same: bool = False) -> None:
        self.trainers = list(trainers)
        first = trainers[0]
        for trainer in trainers:
            reason = refusal(trainer) or apart(first, trainer, same)
            if reason is not None:
                raise IncompatibleError(f"These runs cannot be stacked: {reason}.")
        self.step, self.batch_size = first.step, first.config.batch_size
        rewards = [trainer.env.reward for trainer in trainers]
        together = same or all(difference(rewards[0], reward) is None for reward in rewards[1:])
        self.env = StackedEnvironment([trainer.env for trainer in trainers], together)  # type: ignore[misc]
        self.policy = stacked_policy([trainer.policy for trainer in trainers])
        self.objective = StackedObjective([trainer.objective for trainer in trainers])
        self.sampler = StackedSampler(self.env, first.config.plan)
        self.optimizer = StackedAdam(
            trainers, list(self.policy.stacked.values()), list(self.objective.stacked.values())
        )
        averages = [trainer.average for trainer in trainers if trainer.average is not None]
        self.average = stack(averages) if averages else None
        self.dice = Dice([trainer.generator for trainer in trainers])
        self.ledger = Ledger()
        self.ledger.load_state_dict(self._ledgers())
        self.walks_together = all(type(t.behaviour) is OnPolicy for t in trainers)

    def __len__(self) -> int:
        return len(self.trainers)

    # ------------------------------------------------------------------ a step

    def train_step(self) -> list[Record]:
        """One gradient step of every run; their records, empty where none is due.

        Raises:
            NonFiniteLossError: Naming the trajectory, if a loss is not finite. No run has done the
                step then.
        """
        with at_once():
            batch = self.sample()
            if not self.step:
                self._begin(batch)
            terms = self.evaluate(batch)
            loss = self.objective.loss(terms)
            if not bool(loss.isfinite().all()):
                self._refuse(batch, terms, loss)
            self.optimizer.zero()
            loss.sum().backward()
            self.optimizer.step()
            self._after()
            self.ledger.add({"loss": loss.detach(), **self._numbers(batch, terms)})
            records = self._records()
            for number, trainer in enumerate(self.trainers):
                if trainer.callbacks:
                    own = part_of(batch, number, len(batch) // len(self)).whole
                    for callback in trainer.callbacks:
                        callback(trainer, own, records[number])
        return records

    def sample(self) -> Trajectories[OfRuns[Any]]:
        """The next training batch, run after run."""
        if not self.walks_together:
            parts = [trainer.sample() for trainer in self.trainers]
            sizes = sorted({len(part) for part in parts})
            if len(sizes) > 1:
                kind = type(self.trainers[0].behaviour).__name__
                raise IncompatibleError(
                    f"Stacked runs need batches of one size, and {kind} gave {sizes}."
                )
            return of_runs(parts)
        explorations = Explorations(tuple(trainer.exploration for trainer in self.trainers))
        device = self.trainers[0].device
        return self.sampler.together(
            self.policy, self.batch_size, explorations, self.dice, self._conditions(), device
        )

    def _conditions(self) -> Tensor | None:
        """(K B, C) new conditions, each run's from its own source, or None."""
        drawn = [
            trainer.condition(self.batch_size, trainer.generator)
            for trainer in self.trainers
            if trainer.condition is not None
        ]
        return torch.cat(drawn) if drawn else None

    def evaluate(self, batch: Trajectories[OfRuns[Any]]) -> FlowTerms:
        """The flow terms of a batch under the policies, with gradients."""
        return self.trainers[0].objective.evaluate(self.env, self.policy, batch)

    def _begin(self, batch: Trajectories[OfRuns[Any]]) -> None:
        for number, trainer in enumerate(self.trainers):
            if type(trainer.objective).begin is not Objective.begin:
                trainer.objective.begin(part_of(batch, number, len(batch) // len(self)))

    def _after(self) -> None:
        """What follows a step: counts, rates, averages."""
        self.step += 1
        for trainer in self.trainers:
            trainer.step = self.step
            half_life = trainer.config.lr_half_life
            if half_life:
                for group in trainer.optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * 0.5 ** (self.step / half_life)
        if self.average is not None:
            share = 1 - self.trainers[0].config.ema
            with torch.no_grad():
                mine, theirs = list(self.average.values()), list(self.policy.stacked.values())
                torch._foreach_lerp_(mine, theirs, share)

    def _refuse(self, batch: Trajectories[Any], terms: FlowTerms, loss: Tensor) -> None:
        number = int((~loss.isfinite()).nonzero()[0])
        trainer = self.trainers[number]
        own = self.objective.terms_of(self.objective.parts(terms), terms, number)
        refuse_loss(
            trainer.env,
            trainer.policy,
            trainer.objective,
            trainer.config,
            self.step,
            part_of(batch, number, len(batch) // len(self)),
            own,
        )

    # ------------------------------------------------------------------ numbers

    def _numbers(self, batch: Trajectories[OfRuns[Any]], terms: FlowTerms) -> dict[str, Tensor]:
        """(K,) numbers of a batch, by name."""
        value = plain_log_reward(self.env, batch).view(len(self), -1)
        if batch.complete is None:
            mean = value.mean(1)
        else:
            whole = batch.complete.view(len(self), -1)
            mean = value.where(whole, 0.0).sum(1) / whole.sum(1)
        found = {
            **self.objective.numbers(terms),
            "mean_log_reward": mean,
            "mean_length": terms.length.double().view(len(self), -1).mean(1),
        }
        told = [trainer.behaviour.metrics for trainer in self.trainers]
        for name in told[0]:
            each = [torch.as_tensor(metrics[name]) for metrics in told]
            found[name] = torch.stack(each).to(value.device)
        return found

    def _records(self) -> list[Record]:
        """The means of each run since the last record, if one is due."""
        if self.step % self.trainers[0].record_every:
            return [{} for _ in self.trainers]
        state = self.ledger.state_dict()
        means = {n: (v / state["counts"][n]).tolist() for n, v in state["sums"].items()}
        self.ledger = Ledger()
        return [{n: v[number] for n, v in means.items()} for number in range(len(self))]

    def _ledgers(self) -> dict[str, Any]:
        """The sums of the trainers' ledgers, stacked."""
        states = [trainer.ledger.state_dict() for trainer in self.trainers]
        device = self.trainers[0].device
        sums = {
            name: torch.stack([torch.as_tensor(s["sums"][name], device=device) for s in states])
            for name in states[0]["sums"]
        }
        return {"sums": sums, "counts": states[0]["counts"]}

    # ------------------------------------------------------------------ the trainers by themselves

    def hand_back(self) -> None:
        """Bring each trainer's optimiser, schedule and sums up to date."""
        self.optimizer.hand_back()
        state = self.ledger.state_dict()
        for number, trainer in enumerate(self.trainers):
            sums = {name: value[number] for name, value in state["sums"].items()}
            trainer.ledger.load_state_dict(
                {"sums": sums, "counts": state["counts"]}, trainer.device
            )
            if trainer.config.lr_half_life:
                rates = [group["lr"] for group in trainer.optimizer.param_groups]
                now = {"last_epoch": self.step, "_step_count": self.step + 1, "_last_lr": rates}
                trainer.schedule.load_state_dict({**trainer.schedule.state_dict(), **now})

    def check(self) -> None:
        """Compare rewards and losses of a batch with those that each run computes by itself.

        The batch is drawn aside: nothing about the training that follows changes.

        Raises:
            IncompatibleError: If they differ, as where a policy mixes the rows of a batch, or if
                `vmap` cannot go through the code of the policy.
        """
        aside = [
            torch.Generator(g.device).manual_seed(number)  # batches differ in how much they visit
            for number, g in enumerate(self.dice.generators)
        ]
        parts = []
        for trainer, generator in zip(self.trainers, aside, strict=True):
            condition, source = None, trainer.condition
            if source is not None:
                before = source.state_dict()
                condition = source(self.batch_size, generator)
                source.load_state_dict(before)
            part = trainer.sampler.forward(
                trainer.policy,
                self.batch_size,
                condition=condition,
                generator=generator,
                device=trainer.device,
            )
            parts.append(only_visited(part))
        batch = of_runs(parts)
        with at_once(), torch.no_grad():
            value, _ = self.env.outcome(batch.final_states, batch.condition)
            close = TOLERANCE[batch.log_reward.dtype]
            if not torch.allclose(value, batch.log_reward, rtol=close, atol=close):
                raise IncompatibleError(
                    "These runs cannot be stacked: objects have other rewards in the stack than in "
                    "their runs, as where an environment draws its reward at random."
                )
            losses = self._checked(batch)
            for number, (trainer, part) in enumerate(zip(self.trainers, parts, strict=True)):
                mine, alone = float(losses[number]), float(trainer.loss_of(part)[0])
                if abs(mine - alone) > TOLERANCE[losses.dtype] * max(1.0, abs(alone)):
                    raise IncompatibleError(
                        f"These runs cannot be stacked: the loss of run {number} is {mine:.6g} in "
                        f"the stack and {alone:.6g} by itself, as where a policy or a reward mixes "
                        f"the rows of a batch."
                    )

    def _checked(self, batch: Trajectories[OfRuns[Any]]) -> Tensor:
        """(K,) losses of a batch, where they can be had at all."""
        try:
            return self.objective.loss(self.evaluate(batch))
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            kind = type(self.trainers[0].policy).__name__
            raise IncompatibleError(
                f"These runs cannot be stacked: torch.func.vmap cannot go through {kind} "
                f"({str(error).splitlines()[0].rstrip('.')})."
            ) from None


def part_of(batch: Trajectories[OfRuns[Any]], number: int, each: int) -> Trajectories[Any]:
    """The trajectories of one run, as the environment has them.

    Their store is that of all runs, and does not say which conditions its states are for.
    """
    rows = slice(number * each, (number + 1) * each)
    held: dict[str, Any] = {
        name: getattr(batch, name)[rows]
        for name in ("state_index", "actions", "backward_actions", "length", "stopped")
    }
    for name in ("log_reward", "scores", "condition", "complete", "from_source"):
        value = getattr(batch, name)
        held[name] = None if value is None else value[rows]
    return replace(batch, states=batch.states.states, owner=None, **held)

"""Trajectories told what they achieved: a success for some outcome, whatever was asked for."""

from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Part, Share
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.objective import Objective
from gflow.outcomes.conditioned import Outcome, OutcomeReward
from gflow.source import Source
from gflow.state import take
from gflow.trajectories import Trajectories


class Achieved(Around):
    """Another behaviour's trajectories, told the outcomes that they achieved.

    Each is then a success. Where log Z is known (`OutcomeConditioned`), successes alone determine
    the flows on their way: for each of them P_F(path | y) = P_B(path | y), and as the paths back
    from y sum to one, y is reached with probability one. They say nothing of states from which y
    cannot be reached. For these a share of the batch may miss its outcome, at the floor of the
    reward:

    ==========  ===================================================================================
    share       what the others of `inner` keep: the outcome that they were asked for (hindsight)
    retried     further trajectories of the policy itself, asked for the outcomes just achieved
    mismatched  trajectories of the batch told the outcome of another one
    ==========  ===================================================================================

    Args:
        inner: Where trajectories come from, with conditions or without; the policy itself, asked
            for what the trainer's condition draws, by default.
        share: Share of the inner trajectories that are told.
        retried: Share of the batch in which the policy tries again.
        mismatched: Share of the batch that is told wrongly.
        outcome: (B, C) conditions of B objects, where the reward is no `OutcomeReward`.

    Reference:
        Andrychowicz et al., Hindsight experience replay, 2017, https://arxiv.org/abs/1707.01495;
        Pan et al., Pre-Training and Fine-Tuning Generative Flow Networks, 2023,
        https://arxiv.org/abs/2310.03419
    """

    name = "achieved"

    @checked
    def __init__(
        self,
        inner: Behaviour | None = None,
        share: Share = 1.0,
        retried: Part = 0.0,
        mismatched: Part = 0.0,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(inner)
        if retried + mismatched >= 1:
            raise ConfigError(
                f"Achieved: retried and mismatched must leave something of the batch, got "
                f"{retried:g} and {mismatched:g}."
            )
        self.share, self.retried, self.mismatched = share, retried, mismatched
        self.outcome = outcome
        self.gives = Source.OTHER
        self._hits: Tensor | None = None

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only where conditions are outcomes, and not successes alone where they leave scale."""
        reward = env.reward
        if not env.condition_dim or (
            self.outcome is None and not isinstance(reward, OutcomeReward)
        ):
            return (
                "it tells trajectories the outcomes that they achieved, and conditions here are "
                "none that it knows. Use OutcomeConditioned(env), or, in Python, pass outcome=."
            )
        if env.source_reads_condition:
            return "trajectories start where their condition says, so no other condition fits them."
        misses = self.retried > 0 or self.mismatched > 0 or self.share < 1
        if isinstance(reward, OutcomeReward) and misses and not reward.floor:
            return (
                "some of its trajectories miss their outcome, and the log of a reward of zero "
                "balances nothing. Give OutcomeConditioned a floor."
            )
        if isinstance(reward, OutcomeReward) and not misses and not reward.has_known_log_z:
            return (
                "successes alone leave the scale of the flows open where log Z is not known: any "
                "larger one balances them too. Let a share miss (retried=0.5 or mismatched=0.5), "
                "or pass log_count= to OutcomeConditioned."
            )
        reason = super().refusal(env, objective)
        if reason is None and objective.compares and not env.reward.has_known_log_z:
            return (
                "the objective compares trajectories of equal condition, and each here has its "
                "own. Use db, subtb or tb."
            )
        return reason

    def check_count(self, count: int) -> None:
        """What the inner behaviour refuses of what is left to it, and batches of nobody else.

        Raises:
            ConfigError: If there is nobody whose outcome another could be told.
        """
        first = count - sum(self._extra(count))
        if self.mismatched and first < 2:
            raise ConfigError(
                f"Achieved: {count} trajectories with mismatched={self.mismatched:g} leave "
                f"{first} that achieve an outcome, and nobody else to tell it. Enlarge batch_size."
            )
        self.inner.check_count(first)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Those of the inner behaviour, told; then retried ones, then mismatched ones."""
        again, wrong = self._extra(count)
        first = self.inner.collect(sampling, count - again - wrong)
        told = self._told(sampling, first)
        parts = [told]
        self._hits = None
        if again:
            assert told.condition is not None
            asked = told.condition[_in_turn(again, len(told), told.length.device)]
            tried = sampling.sampler.forward(
                sampling.policy,
                again,
                exploration=sampling.exploration,
                condition=asked,
                generator=sampling.generator,
                device=sampling.device,
            )
            parts.append(tried)
            if isinstance(sampling.env.reward, OutcomeReward):
                self._hits = sampling.env.reward.achieved(tried.final_states, asked)
        if wrong:
            parts.append(self._mismatched(sampling, told, wrong))
        return Trajectories.join(parts)

    @property
    def metrics(self) -> dict[str, Tensor | float]:
        """`reached`: share of the retried trajectories that reached what they were asked for."""
        own = {} if self._hits is None else {"reached": self._hits.double().mean()}
        return {**self.inner.metrics, **own}

    def _extra(self, count: int) -> tuple[int, int]:
        """How many of `count` trajectories try again, and how many are told wrongly."""
        return round(self.retried * count), round(self.mismatched * count)

    def _told(self, sampling: Sampling, batch: Trajectories[Any]) -> Trajectories[Any]:
        """The batch with a share of it told what was achieved; unfinished ones achieve nothing."""
        env = sampling.env
        if batch.condition is None or (self.share == 1 and batch.complete is None):
            batch = batch.whole
            objects = batch.final_states
            condition = self._outcomes(env, objects)
            return batch.told(condition, env.target_log_reward(objects, condition))
        g = sampling.generator
        order = torch.randperm(len(batch), generator=g, device=_place(g)).to(batch.length.device)
        chosen = order[: max(1, round(self.share * len(batch)))]
        if batch.complete is not None:
            chosen = chosen[batch.complete[chosen]]
        objects = take(batch.final_states, chosen)
        theirs = self._outcomes(env, objects)
        reward = env.target_log_reward(objects, theirs).to(batch.log_reward.dtype)
        return batch.told(
            batch.condition.index_put((chosen,), theirs.to(batch.condition.dtype)),
            batch.log_reward.index_put((chosen,), reward),
        )

    def _mismatched(
        self, sampling: Sampling, told: Trajectories[Any], count: int
    ) -> Trajectories[Any]:
        """`count` of the trajectories, each told the outcome of another, drawn at random."""
        assert told.condition is not None
        g, device = sampling.generator, told.length.device
        rows, others = _in_turn(count, len(told), device), max(2, len(told))
        shift = torch.randint(1, others, (count,), generator=g, device=_place(g))
        condition = told.condition[(rows + shift.to(device)) % len(told)]
        chosen = told.select(rows)
        reward = sampling.env.target_log_reward(chosen.final_states, condition)
        return chosen.told(condition, reward)

    def _outcomes(self, env: Environment[Any], objects: Any) -> Tensor:
        if self.outcome is not None:
            return self.outcome(objects)
        assert isinstance(env.reward, OutcomeReward)
        return env.reward.outcomes(objects)


def _place(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def _in_turn(count: int, size: int, device: torch.device) -> Tensor:
    """(count,) rows of `size`, one after the other."""
    return torch.arange(count, device=device) % size

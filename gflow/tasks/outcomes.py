"""Tasks of outcomes: pre-training on a task's states, and turning that to the task's reward."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import own_backward
from gflow.behaviours.achieved import Achieved
from gflow.behaviours.base import Behaviour
from gflow.behaviours.explorer import Explorer
from gflow.bounds import Natural, Part
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.environment.rewarded import with_reward
from gflow.errors import ConfigError
from gflow.outcomes.conditioned import OutcomeConditioned, outcome_reward
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.objects import ObjectDraws, OutcomeDraws, Remembered, WalkedBack
from gflow.outcomes.policy import OutcomePolicy, compares
from gflow.outcomes.pretrained import converted, outcome_posterior, same_states
from gflow.outcomes.store import VisitedOutcomes
from gflow.outcomes.stored import Stored
from gflow.outcomes.success import success_rate
from gflow.policies.base import Policy
from gflow.rewards.base import FunctionReward
from gflow.state import batch_size, device_of
from gflow.tasks.task import Context
from gflow.tasks.wrapped import WrappedTask
from gflow.terms import Needs
from gflow.training.config import TrainConfig
from gflow.training.trainer import Trainer

ASKED = 500
"""Outcomes that an evaluation asks for."""

LISTED = 2000
"""With more states than this the distributions of single outcomes are not compared exactly."""

SEEKER_WIDTH = 128
"""Units of the novelty that a sampler seeks."""

EVEN = -7.0
"""Its log-reward of every object."""

NETWORK = ("width", "depth", "backward", "network", "heads")
"""Options of networks that a sampler without a network of its own has no use for."""


@dataclass(frozen=True)
class PretrainTask(WrappedTask):
    """Told what to build: to be turned to any reward afterwards.

    Attributes:
        explore: Where the trajectories come from that are told what they achieve: "objects" draws
            objects, evenly where they can be listed, and walks back from them; "policy" asks the
            policy for outcomes seen before, as --behaviour and --epsilon say (with --objective
            subtb, db or tb); "novelty" trains another sampler beside that seeks new states, and
            walks back from the objects that it found.
        skewed: Share of the walks back that have random preferences, to see states that P_B seldom
            comes through.
        retried: Share of the batch in which the policy tries again what was just achieved.
        mismatched: Share of the batch that is told another outcome than it achieves; by default
            0.25 where the environment cannot tell what is reached from where, else 0.
    """

    word = "pretrain"
    objective: ClassVar[str] = "gflow.outcomes.likelihood:OutcomeLikelihood"
    defaults: ClassVar[dict[str, Any]] = {"backward": "uniform", "policy_backward": "uniform"}

    explore: Literal["objects", "policy", "novelty"] = "objects"
    skewed: Part = 0.25
    retried: Part = 0.0
    mismatched: Part | None = None

    @classmethod
    def settle(cls) -> None:
        """Its own training defaults, and what to print."""
        cls.train = TrainConfig(steps=4000, batch_size=128, lr=3e-3, lr_half_life=800, ema=0.99)
        cls.run = replace(cls.made_of.run, eval_every=500)
        cls.exact_limit = min(cls.made_of.exact_limit, LISTED)
        cls.headline = ("loss", "success_visited", "success_even", "mean_length")

    def environment(self) -> Any:
        """The environment of the task inside, told what to build."""
        return OutcomeConditioned(self.inside.environment())

    def policy(self, env: Any, needs: Needs) -> Policy:
        """A perceptron that compares, where that can be had; else the policy of the task inside."""
        if not compares(env) or getattr(self, "network", "mlp") != "mlp":
            return self.inside.policy(env, needs)
        backward = own_backward(self._policy_option("backward", "uniform"))
        return OutcomePolicy(
            env,
            self._policy_option("width", 256),
            self._policy_option("depth", 2),
            backward if env.has_backward else "uniform",
            needs.flows(env),
        )

    def condition(self, env: Any) -> ConditionSampler:
        """Outcomes seen before, or those of objects that are drawn."""
        draws = ObjectDraws(env)
        if self.explore == "objects":
            return OutcomeDraws(env, draws)
        first = OutcomeDraws(env, ObjectDraws(env, most=0))
        return VisitedOutcomes(first(ASKED, torch.Generator().manual_seed(0)), capacity=4096)

    def behaviour(self, env: Any, chosen: Behaviour) -> Behaviour:
        """Trajectories that are told what they achieve."""
        mismatched = self.mismatched
        if mismatched is None:
            start = env.initial(1)
            mismatched = 0.25 if env.reaches(start, start) is None else 0.0
        if self.explore == "policy":
            told = Achieved(chosen, retried=self.retried, mismatched=mismatched)
            return Remembered(told)
        if chosen.name != "on_policy":
            raise ConfigError(
                f"--behaviour {chosen.name} says how the policy explores, and with --explore "
                f"{self.explore} it does not: trajectories are walked back. Add --explore policy."
            )
        if self.retried:
            raise ConfigError(
                f"--retried is about what the policy achieves, and with --explore {self.explore} "
                f"trajectories are walked back. Add --explore policy, or leave --retried out."
            )
        skewed = self._skewed(env)
        if self.explore == "novelty":
            found = Stored(self._seeker(env), skewed=skewed, mismatched=mismatched)
            return Remembered(found)
        return WalkedBack(ObjectDraws(env), skewed, mismatched=mismatched)

    def _seeker(self, env: Any) -> Explorer:
        """Another sampler, which seeks new states and knows an even reward, far below their bonus.

        It has no conditions, the network of the task inside, and a seed drawn after the run's.
        """
        from gflow.objectives import OBJECTIVES

        plain = with_reward(outcome_reward(env, "PretrainTask").env, FunctionReward(_even))
        encoder = self.inside.encoder(plain, SEEKER_WIDTH)
        seeks = OBJECTIVES["gafn"].build(plain, encoder=encoder, width=SEEKER_WIDTH, scale=0.05)
        policy = self.inside.policy(plain, seeks.needs)
        seed = int(torch.randint(2**31, ()))
        return Explorer(Trainer(plain, policy, seeks, TrainConfig(log_z_lr=0.1, seed=seed)))

    def _skewed(self, env: Any) -> float:
        """None where no state has two moves back."""
        return self.skewed if env.num_backward_actions > 1 else 0.0

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """How often the policy builds what it is told: objects seen in training, and any."""
        trainer, env = context.trainer, context.env
        generator = torch.Generator(trainer.device).manual_seed(trainer.step)
        asked = {"even": OutcomeDraws(env, ObjectDraws(env)), "visited": trainer.condition}
        return {
            f"success_{name}": float(
                success_rate(
                    env, trainer.evaluated_policy, draw(ASKED, generator), generator=generator
                ).mean()
            )
            for name, draw in asked.items()
            if draw is not None
        }

    def rewards(self, env: Any, objects: Any, condition: Tensor | None = None) -> None:
        """Success says more."""

    def artifacts(self, context: Context, folder: Any) -> dict[str, Any]:
        """None: those of the task inside are about its reward."""
        return {}

    def pictures(self, shown: Any) -> dict[str, Any]:
        """None: objects are asked for, and have no reward of their own."""
        return {}

    def report(self, context: Context) -> str:
        """How to go on."""
        return "To turn it to a reward: gflow finetune FOLDER --task NAME, of the same states."

    def close(self, env: Any) -> None:
        """As inside."""
        self.inside.close(outcome_reward(env, "PretrainTask").env)


@dataclass(frozen=True)
class FinetuneTask(WrappedTask):
    """Turned to a reward by a pre-trained sampler of outcomes.

    Attributes:
        pretrained: Folder of the run of `gflow pretrain`.
    """

    pretrained: str = ""

    @cached_property
    def flows(self) -> OutcomeFlows:
        """The frozen flows to outcomes.

        Raises:
            ConfigError: If the folder holds no run of `gflow pretrain`.
        """
        from gflow.runs.trained import load

        if not self.pretrained:
            raise ConfigError(
                "The folder of a pre-trained sampler must be given: gflow finetune FOLDER, or "
                "pretrained=FOLDER in Python."
            )
        trained = load(self.pretrained)
        if not isinstance(trained.context.task, PretrainTask):
            raise ConfigError(
                f"{self.pretrained} holds a run of {trained.context.task.name}, which is no "
                f"pre-trained sampler of outcomes. Make one with gflow pretrain."
            )
        return trained.outcome_flows

    def environment(self) -> Any:
        """The environment of the task inside, if its states are those of pre-training.

        Raises:
            IncompatibleError: If they are others.
        """
        env: Environment[Any] = self.inside.environment()
        same_states(env, self.flows.env)
        return env


@dataclass(frozen=True)
class ConvertedTask(FinetuneTask):
    """A reward sampled by summing flows to outcomes, without training.

    Attributes:
        draws: Outcomes drawn for each state that is asked about; 0 sums over all objects, where
            they can be listed.
    """

    word = "converted"
    objective: ClassVar[str] = "db"
    left_out: ClassVar[tuple[str, ...]] = (*NETWORK, *(f"policy_{name}" for name in NETWORK))

    draws: Natural = 0

    @classmethod
    def settle(cls) -> None:
        """No steps: nothing is trained."""
        cls.train = replace(cls.made_of.train, steps=0, epsilon=0.0)

    def policy(self, env: Any, needs: Needs) -> Policy:
        """The mixture."""
        return converted(self.flows, env, self.draws)


@dataclass(frozen=True)
class AmortisedTask(FinetuneTask):
    """A reward sampled by a predictor of the sums of flows to outcomes."""

    word = "amortised"
    objective: ClassVar[str] = "gflow.outcomes.amortised:Amortised"
    defaults: ClassVar[dict[str, Any]] = {"backward": "uniform", "policy_backward": "uniform"}

    def policy(self, env: Any, needs: Needs) -> Policy:
        """As inside, with log F beginning at the task's guess of log Z."""
        policy = self.inside.policy(env, needs)
        head = getattr(policy, "head", None)
        if getattr(head, "num_flows", 0) == 1:
            with torch.no_grad():
                head.bias[-1] = self.inside.log_z(env)  # type: ignore[union-attr]
        return policy

    def supply(self, name: str, env: Any, width: int) -> Any:
        """As for every task; the frozen flows, and the network for whom moves serve."""
        match name:
            case "flows":
                return self.flows
            case "posterior":
                return outcome_posterior(env, width, self.inside.encoder(env, width))
        return super().supply(name, env, width)


def _even(objects: Any) -> Tensor:
    """(B,) the same for all objects."""
    return torch.full((batch_size(objects),), EVEN, device=device_of(objects))


WRAPPED: dict[str, type[WrappedTask]] = {
    cls.word: cls for cls in (PretrainTask, ConvertedTask, AmortisedTask)
}
"""What wraps tasks, by the first word of their references."""

"""Tasks that fit a latent-variable model: the options of EM, and what follows from them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gflow.behaviours.base import Behaviour
from gflow.bounds import Count, Natural, NotNegative, Probability, Rate, Temperature
from gflow.conditions.draws import ConditionSampler
from gflow.em.dreams import Sleep
from gflow.em.encoder import DataEncoder
from gflow.em.learner import Latents, MStep
from gflow.em.mixing import BackAndForth
from gflow.em.model import LatentModel
from gflow.em.pace import Every, Pace, Threshold
from gflow.em.reward import JointReward, joint_of
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.tasks.parts import Part
from gflow.tasks.task import E, Task


@dataclass(frozen=True)
class EMTask(Task[E]):
    """A task whose environment builds latents, with a `JointReward` or a reward around one.

    Subclasses give `environment`, and take over these options:

    Attributes:
        model_lr: Learning rate of the model.
        e_steps: Steps of the sampler before each M-step, where there is no threshold.
        m_steps: M-steps in a row.
        m_rows: Rows that an M-step fits, drawn for it; 0 for those of the training batch.
        threshold: M-steps are taken while the sampler's smoothed loss is below it; 0 for none.
        threshold_end: What it falls to; 0 where it stays.
        threshold_steps: M-steps over which it falls.
        latents: Of M-steps: fresh from the policy, those of the batch, or the likeliest.
        mixing: Rounds of back-and-forth moves that improve latents before an M-step; 0 for none.
        mixing_temperature: Of the moves that are proposed.
        sleep: Probability that a step is followed by one on what the model makes up; 0 for never.
        sleep_batch: How much it makes up at a time.
        repeat: Trajectories of a row in a batch; at least 2 for vargrad, which compares them.
    """

    model_lr: Rate = 1e-3
    e_steps: Count = 1
    m_steps: Count = 1
    m_rows: Natural = 0
    threshold: NotNegative = 0.0
    threshold_end: NotNegative = 0.0
    threshold_steps: Count = 1000
    latents: Latents = "fresh"
    mixing: Natural = 0
    mixing_temperature: Temperature = 1.0
    sleep: Probability = 0.0
    sleep_batch: Count = 32
    repeat: Count = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold_end > self.threshold:
            raise ConfigError(
                f"{self.name}: the threshold falls, so threshold_end must be at most threshold, "
                f"got {self.threshold_end:g} and {self.threshold:g}."
            )
        if self.latents == "batch" and self.m_rows:
            raise ConfigError(
                f"{self.name}: the latents of the batch explain its own rows, and an M-step would "
                f"draw {self.m_rows} others. Set m_rows to 0, or latents to fresh."
            )
        if self.threshold and self.m_steps > 1:
            raise ConfigError(
                f"{self.name}: while the loss is below a threshold one M-step is taken at a time, "
                f"got m_steps={self.m_steps}. Leave one of the two out."
            )
        if self.m_steps > 1 and not self.m_rows:
            raise ConfigError(
                f"{self.name}: {self.m_steps} M-steps in a row would fit the rows of one batch. "
                f"Set m_rows to how many each draws."
            )

    def joint(self, env: Environment[Any]) -> JointReward:
        """The reward log p(x, z) of the environment.

        Raises:
            ConfigError: If it has none.
        """
        found = joint_of(env.reward)
        if found is not None:
            return found
        raise ConfigError(
            f"{type(self).__name__}: the reward of {env.name} is {env.reward!r}. Its `environment` "
            f"must build one with a `JointReward`, or a reward around one."
        )

    def optimizer(self, model: LatentModel) -> torch.optim.Optimizer:
        """Of the model's parameters."""
        return torch.optim.Adam(model.parameters(), self.model_lr)

    def pace(self) -> Pace:
        """When M-steps are taken."""
        if self.threshold:
            last = self.threshold_end or self.threshold
            return Threshold(self.threshold, last, self.threshold_steps)
        return Every(self.e_steps, self.m_steps)

    def learners(self, env: E, policy: Policy) -> list[Learner]:
        """The M-step."""
        reward = self.joint(env)
        return [
            MStep(
                reward,
                self.optimizer(reward.model),
                self.pace(),
                latents=self.latents,
                rows=reward.data.sampler() if self.m_rows else None,
                count=self.m_rows,
                mixing=BackAndForth(self.mixing, "random", self.mixing_temperature)
                if self.mixing
                else None,
            )
        ]

    def behaviour(self, env: E, chosen: Behaviour) -> Behaviour:
        """What the options choose, and dreams after it."""
        if not self.sleep:
            return chosen
        likelihood = Part.of("objective", "mle").build(env=env)
        return Sleep(self.joint(env), likelihood, self.sleep, self.sleep_batch, chosen)

    def condition(self, env: E) -> ConditionSampler:
        """Rows of the data, all equally likely."""
        return self.joint(env).data.sampler(self.repeat)

    def condition_encoder(self, env: E) -> nn.Module:
        """The numbers of a row."""
        return DataEncoder(self.joint(env).data)

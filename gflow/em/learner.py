"""The M-step: the model is fitted to data with latents that the sampler fills in."""

from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from gflow.behaviours.base import Sampling
from gflow.bounds import Natural, NotNegative
from gflow.checks import checked
from gflow.conditions.draws import ConditionSampler
from gflow.em.mixing import BackAndForth
from gflow.em.pace import Every, Pace
from gflow.em.reward import JointReward
from gflow.environment.base import Environment
from gflow.errors import ConfigError, NonFiniteLossError
from gflow.learner import Learner
from gflow.memory.rescore import of_now
from gflow.policies.base import Policy
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.sampler import Sampler
from gflow.trajectories import Trajectories

Latents = Literal["fresh", "batch", "greedy"]

GREEDY = Exploration(temperature=1e-8)
"""The likeliest move at every state."""


class MStep(Learner):
    r"""Ascends :math:`E_{x, z \sim q}[\log p_\theta(x, z)]`, the sampler q being left as it is.

    Each step raises `reward.version`, so that memories and caches score latents anew.

    Args:
        reward: The reward of the E-step, whose model is fitted.
        optimizer: Of the model's parameters.
        pace: When steps are due; one before each step of the sampler by default.
        latents: Where z comes from: "fresh" from the bare policy, "batch" for those of the training
            batch whoever made them, "greedy" for the likeliest move at each state (hard EM).
        rows: Draws the rows that a step fits; those of the training batch by default.
        count: How many rows it draws; as many as the batch has by default.
        mixing: Improves the latents by a Markov chain first.
        grad_clip: Largest norm of the gradient of what the optimiser trains; 0 does not clip.

    Raises:
        ConfigError: If the optimiser trains other parameters than the model's.

    Reference:
        Hu et al., GFlowNet-EM for learning compositional latent variable models, 2023,
        https://arxiv.org/abs/2302.06576
    """

    @checked
    def __init__(
        self,
        reward: JointReward,
        optimizer: torch.optim.Optimizer,
        pace: Pace | None = None,
        *,
        latents: Latents = "fresh",
        rows: ConditionSampler | None = None,
        count: Natural = 0,
        mixing: BackAndForth | None = None,
        grad_clip: NotNegative = 0.0,
    ) -> None:
        own = {id(p) for p in reward.model.parameters()}
        given = [p for group in optimizer.param_groups for p in group["params"]]
        if any(id(p) not in own for p in given):
            raise ConfigError(
                "MStep: the optimiser holds parameters that are not the model's. Build it with "
                "reward.model.parameters()."
            )
        if latents == "batch" and rows is not None:
            raise ConfigError(
                "MStep: latents='batch' are those of the batch's own rows, so no other rows can be "
                "drawn. Leave `rows` out, or use latents='fresh'."
            )
        self.reward, self.optimizer, self.module = reward, optimizer, reward.model
        self.pace = Every() if pace is None else pace
        self.latents, self.rows, self.count = latents, rows, count
        self.mixing, self.grad_clip = mixing, grad_clip
        self.steps = 0

    def observe(self, loss: Tensor) -> None:
        """Let the pace hear how good the sampler is."""
        self.pace.observe(loss)

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The steps of the model that are due, and its mean log p(x, z) where there are some."""
        due = self.pace.due()
        numbers = dict(self.pace.metrics)
        for taken in range(due):
            if taken and self.latents == "batch":  # the model has moved since they were scored
                batch = of_now(env, batch)
            filled = self.fill(env, policy, batch, generator)
            if self.mixing is not None:
                sampling = Sampling(policy, Sampler(env), generator=generator)
                filled, numbers["mixing_acceptance"] = self.mixing.mix(sampling, filled)
            numbers["log_joint"] = self.step(filled.final_states, filled.condition)
        if due:
            self.reward.version += 1
        numbers["m_steps"] = torch.tensor(float(self.steps))
        return numbers

    def fill(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> Trajectories[Any]:
        """Trajectories to the latents of the rows that a step fits."""
        if self.latents == "batch":
            return batch.whole
        device = batch.length.device
        condition = batch.condition
        if self.rows is not None:
            condition = self.rows(self.count or len(batch), generator).to(device)
        if condition is None:
            raise ConfigError(
                f"MStep: trajectories of {env.name} carry no conditions, which say what row each "
                f"latent explains. Set condition_dim=1 on the environment of `JointReward`, and "
                f"give the trainer `condition=reward.data.sampler()`."
            )
        return Sampler(env).forward(
            policy,
            len(condition),
            exploration=GREEDY if self.latents == "greedy" else ON_POLICY,
            condition=condition,
            generator=generator,
            device=device,
        )

    def step(self, latents: Any, condition: Tensor | None) -> Tensor:
        """One step of the optimiser on given latents of given rows; () mean log p before it.

        Raises:
            NonFiniteLossError: If the mean is not finite.
        """
        value = self.reward.model.log_prob(self.reward.data.rows(condition), latents).mean()
        self.descend(-value, self._refuse, "the M-step")
        self.steps += 1
        return value.detach()

    def _refuse(self) -> NoReturn:
        raise NonFiniteLossError(
            f"MStep: after {self.steps} steps the mean log p(x, z) of {self.reward!r} is not "
            f"finite. Lower the model's learning rate, set grad_clip, or look at its `log_prob`."
        )

    def state_dict(self) -> dict[str, Any]:
        """The model, its optimiser, the pace, and the number of steps."""
        return {**super().state_dict(), "pace": self.pace.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.pace.load_state_dict(state["pace"])
        self.steps = state["steps"]

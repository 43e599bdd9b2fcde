"""The M-step: adapters of the label head are fitted to rationales that the sampler writes."""

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from gflow.bounds import Count, NotNegative, Rate
from gflow.checks import checked
from gflow.deferred import require_finite
from gflow.em.pace import Every, Pace
from gflow.environment.base import Environment
from gflow.envs.language.rationale_labels import LabelHead
from gflow.envs.language.rationale_reward import RationaleReward
from gflow.envs.language.rationale_votes import rationales
from gflow.errors import NonFiniteLossError
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.trajectories import Trajectories


class LabelFit:
    """Gradient steps on the cross-entropy between the two labels, renormalised over the pair.

    Args:
        head: Whose adapters are trained.
        lr: Learning rate of AdamW.
        warm_up: Steps over which it rises, each time that fitting begins.
        grad_clip: Largest norm of the gradient; 0 does not clip.
    """

    @checked
    def __init__(
        self, head: LabelHead, lr: Rate = 1e-3, warm_up: Count = 20, grad_clip: NotNegative = 1.0
    ) -> None:
        self.head, self.lr, self.warm_up, self.grad_clip = head, lr, warm_up, grad_clip
        self.optimizer = torch.optim.AdamW(head.parameters, lr)
        self.steps = 0

    def loss(self, tokens: Tensor, size: Tensor, prompt: Tensor, answer: Tensor) -> Tensor:
        """() mean of -log p(answer | prompt, rationale), with gradients."""
        said = self.head.labels(tokens, size, prompt)
        return nn.functional.nll_loss(said, answer)

    def run(
        self,
        tokens: Tensor,
        size: Tensor,
        prompt: Tensor,
        answer: Tensor,
        steps: int,
        batch_size: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Take `steps` steps on rows drawn evenly; () the mean loss of the last."""
        loss = torch.zeros(())
        for step in range(steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * min(1.0, (step + 1) / self.warm_up)
            rows = torch.randint(
                len(size), (batch_size,), generator=generator, device=generator.device
            )
            rows = rows.to(size.device)
            loss = self.loss(tokens[rows], size[rows], prompt[rows], answer[rows])
            require_finite(loss.detach(), self._refuse, "the M-step")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.grad_clip:
                nn.utils.clip_grad_norm_(self.head.parameters, self.grad_clip)
            self.optimizer.step()
            self.steps += 1
            self.head.tuned = True
        return loss.detach()

    def _refuse(self) -> NoReturn:
        raise NonFiniteLossError(
            f"LabelFit: after {self.steps} steps the cross-entropy of the labels is not finite. "
            f"Lower the learning rate of the head."
        )


class LabelStep(Learner):
    r"""Ascends :math:`E_{z \sim q}[\log p_\theta(y \mid x, z)]`, the sampler q being left as it is.

    When steps are due, rationales of every labelled prompt are drawn once, steps are taken on
    batches of them, and the reward forgets what the head said before. `MStep` does this for a
    `JointReward`; that of a language model scores all prefixes of a text, at a temperature, and
    its M-step draws many latents for many steps.

    Args:
        reward: The reward of the E-step, whose head is fitted.
        fit: Takes the steps.
        pace: When how many are due.
        drawn: Rationales of each labelled prompt.
        batch_size: Rationales of a step.
    """

    @checked
    def __init__(
        self,
        reward: RationaleReward,
        fit: LabelFit,
        pace: Pace | None = None,
        drawn: Count = 100,
        batch_size: Count = 256,
    ) -> None:
        self.reward, self.fit = reward, fit
        self.pace = Every(100, 100) if pace is None else pace
        self.drawn, self.batch_size = drawn, batch_size
        self.optimizer = fit.optimizer
        self.module = nn.ParameterList(fit.head.parameters)

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
        """The steps that are due, and the cross-entropy at the last of them if there are any."""
        due = self.pace.due()
        numbers = dict(self.pace.metrics)
        if due:
            numbers["label_loss"] = self.take(env, policy, due, generator, batch.length.device)
        numbers["m_steps"] = torch.tensor(float(self.fit.steps))
        return numbers

    def take(
        self,
        env: Environment[Any],
        policy: Policy,
        steps: int,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Draw rationales and take some steps on them; () the loss of the last."""
        prompt = self.reward.labelled.to(device).repeat_interleave(self.drawn)
        tokens, size = rationales(env, policy, prompt, generator)
        answer = self.reward.answers.to(device)[prompt]
        loss = self.fit.run(tokens, size, prompt, answer, steps, self.batch_size, generator)
        self.reward.forget()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The adapters, their optimiser, the pace, and the number of steps."""
        return {**super().state_dict(), "pace": self.pace.state_dict(), "steps": self.fit.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.pace.load_state_dict(state["pace"])
        self.fit.steps = state["steps"]
        self.fit.head.tuned = self.fit.steps > 0
        version = self.reward.version
        self.reward.forget()
        self.reward.version = version

"""Policy gradients on texts: REINFORCE, and PPO in the form that language models are tuned by."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, NotNegative, Rate, Share, check_fields
from gflow.conditions.draws import ConditionSampler
from gflow.errors import ConfigError
from gflow.evaluation.evaluate import evaluate
from gflow.language.env import Text, TokenEnvironment
from gflow.language.policy import HuggingFacePolicy
from gflow.sampling.sampler import Sampler
from gflow.terms import Needs
from gflow.trajectories import Trajectories

PF_ALONE = Needs(log_pb=False)


@dataclass(frozen=True)
class GradientConfig:
    """How to climb.

    Attributes:
        steps: Batches of texts.
        batch_size: Texts of each.
        lr: Learning rate.
        lr_half_life: Batches in which it halves; 0 keeps it.
        epochs: Gradient steps on each batch: 1 is REINFORCE, several are PPO.
        clip: How far the ratio of new to old probability of a token counts, each way from 1.
        kl: What is paid for each nat of log policy - log reference.
        entropy: What is paid for each nat of -log policy.
        grad_clip: Largest norm of the gradient; 0 does not clip.
        seed: Of the texts.
    """

    steps: Natural = 1000
    batch_size: Count = 16
    lr: Rate = 1e-3
    lr_half_life: Natural = 0
    epochs: Count = 1
    clip: Share = 0.2
    kl: NotNegative = 0.0
    entropy: NotNegative = 0.0
    grad_clip: NotNegative = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)


class PolicyGradient:
    """Raises the mean of log R - kl (log q - log p) - entropy log q over what a policy q writes.

    p is the model without its adapters, under the same masks. What the other texts of the same
    prompt earn on average is the baseline, so that the gradient is unbiased. These are baselines to
    measure samplers against: without the two last terms the best text is all that is left in the
    end, and with entropy = 1 the target is that of a sampler.

    Args:
        env: The environment.
        policy: The policy; trained in place.
        config: How.
        condition: Draws prompts, each for several texts in a row, where there are several.

    Attributes:
        step: Batches so far.

    Reference:
        Williams, Simple statistical gradient-following algorithms, 1992; Schulman et al., Proximal
        Policy Optimization Algorithms, 2017, https://arxiv.org/abs/1707.06347
    """

    def __init__(
        self,
        env: TokenEnvironment,
        policy: HuggingFacePolicy,
        config: GradientConfig,
        condition: ConditionSampler | None = None,
    ) -> None:
        self.env, self.policy, self.config, self.condition = env, policy, config, condition
        self.sampler, self.step = Sampler(env), 0
        self.device = next(policy.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self._trained = [p for p in policy.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self._trained, config.lr)

    def train(self, steps: int | None = None) -> dict[str, float]:
        """`steps` batches, by default up to `config.steps` in all; numbers of the last one."""
        numbers: dict[str, float] = {}
        last = self.config.steps if steps is None else self.step + steps
        while self.step < last:
            numbers = self.train_step()
        return numbers

    def train_step(self) -> dict[str, float]:
        """One batch of texts and `epochs` gradient steps on it."""
        config, count = self.config, self.config.batch_size
        asked = None if self.condition is None else self.condition(count, self.generator)
        batch = self.sampler.forward(
            self.policy, count, condition=asked, generator=self.generator, device=self.device
        )
        old, earned = self.earned(batch)
        advantage = less_others(earned, batch.condition)
        if config.lr_half_life:
            for group in self.optimizer.param_groups:
                group["lr"] = config.lr * 0.5 ** (self.step / config.lr_half_life)
        loss = advantage.new_zeros(())
        for _ in range(config.epochs):
            now = evaluate(self.env, self.policy, batch, PF_ALONE).log_pf
            loss = -surrogate(now, old, advantage, batch.mask, config.clip).mean()
            self.optimizer.zero_grad()
            loss.backward()
            if config.grad_clip:
                torch.nn.utils.clip_grad_norm_(self._trained, config.grad_clip)
            self.optimizer.step()
        self.step += 1
        return {
            "loss": float(loss.detach()),
            "mean_log_reward": float(batch.log_reward.mean()),
            "earned": float(earned.mean()),
        }

    @torch.no_grad()
    def earned(self, batch: Trajectories[Text]) -> tuple[Tensor, Tensor]:
        """(B, T) log q of the moves as they were drawn, and (B,) what is to be raised."""
        old = evaluate(self.env, self.policy, batch, PF_ALONE).log_pf
        earned = batch.log_reward - self.config.entropy * old.sum(1)
        if self.config.kl:
            with self.policy.model.reference():
                reference = evaluate(self.env, self.policy, batch, PF_ALONE).log_pf
            earned = earned - self.config.kl * (old - reference).sum(1)
        return old, earned


def less_others(earned: Tensor, condition: Tensor | None) -> Tensor:
    """(B,) each number less the mean of the others of its condition.

    Args:
        earned: (B,).
        condition: (B, C) or None.

    Raises:
        ConfigError: If a condition is alone in the batch.
    """
    if condition is None:
        group = torch.zeros_like(earned, dtype=torch.int64)
    else:
        group = torch.unique(condition, dim=0, return_inverse=True)[1]
    sums = earned.new_zeros(int(group.max()) + 1, 2)
    each = torch.stack([earned, torch.ones_like(earned)], 1)
    value, count = sums.index_add(0, group, each)[group].unbind(1)
    if bool((count < 2).any()):
        raise ConfigError(
            "PolicyGradient: a prompt has one text in the batch, and its baseline is what others "
            "earn. Draw several in a row: condition=prompts.sampler(repeat=8)."
        )
    return earned - (value - earned) / (count - 1)


def surrogate(log_pf: Tensor, old: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> Tensor:
    """(B,) sums over moves of the clipped ratio to the old probability times the advantage.

    Where nothing has changed yet its gradient is that of advantage times log P_F.

    Args:
        log_pf: (B, T) with gradient.
        old: (B, T) as they were drawn.
        advantage: (B,).
        mask: (B, T) bool moves that exist.
        clip: How far a ratio may lie from 1 and still gain by going further.
    """
    ratio = (log_pf - old).exp()
    gain = advantage[:, None]
    lower = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    return lower.where(mask, 0.0).sum(1)

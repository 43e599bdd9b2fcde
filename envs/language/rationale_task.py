"""`gflow train rationales`."""

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.bounds import Count, Natural, NotNegative, Rate, Temperature
from gflow.conditions.draws import ConditionSampler
from gflow.em.pace import Every
from gflow.envs.language.rationale_base import small_model
from gflow.envs.language.rationale_labels import LabelHead, sharing
from gflow.envs.language.rationale_mstep import LabelFit, LabelStep
from gflow.envs.language.rationale_reviews import LABELS, Review, prompt, reviews
from gflow.envs.language.rationale_reward import RationaleReward
from gflow.envs.language.rationale_votes import majority, votes
from gflow.language.env import TokenEnvironment
from gflow.language.model import LanguageModel
from gflow.language.policy import READS_PROMPTS, HuggingFacePolicy
from gflow.language.prompts import Prompts
from gflow.language.schedule import TemperatureSchedule
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

OPENING, ENDING = ", so it is", "."
"""What stands between a rationale and the label, and behind it."""


@dataclass(frozen=True)
class RationalesTask(Task[TokenEnvironment]):
    """Classification of reviews by what is said of them first, from a few labels, by EM.

    A review is answered by a rationale of a few words and then by a label. The E-step samples
    rationales in proportion to how likely a language model finds them together with the known
    label, reading the review alone; the M-step fits adapters of the label's own to these. New
    reviews are classified by the majority of sampled rationales.

    Attributes:
        model: A language model: name, folder or .gguf file; by default a small one, trained here.
        items: Reviews whose labels are known.
        test_items: Reviews that accuracy is measured on.
        data_seed: Of both.
        max_length: Most tokens of a rationale.
        penalty: Taken from the log-reward where the model prefers the wrong label. The paper has
            50; residuals of texts that are denied then outweigh all others.
        temperature_first: Temperature of the reward at first.
        temperature_last: Temperature of the reward at last.
        temperature_steps: Steps over which it changes.
        rank: Rank of the adapters, of the sampler's and of the label's.
        m_every: Steps of the sampler between M-steps; 0 for the E-step alone.
        m_steps: M-steps in a row.
        m_lr: Learning rate of the label's adapters.
        drawn: Rationales of each labelled review that M-steps in a row are taken on.
        m_batch: Rationales of one M-step.
        votes: Rationales of a review whose majority is its label.
        repeat: Rationales of a review in a batch.
        base_steps: Training of the small model.
        base_seed: Of its weights and its texts.
    """

    name: ClassVar[str] = "rationales"
    summary: ClassVar[str] = "Reviews are classified by rationales of a language model, with EM"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=200, batch_size=32, lr=3e-3, grad_clip=1.0, temperature=1.3
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=100)
    objective: ClassVar[str] = "msubtb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_log_reward",
        "accuracy",
        "greedy_accuracy",
        "label_loss",
        "m_steps",
    )
    refuses_conditions: ClassVar[str] = READS_PROMPTS

    model: str = ""
    items: Count = 20
    test_items: Count = 200
    data_seed: int = 0
    max_length: Count = 5
    penalty: NotNegative = 6.0
    temperature_first: Temperature = 1.2
    temperature_last: Temperature = 1.0
    temperature_steps: Count = 100
    rank: Count = 16
    m_every: Natural = 50
    m_steps: Count = 50
    m_lr: Rate = 1e-3
    drawn: Count = 100
    m_batch: Count = 64
    votes: Count = 10
    repeat: Count = 8
    base_steps: Natural = 500
    base_seed: int = 0

    @classmethod
    def cheap(cls) -> TokenEnvironment:
        """With a model that has read nothing."""
        return cls(base_steps=0, items=2, test_items=1).environment()

    def base(self) -> LanguageModel:
        """The language model, without adapters."""
        return (
            _loaded(self.model) if self.model else small_model(self.base_steps, seed=self.base_seed)
        )

    def data(self) -> list[Review]:
        """Labelled reviews, and behind them those of the test."""
        return [
            *reviews(self.items, self.data_seed),
            *reviews(self.test_items, self.data_seed + TEST_SEED),
        ]

    def environment(self) -> TokenEnvironment:
        """Rationales of the reviews."""
        base, found = self.base(), self.data()
        prompts = Prompts([base.encode(prompt(one.text, bool(self.model))) for one in found])
        head = LabelHead(
            base,
            prompts,
            base.encode(OPENING),
            [base.encode(f" {label}") for label in LABELS],
            base.encode(ENDING),
            self.rank,
        )
        answers = [one.label for one in found[: self.items]] + [-1] * self.test_items
        reward = RationaleReward(head, answers, self.penalty, self.temperature_last)
        return TokenEnvironment(
            base.vocabulary,
            head.opening[0],
            reward,
            self.max_length,
            1,
            legal_words(base),
            prompts,
            decode=base.decode,
        )

    def policy(self, env: TokenEnvironment, needs: Needs) -> Policy:
        """The same model with adapters of its own."""
        model = sharing(reward_of(env).head.base).adapt(self.rank, seed=1)
        return HuggingFacePolicy(env, model, log_flow=bool(needs.flows(env)))

    def condition(self, env: TokenEnvironment) -> ConditionSampler:
        """Labelled reviews, all equally likely."""
        return env.prompts.sampler(self.repeat, reward_of(env).labelled.tolist())

    def learners(self, env: TokenEnvironment, policy: Policy) -> list[Learner]:
        """The temperature, and the M-step unless there is none."""
        reward = reward_of(env)
        cools = TemperatureSchedule(
            reward, self.temperature_first, self.temperature_last, self.temperature_steps
        )
        if not self.m_every:
            return [cools]
        fit = LabelFit(reward.head, self.m_lr)
        pace = Every(self.m_every, self.m_steps)
        return [cools, LabelStep(reward, fit, pace, self.drawn, self.m_batch)]

    def rewards(
        self, env: TokenEnvironment, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Probabilities of texts: their logarithm is reported."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Accuracy on the reviews of the test, by votes and by one greedy rationale."""
        trainer, env = context.trainer, context.env
        head = reward_of(env).head
        prompt = torch.arange(self.items, self.items + self.test_items, device=trainer.device)
        truth = torch.tensor([one.label for one in self.data()[self.items :]])
        generator = torch.Generator(trainer.device).manual_seed(trainer.step)

        def accuracy(greedy: bool) -> float:
            policy = trainer.evaluated_policy
            share = votes(env, policy, head, prompt, generator, self.votes, greedy)
            return float((majority(share).cpu() == truth).double().mean())

        return {"accuracy": accuracy(False), "greedy_accuracy": accuracy(True)}

    def describe(self, env: TokenEnvironment, objects: Any) -> list[str]:
        """The review and its rationale."""
        base = reward_of(env).head.base
        asked = [base.decode(env.prompts.row(i)) for i in objects.prompt.tolist()]
        return [f"{a} {z}" for a, z in zip(asked, env.show(objects), strict=True)]

    def report(self, context: Context) -> str:
        """Accuracy."""
        numbers = context.numbers
        return (
            f"accuracy on {self.test_items} reviews from {self.items} labels: "
            f"{numbers['accuracy']:.3f}, with greedy rationales {numbers['greedy_accuracy']:.3f}"
        )


TEST_SEED = 10_000
"""Added to the seed of the labelled reviews for that of the test."""


def reward_of(env: TokenEnvironment) -> RationaleReward:
    """The reward of the environment of rationales."""
    reward = env.reward
    assert isinstance(reward, RationaleReward)
    return reward


def legal_words(base: LanguageModel) -> Tensor:
    """(V,) bool the tokens that are made of letters: rationales are words and no signs."""
    texts = [base.decode([token]) for token in range(base.vocabulary)]
    return torch.tensor([text.strip().isalpha() for text in texts])


@cache
def _loaded(name: str) -> LanguageModel:
    model = LanguageModel.load(name)
    model.requires_grad_(False)
    return model

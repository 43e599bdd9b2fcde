"""What tasks of a language model's own texts have in common."""

from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.language.embeddings import Embedding, MeanPooled, SentenceEncoder
from gflow.language.env import Text, TokenEnvironment
from gflow.language.model import LanguageModel
from gflow.language.policy import READS_PROMPTS, HuggingFacePolicy
from gflow.language.prefixes import PrefixReward
from gflow.policies.base import Policy
from gflow.tasks.task import Context, Task
from gflow.terms import Needs


class TextTask(Task[TokenEnvironment]):
    """A task whose reward is what a language model says, and whose policy is that model tuned."""

    refuses_conditions: ClassVar[str] = READS_PROMPTS

    def policy(self, env: TokenEnvironment, needs: Needs) -> Policy:
        """The model with its adapters."""
        return HuggingFacePolicy(env, self.model_of(env), log_flow=needs.flows(env) > 0)

    def rewards(
        self, env: TokenEnvironment, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Probabilities of texts: their logarithm is reported."""
        return None

    def describe(self, env: TokenEnvironment, objects: Any) -> list[str]:
        """The prompt, and the text behind it."""
        assert env.decode is not None
        rows = zip(objects.prompt.tolist(), env.show(objects), strict=True)
        return [f"{env.decode(env.prompts.row(number))} |{text}" for number, text in rows]

    def embedding(self, env: TokenEnvironment) -> Embedding:
        """Vectors by the sentence encoder that was given, or by the model."""
        folder = getattr(self, "embedder", "")
        return _encoder(folder) if folder else MeanPooled(self.model_of(env))

    @staticmethod
    def reward_of(env: TokenEnvironment) -> PrefixReward:
        """Its reward, which scores all prefixes."""
        if not isinstance(env.reward, PrefixReward):
            raise ConfigError(f"{env.name}: its reward must score prefixes, got {env.reward!r}.")
        return env.reward

    @classmethod
    def model_of(cls, env: TokenEnvironment) -> LanguageModel:
        """The model that judges."""
        model: Any = cls.reward_of(env)
        found: LanguageModel = model.model
        return found


@lru_cache(1)
def _encoder(folder: str) -> SentenceEncoder:
    return SentenceEncoder(folder)


def texts_of(
    context: Context, prompts: Tensor, count: int, generator: torch.Generator | None = None
) -> Text:
    """(K * count) texts of the sampler of a run.

    Args:
        context: The run.
        prompts: (K,) int64 their numbers.
        count: Texts of each.
        generator: Source of randomness.
    """
    env = context.env
    numbers = prompts.repeat_interleave(count)
    told = numbers[:, None].to(torch.get_default_dtype()) if env.condition_dim else None
    policy = context.policy
    assert policy is not None
    batch = context.sampler.forward(
        policy, len(numbers), condition=told, generator=generator, device=context.trainer.device
    )
    states: Text = batch.whole.final_states
    return states

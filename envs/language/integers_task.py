"""`gflow train integers`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.sources import Sources
from gflow.bounds import Count, Natural, Part, Positive
from gflow.envs.language.integers import (
    BOS,
    DIGITS,
    EOS,
    LARGEST,
    LONGEST,
    WORDS,
    IntegerReward,
    digit_tokens,
    integer_model,
    stop_token,
)
from gflow.errors import ConfigError
from gflow.language.env import TokenEnvironment
from gflow.language.listed import ListedTexts
from gflow.language.memory import TextMemory
from gflow.language.model import LanguageModel
from gflow.language.policy import READS_PROMPTS, HuggingFacePolicy
from gflow.language.prompts import Prompts
from gflow.metrics import kl, total_variation
from gflow.policies.base import Policy
from gflow.tasks.pictures import pyplot
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

HELD = 16
"""Texts that the memory holds: few, so that seeds are seen often. None is better: they stay."""


@dataclass(frozen=True)
class IntegersTask(Task[TokenEnvironment]):
    """Integers from 0 to 100, all alike, from a model that prefers some and never writes others.

    Every text is listed, so that its probability is known exactly.

    Attributes:
        model: A causal language model of your own: name, folder or .gguf file; by default a small
            one that is trained at the start, in seconds, on integers of a skewed distribution.
        prompt: What a model of your own reads first.
        stop: The token by which its texts end.
        rank: Rank of the adapters.
        alpha: Their products are scaled by alpha / rank.
        penalty: What anything but an integer from 0 to 100 loses in log R.
        remembered: Share of the training texts from a memory of good ones; 0 for no memory.
        seeds: Texts that the memory begins with: of each kind that the base hardly ever writes.
        base_steps: Steps of training the small model.
        base_seed: Of the small model.
    """

    name: ClassVar[str] = "integers"
    summary: ClassVar[str] = "a language model tuned to write integers from 0 to 100, all alike"
    objective: ClassVar[str] = "msubtb"
    train: ClassVar[TrainConfig] = TrainConfig(steps=600, batch_size=64, lr=2e-3, lr_half_life=120)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=500)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "valid",
        "kl_to_uniform",
        "kl_of_uniform",
        "tv",
        "log_z",
    )
    refuses_conditions: ClassVar[str] = READS_PROMPTS

    model: str = ""
    prompt: str = "A random integer between 0 and 100, each equally likely: "
    stop: str = "."
    rank: Count = 16
    alpha: Positive = 16.0
    penalty: Positive = 8.0
    remembered: Part = 0.25
    seeds: tuple[str, ...] = ("0", "100")
    base_steps: Natural = 400
    base_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [s for s in self.seeds if set(s) - set(DIGITS) or not 0 < len(s) <= LONGEST]
        if wrong:
            raise ConfigError(f"seeds must be texts of 1 to {LONGEST} digits, got {wrong[0]!r}.")

    @classmethod
    def cheap(cls) -> TokenEnvironment:
        """With an untrained base."""
        return cls(base_steps=0).environment()

    def environment(self) -> TokenEnvironment:
        """One to three digits behind one prompt."""
        if self.model:
            model = LanguageModel.load(self.model)
            stop, prompt = stop_token(model, self.stop), model.encode(self.prompt)
        else:
            model = integer_model(self.base_steps, self.base_seed)
            stop, prompt = WORDS.index(EOS), [WORDS.index(BOS)]
        legal = torch.zeros(model.vocabulary, dtype=torch.bool)
        legal[digit_tokens(model)] = True
        model.adapt(self.rank, self.alpha)
        return TokenEnvironment(
            model.vocabulary,
            stop,
            IntegerReward(model, self.penalty),
            LONGEST,
            1,
            legal,
            Prompts([prompt]),
            decode=model.decode,
        )

    def policy(self, env: TokenEnvironment, needs: Needs) -> Policy:
        """The model with its adapters."""
        return HuggingFacePolicy(env, _reward(env).model, log_flow=needs.flows(env) > 0)

    def behaviour(self, env: TokenEnvironment, chosen: Behaviour) -> Behaviour:
        """A share from a seeded memory, unless something else than the policy alone is chosen."""
        if not isinstance(chosen, OnPolicy) or not self.remembered:
            return chosen
        memory = TextMemory(env, HELD, tolerance=0.0)
        digits = digit_tokens(_reward(env).model)
        memory.seed(
            [[digits[int(digit)] for digit in seed] for seed in self.seeds], [0] * len(self.seeds)
        )
        own = 1 - self.remembered
        return Sources(own, 0.0, self.remembered, each="text", memory=memory)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Exact numbers of all 1110 texts; kl_to_uniform is over the integers that are valid."""
        if context.policy is None:
            return {}
        listed = ListedTexts(context.env)
        return integer_numbers(listed, listed.log_law(context.policy))

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The probability of each integer, before and after."""
        path, plt = folder / "integers.png", pyplot()
        listed = ListedTexts(context.env)
        policy: Any = context.policy
        figure, axis = plt.subplots(figsize=(8, 3))
        with policy.model.reference():
            base = _by_integer(listed, listed.log_law(policy))
        tuned = _by_integer(listed, listed.log_law(policy))
        axis.plot(base.tolist(), label="model", color="tab:orange")
        axis.plot(tuned.tolist(), label="tuned", color="tab:blue")
        axis.axhline(1 / (LARGEST + 1), color="black", linewidth=0.5)
        axis.set(xlabel="integer", ylabel="probability", yscale="log")
        axis.legend()
        figure.savefig(path, dpi=120, bbox_inches="tight")
        plt.close(figure)
        return {"integers": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "integers": "Probability of each integer, by the model before and the tuned one.",
        }

    def report(self, context: Context) -> str:
        """The model before and after."""
        if context.policy is None:
            return ""
        listed = ListedTexts(context.env)
        policy: Any = context.policy
        with policy.model.reference():
            before = integer_numbers(listed, listed.log_law(policy))
        after = integer_numbers(listed, listed.log_law(policy))
        return "\n".join(
            f"{name:<6} {100 * n['valid']:6.2f} % valid; from uniform {n['kl_to_uniform']:.5f} "
            f"nats, uniform from it {n['kl_of_uniform']:.5f}; TV {n['tv']:.4f}"
            for name, n in (("model", before), ("tuned", after))
        )


def _reward(env: TokenEnvironment) -> IntegerReward:
    assert isinstance(env.reward, IntegerReward)
    return env.reward


def _by_integer(listed: ListedTexts, log_law: Tensor) -> Tensor:
    """(101,) probabilities of 0 to 100."""
    place = {text: row for row, text in enumerate(listed.texts)}
    return log_law.exp()[[place[str(value)] for value in range(LARGEST + 1)]]


def integer_numbers(listed: ListedTexts, log_law: Tensor) -> dict[str, float]:
    """How far a law of texts is from the integers 0 to 100, all alike.

    Args:
        listed: All X texts.
        log_law: (X,) log-probabilities.

    Returns:
        The share of valid texts, the divergences of the law of these from uniform and of uniform
        from it, and the total variation from the target, in which invalid texts have a share too.
    """
    valid = _by_integer(listed, log_law)
    uniform = torch.full_like(valid, 1 / len(valid))
    shares = valid / valid.sum()
    return {
        "valid": float(valid.sum()),
        "kl_to_uniform": float(kl(shares.log(), uniform.log())),
        "kl_of_uniform": float(kl(uniform.log(), shares.log())),
        "tv": float(total_variation(log_law, listed.log_target)),
    }

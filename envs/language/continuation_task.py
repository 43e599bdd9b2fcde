"""`gflow train continuation`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.sources import Sources
from gflow.bounds import Count, Natural, Positive, Temperature
from gflow.conditions.draws import ConditionSampler
from gflow.envs.language.continuation import continuation_env, openings_of
from gflow.envs.language.continuation_base import continuation_base, help_openings
from gflow.envs.language.sampled import TextTask, texts_of
from gflow.errors import ConfigError
from gflow.language.decoding import Decoder
from gflow.language.env import TokenEnvironment
from gflow.language.measures import log_ratio_variance, text_metrics
from gflow.language.model import LanguageModel
from gflow.language.schedule import TemperatureSchedule
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions
from gflow.training.config import TrainConfig


@dataclass(frozen=True)
class ContinuationTask(TextTask):
    """The rest of a sentence: p(text | prompt)^(1/T) of a language model, which it cannot sample.

    The small model learned the text that comes with Python, and goes on from sentences of it that
    it has not seen.

    Attributes:
        model: A causal language model of your own: name, folder or .gguf file.
        prompts: File with a prompt a line, for a model of your own; some of ours by default.
        base: Folder of the small model, which is pre-trained if it is not there; empty to train it
            anew each time.
        base_steps: Steps of its pre-training, of which a core does about six in a second.
        base_seed: Of the small model.
        openings: Prompts that are trained on.
        others: Further ones that are only measured.
        stop: The token by which sentences end.
        fewest: Fewest tokens.
        longest: Most.
        temperature: T at the end; it is 1 at the beginning.
        anneal: Steps over which it falls.
        rank: Rank of the adapters.
        alpha: Their products are scaled by alpha / rank.
        embedder: Folder of a sentence encoder for diversity; by default mean features of the model.
        repeat: Texts of a prompt in a row of the batch.
        asked: Texts of each prompt that metrics are taken of.
    """

    name: ClassVar[str] = "continuation"
    summary: ClassVar[str] = "a language model tuned to end sentences as its own tempered law would"
    objective: ClassVar[str] = "msubtb"
    train: ClassVar[TrainConfig] = TrainConfig(steps=200, batch_size=32, lr=1e-3, grad_clip=1.0)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=50, eval_samples=64)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_log_p",
        "max_log_p",
        "diversity",
        "log_ratio_variance",
        "other_mean_log_p",
        "temperature",
    )

    model: str = ""
    prompts: str = ""
    base: str = "runs/continuation-base"
    base_steps: Natural = 1200
    base_seed: int = 0
    openings: Count = 12
    others: Natural = 4
    stop: str = "."
    fewest: Natural = 3
    longest: Count = 20
    temperature: Temperature = 0.8
    anneal: Count = 100
    rank: Count = 16
    alpha: Positive = 16.0
    embedder: str = ""
    repeat: Count = 8
    asked: Count = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts and not self.model:
            raise ConfigError(
                "continuation: prompts of your own are for a model of your own; give model too. "
                "The small model knows nothing but the text that comes with Python."
            )
        if self.asked < 2:
            raise ConfigError(f"continuation: diversity needs asked >= 2, got {self.asked}.")

    @classmethod
    def cheap(cls) -> TokenEnvironment:
        """With an untrained base."""
        return cls(base="", base_steps=0).environment()

    def environment(self) -> TokenEnvironment:
        """The prompts that are trained on first, then the others."""
        total = self.openings + self.others
        if self.model:
            model, lines = LanguageModel.load(self.model), openings_of(self.prompts)
        else:
            model = continuation_base(self.base, self.base_steps, self.base_seed)
            lines = help_openings(total)
        if len(lines) < total:
            raise ConfigError(
                f"continuation: openings={self.openings} and others={self.others} ask for {total} "
                f"prompts, and there are {len(lines)}. Ask for fewer, or give a longer file."
            )
        model.adapt(self.rank, self.alpha)
        return continuation_env(model, lines[:total], self.stop, 1.0, self.longest, self.fewest)

    def condition(self, env: TokenEnvironment) -> ConditionSampler | None:
        """Prompts that are trained on."""
        if not env.condition_dim:
            return None
        return env.prompts.sampler(self.repeat, range(self.openings))

    def behaviour(self, env: TokenEnvironment, chosen: Behaviour) -> Behaviour:
        """The policy, the same at other temperatures, and a memory, unless another is chosen."""
        return Sources(0.25, 0.5, 0.25) if isinstance(chosen, OnPolicy) else chosen

    def learners(self, env: TokenEnvironment, policy: Policy) -> list[Learner]:
        """The temperature, which falls."""
        return [TemperatureSchedule(self.reward_of(env), 1.0, self.temperature, self.anneal)]

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Likelihood and diversity of prompts that are trained on, and of the others."""
        env, policy = context.env, context.policy
        if policy is None:
            return {}
        generator = torch.Generator(context.trainer.device).manual_seed(context.trainer.step)
        numbers = torch.arange(len(env.prompts))
        known, other = numbers[: self.openings], numbers[self.openings :]
        texts = texts_of(context, known, self.asked, generator)
        found = text_metrics(env, texts, self.embedding(env))
        found["log_ratio_variance"] = log_ratio_variance(env, policy, known, self.asked, generator)
        if len(other):
            texts = texts_of(context, other, self.asked, generator)
            more = text_metrics(env, texts, self.embedding(env))
            found |= {f"other_{name}": value for name, value in more.items()}
        return found

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Texts of the sampler, and of its base by sampling and by beams."""
        if context.policy is None:
            return {}
        path, env = folder / "texts.md", context.env
        numbers = torch.arange(len(env.prompts))
        path.write_text("\n".join(self._compared(context, numbers)) + "\n")
        return {"texts": path}

    def _compared(self, context: Context, numbers: Tensor) -> list[str]:
        env, lines = context.env, list[str]()
        decoder = Decoder(env, self.model_of(env))
        generator = torch.Generator(context.trainer.device).manual_seed(0)
        ways = {
            "tuned": texts_of(context, numbers, 4, generator),
            "sampling": decoder.sampled(numbers, 4, generator=generator),
            "beams": decoder.beams(numbers, 4, 4),
        }
        scores = {name: self.reward_of(env).scores_of(texts) for name, texts in ways.items()}
        for number in numbers.tolist():
            lines += [f"## {env.decode(env.prompts.row(number))}", ""]
            for name, texts in ways.items():
                shown = env.show(texts)
                rows = (texts.prompt == number).nonzero().squeeze(1).tolist()
                lines += [f"- {name}: {float(scores[name][r]):.1f} `{shown[r]}`" for r in rows]
            lines.append("")
        return lines

    def report(self, context: Context) -> str:
        """The sampler beside its base."""
        if context.policy is None:
            return ""
        env = context.env
        numbers = torch.arange(self.openings)
        generator = torch.Generator(context.trainer.device).manual_seed(0)
        decoder, n = Decoder(env, self.model_of(env)), self.asked
        ways = {
            "tuned": texts_of(context, numbers, n, generator),
            "sampling": decoder.sampled(numbers, n, generator=generator),
            "nucleus 0.95": decoder.sampled(numbers, n, nucleus=0.95, generator=generator),
            "beams": decoder.beams(numbers, n, n),
            "diverse beams": decoder.diverse_beams(numbers, n),
        }
        embedding = self.embedding(env)
        lines = [f"log p at temperature 1 and diversity by {embedding.name}, {n} texts a prompt"]
        for name, texts in ways.items():
            m = text_metrics(env, texts, embedding)
            lines.append(
                f"{name:<14} mean {m['mean_log_p']:8.2f}  max {m['max_log_p']:8.2f}  "
                f"diversity {m['diversity']:.4f}"
            )
        return "\n".join(lines)

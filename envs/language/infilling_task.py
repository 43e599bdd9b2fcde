"""`gflow train infilling`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.sources import Sources
from gflow.bounds import Count, Natural, Positive, Temperature
from gflow.conditions.draws import ConditionSampler
from gflow.envs.language.infilling import infilling_env, middle_metrics, seed_middles
from gflow.envs.language.infilling_base import infilling_base
from gflow.envs.language.own_stories import stories_of
from gflow.envs.language.sampled import TextTask, texts_of
from gflow.envs.language.stories import Story, stories
from gflow.errors import ConfigError
from gflow.language.decoding import Decoder
from gflow.language.env import Text, TokenEnvironment
from gflow.language.measures import text_metrics
from gflow.language.memory import TextMemory
from gflow.language.model import LanguageModel
from gflow.language.schedule import TemperatureSchedule
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions
from gflow.training.config import TrainConfig

MEASURED = 50
"""Stories of which metrics are taken, at most."""
SHOWN = 20
"""Stories in the file of middles."""


@dataclass(frozen=True)
class InfillingTask(TextTask):
    """The fourth sentence of a story whose others are known: p(sentence, ending | beginning)^(1/T).

    The small model knows micro-stories in which the fourth sentence must explain the fifth. Asked
    for it, it writes one that goes with the beginning alone, until it is tuned.

    Attributes:
        model: A causal language model of your own: name, folder or .gguf file.
        written: File of its stories, which it writes now if there is none.
        base: Folder of the small model, which is pre-trained if it is not there; empty to train it
            anew each time.
        base_steps: Steps of its pre-training, of which a core does about ten in a second.
        base_seed: Of the small model.
        told: Stories that are trained on; at most 16 if a model of your own is to write them.
        others: Further ones that are only measured.
        stories_seed: Of the stories.
        fewest: Fewest tokens of a middle.
        longest: Most.
        first: Temperature at the beginning.
        temperature: At the end.
        anneal: Steps over which it falls.
        rank: Rank of the adapters.
        alpha: Their products are scaled by alpha / rank.
        seeds: Whether the memory begins with the true middles.
        embedder: Folder of a sentence encoder for diversity; by default mean features of the model.
        repeat: Texts of a story in a row of the batch.
        asked: Texts of each story that metrics are taken of.
    """

    name: ClassVar[str] = "infilling"
    summary: ClassVar[str] = "a language model tuned to write the missing sentence of a story"
    objective: ClassVar[str] = "msubtb"
    train: ClassVar[TrainConfig] = TrainConfig(steps=300, batch_size=64, lr=2e-3, grad_clip=1.0)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=64)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "valid",
        "found",
        "mean_log_p",
        "diversity",
        "bleu",
        "other_valid",
        "other_mean_log_p",
    )

    model: str = ""
    written: str = "runs/infilling-stories.json"
    base: str = "runs/infilling-base"
    base_steps: Natural = 1000
    base_seed: int = 0
    told: Count = 200
    others: Natural = 50
    stories_seed: int = 1
    fewest: Count = 2
    longest: Count = 10
    first: Temperature = 1.1
    temperature: Temperature = 0.85
    anneal: Count = 100
    rank: Count = 16
    alpha: Positive = 16.0
    seeds: bool = True
    embedder: str = ""
    repeat: Count = 8
    asked: Count = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.asked < 2:
            raise ConfigError(f"infilling: diversity needs asked >= 2, got {self.asked}.")

    @classmethod
    def cheap(cls) -> TokenEnvironment:
        """With an untrained base."""
        return cls(base="", base_steps=0).environment()

    def stories(self, model: LanguageModel) -> list[Story]:
        """Those that are trained on first, then the others."""
        total = self.told + self.others
        if self.model:
            return stories_of(self.written, model, total, self.stories_seed)
        return stories(total, torch.Generator().manual_seed(self.stories_seed))

    def environment(self) -> TokenEnvironment:
        """Middles of all stories."""
        if self.model:
            model = LanguageModel.load(self.model)
        else:
            model = infilling_base(self.base, self.base_steps, self.base_seed)
        told = self.stories(model)
        model.adapt(self.rank, self.alpha)
        return infilling_env(
            model, told, self.first, self.longest, self.fewest, words=not self.model
        )

    def condition(self, env: TokenEnvironment) -> ConditionSampler | None:
        """Stories that are trained on."""
        if not env.condition_dim:
            return None
        return env.prompts.sampler(self.repeat, range(self.told))

    def behaviour(self, env: TokenEnvironment, chosen: Behaviour) -> Behaviour:
        """The policy, it at other temperatures, and a seeded memory, unless told otherwise."""
        if not isinstance(chosen, OnPolicy):
            return chosen
        memory, model = TextMemory(env, draw="reward"), self.model_of(env)
        if self.seeds:
            told = self.stories(model)[: self.told]
            seed_middles(memory, model, told, words=not self.model)
        return Sources(0.25, 0.5, 0.25, memory=memory)

    def learners(self, env: TokenEnvironment, policy: Policy) -> list[Learner]:
        """The temperature, which falls."""
        reward = self.reward_of(env)
        return [TemperatureSchedule(reward, self.first, self.temperature, self.anneal)]

    def measured(self, env: TokenEnvironment, texts: Text) -> dict[str, float]:
        """Likelihood, diversity, and what is right."""
        found = text_metrics(env, texts, self.embedding(env))
        return found | middle_metrics(env, texts, self.stories(self.model_of(env)))

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Of stories that are trained on, and of the others; at most 50 of each."""
        if context.policy is None:
            return {}
        generator = torch.Generator(context.trainer.device).manual_seed(context.trainer.step)
        numbers = torch.arange(self.told + self.others)
        known, other = numbers[: self.told][:MEASURED], numbers[self.told :][:MEASURED]
        found = self.measured(context.env, texts_of(context, known, self.asked, generator))
        if len(other):
            more = self.measured(context.env, texts_of(context, other, self.asked, generator))
            found |= {f"other_{name}": value for name, value in more.items()}
        return found

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Middles of some stories that were not trained on."""
        if context.policy is None:
            return {}
        env, path = context.env, folder / "middles.md"
        told = self.stories(self.model_of(env))
        last = torch.arange(len(told))[-SHOWN:]
        generator = torch.Generator(context.trainer.device).manual_seed(0)
        texts = texts_of(context, last, 3, generator)
        lines = list[str]()
        for number, text in zip(texts.prompt.tolist(), env.show(texts), strict=True):
            story = told[number]
            begins = f"- {story.opening('')} **{text.strip()}.** {story.ending}."
            lines.append(f"{begins} (true: {story.middle}.)")
        path.write_text("\n".join(lines) + "\n")
        return {"middles": path}

    def report(self, context: Context) -> str:
        """The sampler beside prompting and beams of its base, on stories not trained on."""
        if context.policy is None:
            return ""
        env, n = context.env, self.asked
        numbers = torch.arange(self.told + self.others)
        numbers = (numbers[self.told :] if self.others else numbers)[:MEASURED]
        generator = torch.Generator(context.trainer.device).manual_seed(0)
        decoder = Decoder(env, self.model_of(env))
        ways = {
            "tuned": texts_of(context, numbers, n, generator),
            "prompting": decoder.sampled(numbers, n, generator=generator),
            "beams": decoder.beams(numbers, n, n),
        }
        lines = [f"{n} middles of each of {len(numbers)} stories, log p of middle and ending"]
        for name, texts in ways.items():
            m = self.measured(env, texts)
            fits = f"  valid {m['valid']:.3f}  found {m['found']:.3f}" if "valid" in m else ""
            lines.append(
                f"{name:<10} mean log p {m['mean_log_p']:8.2f}  max {m['max_log_p']:8.2f}  "
                f"diversity {m['diversity']:.4f}  BLEU {m['bleu']:.3f}  GLEU {m['gleu']:.3f}{fits}"
            )
        return "\n".join(lines)

"""`gflow train arithmetic`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.sources import Sources
from gflow.bounds import Count, Natural, Positive, Temperature
from gflow.conditions.draws import ConditionSampler
from gflow.envs.language.arithmetic import Problem, problems
from gflow.envs.language.arithmetic_base import BOS, OPERANDS, WORDS, arithmetic_model
from gflow.envs.language.arithmetic_reward import ArithmeticReward, accuracy, legal_tokens
from gflow.envs.language.calculator import TextCalculator, TokenCalculator
from gflow.envs.language.integers import stop_token
from gflow.language.env import TokenEnvironment
from gflow.language.memory import TextMemory
from gflow.language.model import LanguageModel
from gflow.language.policy import READS_PROMPTS, HuggingFacePolicy
from gflow.language.tools import Tool
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

JUDGED = (3, 4, 5)
"""Numbers of the questions that judge."""
SAMPLES = 10
"""Texts of each question in the metrics."""
SHOWN = 3
"""Questions of each length in the file of answers."""


@dataclass(frozen=True)
class ArithmeticTask(Task[TokenEnvironment]):
    """Steps of sums, found from questions and answers alone; a calculator fills in the results.

    The reward is how likely the model finds steps and the true answer; the policy sees the question
    alone. Texts that stop too early are so unlikely that whole texts alone are balanced by default;
    with `--objective msubtb` their beginnings are, too. A small model is pre-trained once: it knows
    how sums are worked out, and does so in three of ten cases.

    Attributes:
        model: A causal language model of your own: name, folder or .gguf file.
        base: Folder of the small model, which is pre-trained if it is not there; empty to train it
            anew each time.
        base_steps: Steps of its pre-training, of which a core does about ten in a second.
        base_seed: Of the small model.
        shots: Worked problems before each question, for a model of your own.
        operands: Numbers of the questions to train on.
        train_problems: Questions to train on.
        test_problems: Questions of 3, 4 and 5 numbers each, that judge.
        demonstrations: Questions to train on whose steps the memory begins with.
        longest: Most tokens that the policy writes; five numbers take 19 words.
        shortest: Fewest.
        reward_temperature: T of the reward p^(1/T).
        repeat: Texts of a question in a batch.
        rank: Rank of the adapters.
        alpha: Their products are scaled by alpha / rank.
        data_seed: Of the questions.
    """

    name: ClassVar[str] = "arithmetic"
    summary: ClassVar[str] = "a language model tuned to work out sums in steps, with a calculator"
    objective: ClassVar[str] = "vargrad"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=300, batch_size=32, lr=1e-3, lr_half_life=100, grad_clip=1.0
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=32)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_log_reward",
        *(f"accuracy_{size}" for size in JUDGED),
        *(f"majority_{size}" for size in JUDGED),
    )
    refuses_conditions: ClassVar[str] = READS_PROMPTS

    model: str = ""
    base: str = "runs/arithmetic-base"
    base_steps: Natural = 2500
    base_seed: int = 0
    shots: Natural = 3
    operands: tuple[Count, ...] = (3, 4)
    train_problems: Count = 1000
    test_problems: Count = 50
    demonstrations: Natural = 0
    longest: Count = 20
    shortest: Natural = 3
    reward_temperature: Temperature = 1.0
    repeat: Count = 8
    rank: Count = 32
    alpha: Positive = 32.0
    data_seed: int = 0

    @classmethod
    def cheap(cls) -> TokenEnvironment:
        """With an untrained base."""
        return cls(base="", base_steps=0).environment()

    def problems(self) -> list[Problem]:
        """Those to train on, then those that judge, by their length."""
        found = problems(self.train_problems, self.operands, self.data_seed)
        for size in JUDGED:
            seed = self.data_seed + size
            found += problems(self.test_problems, (size,), seed, without=found)
        return found

    def test_rows(self, size: int) -> range:
        """Numbers of the problems of a length that judge."""
        first = self.train_problems + JUDGED.index(size) * self.test_problems
        return range(first, first + self.test_problems)

    def environment(self) -> TokenEnvironment:
        """Steps behind the questions."""
        known = self.problems()
        tool: Tool
        if self.model:
            model = LanguageModel.load(self.model)
            shots = problems(self.shots, self.operands, self.data_seed + 1, without=known)
            opening, tool = [], TextCalculator(model)
        else:
            model = arithmetic_model(self.base, self.base_steps, self.base_seed)
            shots, opening, tool = [], [WORDS.index(BOS)], TokenCalculator(WORDS)
        reward = ArithmeticReward(model, known, self.reward_temperature, shots, opening)
        legal, stop = legal_tokens(model), stop_token(model, ".")
        model.adapt(self.rank, self.alpha)
        return TokenEnvironment(
            model.vocabulary,
            stop,
            reward,
            self.longest,
            self.shortest,
            legal,
            reward.prompts,
            tool,
            model.decode,
        )

    def policy(self, env: TokenEnvironment, needs: Needs) -> Policy:
        """The model with its adapters."""
        assert isinstance(env.reward, ArithmeticReward)
        return HuggingFacePolicy(env, env.reward.model, log_flow=needs.flows(env) > 0)

    def condition(self, env: TokenEnvironment) -> ConditionSampler | None:
        """Questions to train on, each for several texts."""
        return env.prompts.sampler(self.repeat, range(self.train_problems))

    def behaviour(self, env: TokenEnvironment, chosen: Behaviour) -> Behaviour:
        """The policy, the policy at other temperatures and a memory, unless something is chosen."""
        if not isinstance(chosen, OnPolicy):
            return chosen
        memory = TextMemory(env, capacity=20, draw="reward")
        if self.demonstrations:
            rows = range(min(self.demonstrations, self.train_problems))
            memory.seed([self.worked(env, row) for row in rows], rows)
        return Sources(memory=memory)

    def worked(self, env: TokenEnvironment, row: int) -> list[int]:
        """The tokens of the steps of a problem, as they follow its question."""
        assert isinstance(env.reward, ArithmeticReward)
        return env.reward.model.encode(" " + env.reward.problems[row].steps)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """How often the answer is true behind one text, and by the majority of ten."""
        if context.policy is None:
            return {}
        trainer = context.trainer
        generator = torch.Generator(trainer.device).manual_seed(trainer.step)
        numbers: dict[str, float] = {}
        for size in JUDGED:
            rows = self.test_rows(size)
            found = accuracy(context.env, context.policy, rows, SAMPLES, generator)
            numbers |= {f"{name}_{size}": value for name, value in found.items()}
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Some questions with the steps that are found for them, and the answers."""
        env, path = context.env, folder / "answers.txt"
        reward, generator = env.reward, torch.Generator(context.trainer.device).manual_seed(0)
        assert isinstance(reward, ArithmeticReward)
        rows = [row for size in JUDGED for row in list(self.test_rows(size))[:SHOWN]]
        asked = env.prompts.conditions[rows].repeat_interleave(SAMPLES // 2, 0)
        batch = context.sampler.forward(
            context.policy or context.trainer.evaluated_policy,
            len(asked),
            condition=asked.to(context.trainer.device),
            generator=generator,
            device=context.trainer.device,
        )
        said = reward.answers(batch.final_states)
        lines = []
        for line, prompt, answer in zip(
            env.show(batch.final_states), batch.final_states.prompt.tolist(), said, strict=True
        ):
            problem = reward.problems[prompt]
            mark = "right" if answer == problem.answer else "wrong"
            lines.append(f"{problem.question} {line.strip()}. The answer is {answer}. ({mark})")
        path.write_text("\n".join(lines) + "\n")
        return {"answers": path}

    def report(self, context: Context) -> str:
        """The table of accuracies."""
        found = context.numbers
        return "\n".join(
            f"{size} numbers: one text {found[f'accuracy_{size}']:.3f}, majority of {SAMPLES} "
            f"{found[f'majority_{size}']:.2f}, {found[f'distinct_{size}']:.1f} distinct"
            for size in JUDGED
            if f"accuracy_{size}" in found
        )


assert max(JUDGED) <= OPERANDS

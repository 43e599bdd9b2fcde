"""`gflow train written-proofs`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from gflow.behaviours.base import Behaviour, OnPolicy
from gflow.behaviours.sources import Sources
from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.conditions.draws import ConditionSampler
from gflow.envs.language.sampled import TextTask, texts_of
from gflow.envs.proofs.checker import Theorem
from gflow.envs.proofs.free_text import OutcomeReward, ProofPosterior, Transcripts
from gflow.envs.proofs.pool import CheckerPool
from gflow.envs.proofs.recorded import RecordedChecker
from gflow.envs.proofs.task import ProofsTask
from gflow.envs.proofs.written_base import POSITIONS, SAID, Attempts, tidy, written_base
from gflow.errors import ConfigError
from gflow.language.env import Text, TokenEnvironment
from gflow.language.memory import TextMemory
from gflow.language.model import LanguageModel
from gflow.language.policy import HuggingFacePolicy
from gflow.language.prompts import Prompts
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler
from gflow.tasks.task import Context, RunOptions
from gflow.training.config import TrainConfig

TACTIC = re.compile(r"[A-Za-z0-9_' .,()|\[\]<>-]+|\n")
"""What tokens of tactics are made of; the end of a line is a token of its own."""
TOGETHER = 16
"""Proofs that are written at a time when one is looked for."""
SHOT = """\
Theorem goal : forall P Q : Prop, P -> Q -> P.
intros P Q H K.
open
assumption.
done

"""
"""What a model of your own reads first, so that it knows what is asked for."""


@dataclass(frozen=True)
class WrittenProofsTask(TextTask):
    """Proofs that a language model writes as text, a tactic a line, while the checker answers.

    The target is the model's own law over tactics, given that the checker accepts the proof. The
    small model reads and writes words; it has seen attempts of a beginner, tactics drawn evenly.

    Attributes:
        model: A causal language model of your own: name, folder or .gguf file.
        base: Folder of the small model, which is pre-trained if it is not there; empty to train it
            anew each time.
        base_steps: Steps of its pre-training, of which a core does three or so in a second.
        base_seed: Of the small model.
        theorems: Random propositions, or an example with five tactics that needs no Coq.
        statements: File of your own statements, a line each; the last fifth judges.
        train_theorems: How many are trained on, at most.
        test_theorems: How many judge, at most.
        formula_depth: Of connectives in random propositions.
        data_seed: Of random propositions.
        max_tactics: Tactics of an attempt that the small model learns from.
        longest: Tokens that the policy writes, at most.
        incomplete: Minus the log of what a proof that is not complete is worth.
        error: The same of one that ends in an error.
        repeat: Proofs of each theorem in a batch.
        asked: Texts of each theorem that judges.
        rank: Rank of the adapters.
        alpha: Their products are scaled by alpha / rank.
    """

    name: ClassVar[str] = "written-proofs"
    summary: ClassVar[str] = "proofs that a language model writes line by line, under a checker"
    objective: ClassVar[str] = "vargrad"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=300, batch_size=32, lr=1e-3, lr_half_life=100, grad_clip=1.0
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=32)
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "mean_log_reward",
        "proofs",
        "errors",
        "solved",
        "distinct_proofs",
    )

    model: str = ""
    base: str = "runs/written-proofs-base"
    base_steps: Natural = 400
    base_seed: int = 0
    theorems: Literal["generated", "example"] = "generated"
    statements: str = ""
    train_theorems: Count = 50
    test_theorems: Count = 20
    formula_depth: Count = 2
    data_seed: Natural = 0
    max_tactics: Count = 4
    longest: Count = 20
    incomplete: NotNegative = 15.0
    error: NotNegative = 20.0
    repeat: Count = 8
    asked: Count = 8
    rank: Count = 16
    alpha: Positive = 16.0

    @classmethod
    def cheap(cls) -> TokenEnvironment:
        """The example with an untrained base and hardly any room."""
        return cls(base="", base_steps=0, theorems="example", longest=4).environment()

    # ------------------------------------------------------------------ theorems

    @property
    def finite(self) -> ProofsTask:
        """The same theorems with candidates instead of text."""
        return ProofsTask(
            theorems=self.theorems,
            statements=self.statements,
            train_theorems=self.train_theorems,
            test_theorems=self.test_theorems,
            formula_depth=self.formula_depth,
            data_seed=self.data_seed,
        )

    def pool(self, theorems: list[Theorem]) -> CheckerPool:
        """Fresh checkers, which say of any text whether it is a tactic."""
        if self.theorems == "example":
            return CheckerPool.of(RecordedChecker(strict=False))
        return self.finite.pool(theorems)

    def environment(self) -> TokenEnvironment:
        """Transcripts of the theorems to train on, and of those that judge."""
        mine, judges = self.finite.split()
        if self.model:
            model = LanguageModel.load(self.model)
        else:
            model = written_base(self.base, self.base_steps, self.base_seed, self._attempts)
        model.adapt(self.rank, self.alpha)
        return self.texts([*mine, *judges], model)

    def texts(self, theorems: list[Theorem], model: LanguageModel) -> TokenEnvironment:
        """The environment of some theorems."""
        rows = self._prompts(theorems, model)
        talk = self._transcripts(theorems, model)
        longest = max(map(len, rows)) + self.longest * (1 + talk.reply_length)
        if not self.model and longest > POSITIONS:
            raise ConfigError(
                f"written-proofs: the small model reads {POSITIONS} words, and the longest theorem "
                f"with {self.longest} of a proof and the answers may take more. Take a smaller "
                f"longest, or shorter statements."
            )
        prompts, stop = Prompts(rows), self._stop(model)
        legal = torch.tensor(
            [bool(TACTIC.fullmatch(talk.piece(token))) for token in range(model.vocabulary)]
        )
        outcome = OutcomeReward(talk, model.vocabulary, self.incomplete, self.error)
        reward = ProofPosterior(model, prompts, outcome, stop, legal)
        return TokenEnvironment(
            model.vocabulary,
            stop,
            reward,
            self.longest,
            legal=legal,
            prompts=prompts,
            tool=talk,
            decode=talk.decode,
        )

    def _prompts(self, theorems: list[Theorem], model: LanguageModel) -> list[list[int]]:
        opening = SHOT if self.model else ""
        return [model.encode(f"{opening}{one.declaration}\n") for one in theorems]

    def _transcripts(self, theorems: list[Theorem], model: LanguageModel) -> Transcripts:
        def decode(tokens: Sequence[int]) -> str:
            text = model.decode(tokens)
            return text if self.model else tidy(text)

        longest = max(len(model.encode(f"{word}\n")) for word in SAID)
        pool = self.pool(theorems)
        return Transcripts(pool, theorems, longest, "status", model.encode, decode)

    def _stop(self, model: LanguageModel) -> int:
        assert model.tokenizer is not None
        stop = model.tokenizer.eos_token_id
        if not isinstance(stop, int):
            raise ConfigError(
                f"written-proofs: the tokenizer of {self.model} has no token that ends texts "
                f"(`eos_token`), and proofs end by one. Give it one, or take another model."
            )
        return stop

    def _attempts(self, model: LanguageModel) -> Attempts:
        """What the small model learns from."""
        mine, _ = self.finite.split()
        talk, prompts = self._transcripts(mine, model), self._prompts(mine, model)
        return Attempts(talk, prompts, self.finite.tactics(), self.max_tactics)

    # ------------------------------------------------------------------ the task

    def told(self, env: TokenEnvironment) -> list[int]:
        """Numbers of the theorems to train on."""
        mine, _ = self.finite.split()
        return list(range(len(mine)))

    def condition(self, env: TokenEnvironment) -> ConditionSampler | None:
        """Theorems to train on, each for several proofs."""
        return env.prompts.sampler(self.repeat, self.told(env)) if env.condition_dim else None

    def behaviour(self, env: TokenEnvironment, chosen: Behaviour) -> Behaviour:
        """The policy, it at other temperatures and a memory, unless something is chosen."""
        if not isinstance(chosen, OnPolicy):
            return chosen
        return Sources(memory=TextMemory(env, capacity=20, draw="reward"))

    def judged(self, env: TokenEnvironment, texts: Text) -> list[str]:
        """B outcomes."""
        talk = transcripts_of(env)
        rows = zip(env.tokens_of(texts), texts.prompt.tolist(), strict=True)
        return [talk.outcome(tokens, theorem) for tokens, theorem in rows]

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Shares of outcomes, and of theorems that judge which are proved by a few texts."""
        if context.policy is None:
            return {}
        env = context.env
        known = len(self.told(env))
        rows = torch.arange(known, len(env.prompts))
        rows = rows if len(rows) else torch.arange(known)
        generator = torch.Generator(context.trainer.device).manual_seed(context.trainer.step)
        texts = texts_of(context, rows, self.asked, generator)
        said = self.judged(env, texts)
        proofs = {
            (number, shown)
            for number, shown, one in zip(texts.prompt.tolist(), env.show(texts), said, strict=True)
            if one == "done"
        }
        return {
            "proofs": said.count("done") / len(said),
            "errors": said.count("error") / len(said),
            "solved": len({number for number, _ in proofs}) / len(rows),
            "distinct_proofs": len(proofs) / len(rows),
        }

    def search(
        self, policy: Policy, theorem: Theorem, budget: int, generator: torch.Generator
    ) -> tuple[tuple[str, ...] | None, int]:
        """A proof of a theorem that the policy writes, if it writes one, and the calls it took.

        Args:
            policy: Of a run of this task.
            theorem: Any.
            budget: Calls of the checker, after which no further text is begun.
            generator: Source of randomness.
        """
        assert isinstance(policy, HuggingFacePolicy)
        env = self.texts([theorem], policy.model)
        talk, fresh = transcripts_of(env), HuggingFacePolicy(env, policy.model)
        try:
            for _ in range(budget):  # texts that were asked before cost no call
                batch = Sampler(env).forward(
                    fresh, TOGETHER, generator=generator, device=generator.device
                )
                for tokens in env.tokens_of(batch.final_states):
                    if talk.outcome(tokens, 0) == "done":
                        return talk.read(tokens, 0)[0], talk.pool.calls
                if talk.pool.calls >= budget:
                    break
            return None, talk.pool.calls
        finally:
            talk.pool.close()

    def close(self, env: TokenEnvironment) -> None:
        """End the checkers."""
        transcripts_of(env).pool.close()


def transcripts_of(env: TokenEnvironment) -> Transcripts:
    """What reads the texts of an environment of this task."""
    assert isinstance(env.tool, Transcripts)
    return env.tool

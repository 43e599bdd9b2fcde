"""`gflow train proofs`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour
from gflow.behaviours.data import BackwardReplay
from gflow.bounds import Count, Natural, NotNegative, Probability
from gflow.conditions.draws import ConditionSampler, TableCondition
from gflow.envs.proofs.checker import Theorem
from gflow.envs.proofs.coq.checker import CoqChecker
from gflow.envs.proofs.data import read_statements, shortest_proofs, those_that_open
from gflow.envs.proofs.env import ProofEnv
from gflow.envs.proofs.metrics import distinct_proofs, outcomes, solved
from gflow.envs.proofs.policy import TacticPolicy, TheoremEncoder
from gflow.envs.proofs.pool import CheckerPool
from gflow.envs.proofs.propositions import random_propositions
from gflow.envs.proofs.recorded import RecordedChecker
from gflow.envs.proofs.reward import PaperReward, PosteriorReward, ProofReward
from gflow.envs.proofs.tactics import FixedTactics, GoalTactics, Tactics
from gflow.envs.proofs.tree import ProofTree
from gflow.errors import ConfigError
from gflow.policies.base import Policy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig

LOOKED_AT, SAMPLES = 10, 50
"""Theorems of which distinct proofs are counted, and samples of each."""

MOST_CHECKERS = 8
"""Coq processes, if nobody says how many."""

SHARED = 64
"""Theorems without a context of their own that are searched side by side."""


@dataclass(frozen=True)
class ProofsTask(Task[ProofEnv]):
    """Proofs found tactic by tactic under Coq; judged by search on theorems never trained on.

    Attributes:
        theorems: What is proved: random propositions, lemmas of Coq's library, or an example with
            five tactics that needs no Coq.
        statements: File of your own statements, a line each, to train on; the last fifth judges.
        train_theorems: How many are trained on, at most.
        test_theorems: How many judge, at most.
        formula_depth: Of connectives in random propositions.
        data_seed: Of random propositions, and of which lemmas judge.
        max_tactics: Tactics of a proof, at most.
        candidates: Tactics that are tried at a goal, at most.
        reward: Posterior of uniform candidates given that the proof is accepted, or that of the
            paper.
        beta: Weight of the candidates' probability in the posterior.
        incomplete: Minus the log-reward of a proof that is not complete in the end.
        error: Minus the log-reward of one that ends in an error.
        repeat: Proofs of each theorem in a batch; at least 2 for vargrad.
        taught: Share of a batch that repeats shortest proofs, found before by breadth-first search.
        teacher_calls: Calls of the checker for each of these.
        budget: Calls of the checker for each theorem that judges.
        checkers: Coq processes; 0 takes one for each file that lemmas come from, at most eight, as
            going from one to another takes time.
        width: Size of the vectors of goals and tactics.
        hidden: Units of the perceptron that scores tactics.
    """

    name: ClassVar[str] = "proofs"
    summary: ClassVar[str] = "proofs tactic by tactic under Coq; judged by search"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=300, batch_size=64, lr=3e-3, log_z_lr=3e-2, grad_clip=10.0, epsilon=0.05
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=100, eval_samples=128)
    objective: ClassVar[str] = "tb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "proofs",
        "errors",
        "solved",
        "calls",
        "distinct_proofs",
        "log_z",
    )

    theorems: Literal["generated", "library", "example"] = "generated"
    statements: str = ""
    train_theorems: Count = 100
    test_theorems: Count = 50
    formula_depth: Count = 4
    data_seed: Natural = 0
    max_tactics: Count = 8
    candidates: Count = 20
    reward: Literal["posterior", "paper"] = "posterior"
    beta: NotNegative = 1.0
    incomplete: NotNegative = 15.0
    error: NotNegative = 20.0
    repeat: Count = 8
    taught: Probability = 0.0
    teacher_calls: Count = 300
    budget: Count = 64
    checkers: Natural = 0
    width: Count = 64
    hidden: Count = 128

    # ------------------------------------------------------------------ theorems

    def split(self) -> tuple[list[Theorem], list[Theorem]]:
        """Theorems to train on and theorems to judge by."""
        if self.theorems == "example":
            return RecordedChecker().theorems, []
        if self.statements or self.theorems == "library":
            found = read_statements(self.statements) if self.statements else self._library()
            judges = min(self.test_theorems, max(1, len(found) // 5)) if len(found) > 1 else 0
            mine, rest = found[: len(found) - judges], found[len(found) - judges :]
            # Those of one context one after the other, so that checkers stay with it.
            return (
                sorted(mine[: self.train_theorems], key=lambda theorem: theorem.context),
                sorted(rest, key=lambda theorem: theorem.context),
            )
        count = self.train_theorems + self.test_theorems
        found = random_propositions(count, self.data_seed, self.formula_depth)
        return found[: self.train_theorems], found[self.train_theorems :]

    def _library(self) -> list[Theorem]:
        """Lemmas of the library in a random order, those that stand alone."""
        from gflow.envs.proofs.coq.library import library_proofs

        found = [proof.theorem for proof in library_proofs()]
        random.Random(self.data_seed).shuffle(found)
        checker = CoqChecker()
        try:
            return those_that_open(checker, found)
        finally:
            checker.close()

    @property
    def equations(self) -> bool:
        """Whether data and equations are met, not propositions alone."""
        return bool(self.statements) or self.theorems == "library"

    def tactics(self) -> Tactics:
        """Candidates at goals."""
        if self.theorems == "example":
            return FixedTactics(RecordedChecker().tactics)
        return GoalTactics(self.candidates, self.equations)

    def pool(self, theorems: Sequence[Theorem] = ()) -> CheckerPool:
        """Fresh checkers for theorems."""
        if self.theorems == "example":
            return CheckerPool.of(RecordedChecker())
        contexts = len({theorem.context for theorem in theorems})
        return CheckerPool(CoqChecker, self.checkers or min(max(1, contexts), MOST_CHECKERS))

    def proof_env(self, pool: CheckerPool, theorems: list[Theorem]) -> ProofEnv:
        """The environment of some theorems."""
        depth = min(self.max_tactics, 4) if self.theorems == "example" else self.max_tactics
        tree = ProofTree(pool, theorems, self.tactics(), depth)
        reward: ProofReward
        if self.reward == "paper":
            reward = PaperReward(tree)
        else:
            reward = PosteriorReward(
                tree, beta=self.beta, incomplete=self.incomplete, error=self.error
            )
        return ProofEnv(tree, reward)

    # ------------------------------------------------------------------ the task

    def environment(self) -> ProofEnv:
        """The theorems to train on, with those to judge by beside them."""
        mine, judges = self.split()
        if not mine:
            raise ConfigError("ProofsTask: there are no theorems to train on.")
        pool = self.pool([*mine, *judges])
        env = self.proof_env(pool, mine)
        if judges:
            env.held_out = self.proof_env(pool, judges)
        return env

    @classmethod
    def cheap(cls) -> ProofEnv:
        """The recorded example."""
        return cls(theorems="example").environment()

    def policy(self, env: ProofEnv, needs: Needs) -> Policy:
        """A network that scores candidates by their texts."""
        return TacticPolicy(env, self.width, self.hidden, log_flow=bool(needs.flows(env)))

    def condition(self, env: ProofEnv) -> ConditionSampler | None:
        """The numbers of theorems, several proofs of each."""
        if not env.source_reads_condition:
            return None
        numbers = torch.arange(len(env.tree.theorems), dtype=torch.get_default_dtype())
        return TableCondition(numbers[:, None], self.repeat)

    def supply(self, name: str, env: ProofEnv, width: int) -> Any:
        """Of log Z, which depends on the theorem: it is read from its text."""
        if env.source_reads_condition and name == "condition_dim":
            return 1
        if env.source_reads_condition and name == "condition_encoder":
            return TheoremEncoder(env.tree, self.width)
        return super().supply(name, env, width)

    def behaviour(self, env: ProofEnv, chosen: Behaviour) -> Behaviour:
        """What is chosen; with `taught`, a share of shortest proofs.

        Raises:
            ConfigError: No proof was found to be taught.
        """
        if not self.taught:
            return chosen
        proofs = shortest_proofs(env, self.teacher_calls, group=self._group)
        if not len(proofs):
            raise ConfigError(
                f"taught: breadth-first search proves none of the theorems with "
                f"{self.teacher_calls} calls. Raise --teacher-calls, or leave --taught out."
            )
        condition = proofs[:, :1].to(torch.get_default_dtype())
        told = condition if env.source_reads_condition else None
        return BackwardReplay(env, proofs, self.taught, condition=told)

    @property
    def _group(self) -> int:
        return 1 if self.theorems == "library" else SHARED

    def rewards(
        self, env: ProofEnv, objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """Log-rewards are reported: they span orders of magnitude."""
        return None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Shares of outcomes, distinct proofs, and what search proves of held-out theorems."""
        env, trainer = context.env, context.trainer
        policy = trainer.evaluated_policy
        if context.env is not trainer.env:  # told a temperature, say
            return outcomes(env, objects)
        generator = torch.Generator(trainer.device).manual_seed(trainer.step)
        judged = env if env.held_out is None else env.held_out
        numbers, _ = solved(judged, policy, self.budget, self._group)
        some = range(min(LOOKED_AT, len(judged.tree.theorems)))
        counts = distinct_proofs(judged, policy, some, SAMPLES, generator)
        numbers["distinct_proofs"] = sum(counts) / len(counts)
        return outcomes(env, objects) | numbers

    def report(self, context: Context) -> str:
        """What search proves, beside a search that takes all tactics alike."""
        env = context.env
        judged = env if env.held_out is None else env.held_out
        plain, _ = solved(judged, None, self.budget, self._group)
        total = len(judged.tree.theorems)
        lines = [
            f"{round(context.numbers['solved'] * total)} of {total} theorems "
            f"{'of the example' if judged is env else 'never trained on'} proved with at most "
            f"{self.budget} calls of the checker each; "
            f"{round(plain['solved'] * total)} if all tactics are taken alike."
        ]
        return "\n".join(lines)

    def close(self, env: ProofEnv) -> None:
        """End the checkers."""
        env.tree.close()

"""`gflow train grammar`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.behaviours.base import Behaviour
from gflow.bounds import Count, Natural, NotNegative, Probability, Rate
from gflow.conditions.draws import ConditionSampler, TableCondition
from gflow.em.dreams import Sleep
from gflow.em.encoder import DataEncoder
from gflow.em.learner import GREEDY, Latents, MStep
from gflow.em.mixing import BackAndForth
from gflow.em.pace import Every, Pace, Threshold
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.exact import posterior_distance
from gflow.envs.grammar.forest import spans
from gflow.envs.grammar.inside import expected_parse, log_marginal
from gflow.envs.grammar.known import KnownName
from gflow.envs.grammar.metrics import bracketing, nll_per_token
from gflow.envs.grammar.model import FixedGrammar, GrammarModel
from gflow.envs.grammar.neural import Kind, NeuralGrammar
from gflow.envs.grammar.policy import ParserPolicy
from gflow.envs.grammar.reader import SentenceEncoder
from gflow.envs.grammar.report import parses, rule_table
from gflow.envs.grammar.reward import GrammarReward
from gflow.envs.grammar.text import Treebank, known_treebank, read_sentences
from gflow.learner import Learner
from gflow.metrics import spearman
from gflow.policies.base import Policy
from gflow.tasks.parts import Part
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig
from gflow.trajectories import Trajectories

SHORT = 6
"""Words of the longest sentences whose posteriors are compared."""

JUDGED = 12
"""How many of these, and"""

TREES = 32
"""how many trees of each."""

COMPARED = 8
"""Trees of a sentence from which objectives that compare them know its log Z."""


@dataclass(frozen=True)
class GrammarTask(Task[Parser]):
    """Grammars learned from sentences alone, by GFlowNet-EM with a parser.

    Attributes:
        grammar: Known grammar that sentences are drawn from: one tree a sentence (pairs), phrases
            attached to nouns or verbs (attachment), expansions that read their parent (roles).
        sentences: File of your own sentences, a line each, words between blanks, in place of those;
            the last tenth judges.
        longest: Longer sentences are left out.
        train_sentences: How many are drawn to train on.
        test_sentences: How many are drawn to judge by.
        repeat: Trees for each sentence of a batch; at least 2 for vargrad.
        kind: Whether learned expansions read the symbol alone (cfg) or its parent, too (ncfg).
        known: Parse by the grammar that sentences are drawn from, of which nothing is learned.
        smoothing: Share of the known grammar's probabilities that is spread evenly.
        nonterminals: Symbols that are expanded.
        preterminals: Symbols that become words.
        symbol_width: Size of the grammar's embeddings.
        grammar_lr: Learning rate of the grammar.
        grammar_clip: Largest norm of its gradient.
        every: Steps of the parser for each of the grammar, if there is no threshold.
        threshold: The grammar learns while the parser's smoothed loss is below; 0 for no threshold.
        last_threshold: What the threshold falls to.
        threshold_steps: Steps of the grammar over which it falls.
        latents: Trees that the grammar is fitted to: fresh ones, those of the batch, or the
            likeliest.
        mixing: Rounds of back-and-forth moves before that; 0 for none.
        sleep: Probability that a step is followed by one on sentences that the grammar makes up.
        dreams: How many it makes up.
        width: Features of the parser.
        depth: Blocks of its transformer.
        heads: Attention heads.
        backward: Backward policy.
    """

    name: ClassVar[str] = "grammar"
    summary: ClassVar[str] = "grammars from sentences alone by GFlowNet-EM; judged exactly"
    train: ClassVar[TrainConfig] = TrainConfig(
        steps=1200,
        batch_size=32,
        lr=3e-3,
        log_z_lr=3e-3,
        lr_half_life=400,
        grad_clip=3.0,
        temperature=1.1,
    )
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=250, eval_samples=256)
    objective: ClassVar[str] = "flsubtb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "test_nll",
        "f1",
        "parser_f1",
        "log_z_spearman",
        "log_z_gap",
        "posterior_tv",
        "m_steps",
    )

    grammar: KnownName = "attachment"
    sentences: str = ""
    longest: Count = 20
    train_sentences: Count = 20_000
    test_sentences: Count = 300
    repeat: Count = 2
    kind: Kind = "cfg"
    known: bool = False
    smoothing: Probability = 0.01
    nonterminals: Count = 8
    preterminals: Count = 12
    symbol_width: Count = 64
    grammar_lr: Rate = 0.01
    grammar_clip: NotNegative = 3.0
    every: Count = 2
    threshold: NotNegative = 0.0
    last_threshold: NotNegative = 0.0
    threshold_steps: Count = 1000
    latents: Latents = "fresh"
    mixing: Natural = 0
    sleep: Probability = 0.25
    dreams: Count = 32
    width: Count = 64
    depth: Count = 2
    heads: Count = 4
    backward: BackwardChoice = "maxent"

    def treebank(self) -> Treebank:
        """Sentences to train on and to judge by."""
        if self.sentences:
            return read_sentences(self.sentences, self.longest)
        sizes = (self.train_sentences, self.test_sentences)
        return known_treebank(self.grammar, *sizes, self.longest)

    def environment(self) -> Parser:
        """The parser over all sentences, with a fresh grammar."""
        bank = self.treebank()
        model = self.model(bank)
        reward = GrammarReward(model, torch.cat([bank.train, bank.test]))
        return Parser(reward.data, reward, model.rules().nonterminals, len(bank.vocabulary))

    @classmethod
    def cheap(cls) -> Parser:
        """Of few sentences."""
        return cls(train_sentences=20, test_sentences=10).environment()

    def model(self, bank: Treebank) -> GrammarModel:
        """A fresh neural grammar, or the known one."""
        size = bank.train.shape[1]
        if self.known:
            return FixedGrammar(bank.known().rules, self.smoothing, size)
        return NeuralGrammar(
            self.nonterminals,
            self.preterminals,
            len(bank.vocabulary),
            self.kind,
            self.symbol_width,
            size,
        )

    def policy(self, env: Parser, needs: Needs) -> Policy:
        """A transformer over the trees of a forest."""
        return ParserPolicy(
            env,
            self.width,
            self.depth,
            self.heads,
            own_backward(self.backward),
            log_flow=needs.log_flow,
            word_cost=math.log(env.vocabulary),
        )

    def condition(self, env: Parser) -> ConditionSampler:
        """Sentences to train on."""
        return TableCondition(env.data.conditions[: len(self.treebank().train)], self.repeat)

    def condition_encoder(self, env: Parser) -> nn.Module:
        """What log Z reads of a sentence."""
        return DataEncoder(env.data, SentenceEncoder(env.vocabulary, self.width))

    def supply(self, name: str, env: Parser, width: int) -> Any:
        """Objectives with a log Z get a network of the sentence, though states hold it, too."""
        match name:
            case "condition_dim":
                return env.condition_dim
            case "condition_encoder":
                return self.condition_encoder(env)
        return super().supply(name, env, width)

    def log_z(self, env: Parser) -> float:
        """Of a sentence of average length, all words being as likely."""
        length = (env.data.data >= 0).sum(-1).double().mean()
        return -float(length) * math.log(env.vocabulary)

    def behaviour(self, env: Parser, chosen: Behaviour) -> Behaviour:
        """What was chosen, with some sleep."""
        if not self.sleep:
            return chosen
        likelihood = Part.of("objective", "mle").build(env=env)
        return Sleep(_reward(env), likelihood, self.sleep, self.dreams, inner=chosen)

    def learners(self, env: Parser, policy: Policy) -> list[Learner]:
        """The M-step, if there is something to learn."""
        if self.known:
            return []
        reward = _reward(env)
        optimizer = torch.optim.Adam(reward.model.parameters(), self.grammar_lr, (0.75, 0.999))
        pace: Pace = Every(self.every)
        if self.threshold:
            last = min(self.last_threshold or self.threshold, self.threshold)
            pace = Threshold(self.threshold, last, self.threshold_steps)
        mixing = BackAndForth(self.mixing) if self.mixing else None
        return [
            MStep(
                reward,
                optimizer,
                pace,
                latents=self.latents,
                mixing=mixing,
                grad_clip=self.grammar_clip,
            )
        ]

    def rewards(self, env: Parser, objects: Any, condition: Tensor | None = None) -> Tensor | None:
        """None: probabilities of sentences span many orders of magnitude."""
        return None

    @torch.no_grad()
    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The grammar by the inside algorithm, the parser by its greedy parses and its log Z."""
        trainer, env = context.trainer, context.env
        told = env.data.conditions[len(self.treebank().train) :].to(trainer.device)
        words = env.data.rows(told)
        rules = _reward(env).model.rules()
        exact = _reward(env).model.log_marginal(words)
        length = (words >= 0).sum(-1)
        found = trainer.sampler.forward(
            trainer.evaluated_policy,
            len(told),
            exploration=GREEDY,
            condition=told,
            generator=torch.Generator(trainer.device).manual_seed(trainer.step),
            device=trainer.device,
        )
        guess = self._log_z(context, found)
        numbers = {
            "test_nll": nll_per_token(exact, length),
            "log_z_spearman": float(spearman(guess.double(), exact.double())),
            "log_z_gap": float((guess - exact).abs().mean()),
        }
        short = told[length <= SHORT][:JUDGED]
        if len(short):
            generator = torch.Generator(trainer.device).manual_seed(trainer.step)
            distance = posterior_distance(
                env, trainer.evaluated_policy, rules, short, TREES, generator
            )
            numbers["posterior_tv"] = float(distance.mean())
        gold = self.treebank().gold
        if gold is not None:
            best, parsed = expected_parse(rules, words), spans(found.final_states)
            gold = gold.to(words.device)
            numbers["f1"], numbers["corpus_f1"] = bracketing(best, gold, length)
            numbers["parser_f1"], numbers["parser_corpus_f1"] = bracketing(parsed, gold, length)
        return numbers

    @staticmethod
    def _log_z(context: Context, parsed: Trajectories[Any]) -> Tensor:
        """(J,) what the objective believes log p(words) to be, for trajectories of J sentences."""
        trainer, times = context.trainer, 1
        if trainer.objective.compares:  # it knows nothing of a sentence by one tree
            times = COMPARED
            assert parsed.condition is not None
            told = parsed.condition.repeat_interleave(times, 0)
            parsed = trainer.sampler.forward(
                trainer.evaluated_policy,
                len(told),
                condition=told,
                generator=torch.Generator(trainer.device).manual_seed(trainer.step),
                device=trainer.device,
            )
        terms = trainer.objective.evaluate(context.env, trainer.evaluated_policy, parsed)
        return trainer.objective.log_z_estimate(terms).view(-1, times)[:, 0]

    def describe(self, env: Parser, objects: Any) -> list[str]:
        """Trees with words in place of their numbers."""
        return parses(objects, self.treebank().vocabulary)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """Write the grammar's likeliest rules."""
        with torch.no_grad():
            rules = _reward(context.env).model.rules()
        lines = rule_table(rules, self.treebank().vocabulary)
        (folder / "rules.txt").write_text("\n".join(lines) + "\n")
        return {}

    def report(self, context: Context) -> str:
        """What the numbers would be under the grammar that sentences were drawn from."""
        numbers, bank = context.numbers, self.treebank()
        if "test_nll" not in numbers:
            return ""
        lines = [f"test sentences: {numbers['test_nll']:.4f} nats a token"]
        rules = "the likeliest rules are in rules.txt"
        if bank.grammar is not None and bank.gold is not None:
            truth = truth_of(bank)
            lines[0] += f" (the true grammar: {truth['nll']:.4f})"
            lines.append(
                f"F1 of brackets: {100 * numbers['f1']:.1f} by the grammar, "
                f"{100 * numbers['parser_f1']:.1f} by the parser "
                f"(the true grammar: {100 * truth['f1']:.1f})"
            )
        return "\n".join([*lines, rules])


def truth_of(bank: Treebank) -> dict[str, float]:
    """NLL per token and F1 of the test sentences under the grammar that they were drawn from."""
    rules, words, length = bank.known().rules, bank.test, (bank.test >= 0).sum(-1)
    assert bank.gold is not None
    f1 = bracketing(expected_parse(rules, words), bank.gold, length)
    nll = nll_per_token(log_marginal(rules, words), length)
    return {"nll": nll, "f1": f1.sentence, "corpus_f1": f1.corpus}


def _reward(env: Parser) -> GrammarReward:
    reward: Any = env.reward
    assert isinstance(reward, GrammarReward)
    return reward

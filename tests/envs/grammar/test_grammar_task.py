"""`gflow train grammar`, run as a user runs it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.em import MStep, Threshold
from gflow.envs.grammar.env import Parser
from gflow.envs.grammar.inside import log_marginal
from gflow.envs.grammar.metrics import nll_per_token
from gflow.envs.grammar.model import FixedGrammar
from gflow.envs.grammar.report import parses, rule_table
from gflow.envs.grammar.task import GrammarTask, truth_of
from gflow.envs.grammar.text import known_treebank, read_sentences
from gflow.errors import ConfigError
from gflow.runs.build import build_context
from gflow.tasks.options import RunConfig

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = (
    "--train-sentences=50", "--test-sentences=20", "--longest=6", "--nonterminals=3",
    "--preterminals=3", "--symbol-width=8", "--width=16", "--heads=2", "--depth=1",
    "--eval-samples=20", "--batch-size=8", "--dreams=8", "--quiet=True",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def small(**options: Any) -> GrammarTask:
    sizes: dict[str, Any] = {"train_sentences": 50, "test_sentences": 20, "longest": 6}
    nets: dict[str, Any] = {"symbol_width": 8, "width": 16, "heads": 2, "depth": 1}
    return GrammarTask(**{**sizes, **nets, "nonterminals": 3, "preterminals": 3, **options})


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["flsubtb", "tb", "vargrad"])
def test_runs_learn_and_say_how_well(objective: str, tmp_path: Path) -> None:
    """By the objective of the paper, and with a log Z that is a network of the sentence."""
    folder = tmp_path / "run"
    flags = [f"--objective={objective}", f"--out={folder}", "--steps=60", "--eval-every=30"]
    flags += ["--repeat=2"] * (objective == "vargrad")
    assert main(["train", "grammar", *SMALL, "--grammar-lr=0.01", *flags]) == 0
    numbers = json.loads((folder / "summary.json").read_text())["metrics"]
    assert numbers["m_steps"] > 10
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first = next(line["test_nll"] for line in lines if "test_nll" in line)
    assert numbers["test_nll"] < first - 0.1
    assert 0 < numbers["f1"] <= 1
    assert 0 < numbers["parser_f1"] <= 1
    assert -1 <= numbers["log_z_spearman"] <= 1
    rules = (folder / "rules.txt").read_text()
    assert rules.startswith("S -> ")
    assert "T0 -> " in rules
    assert main(["sample", str(folder), "--number=3"]) == 0


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    """The grammar, its optimiser and the pace are in the checkpoint."""

    def trained(parts: list[int]) -> dict[str, Any]:
        config = RunConfig.of(small(sleep=0.5, threshold=1e6, threshold_steps=5))
        torch.manual_seed(0)
        trainer = build_context(config).trainer
        for steps in parts:
            state = trainer.state_dict()
            torch.manual_seed(1)
            trainer = build_context(config).trainer
            trainer.load_state_dict(state)
            trainer.train(steps)
        return trainer.state_dict()

    whole, cut = trained([6]), trained([3, 3])
    for name in ("policy", "learners"):
        one, two = (json.dumps(s[name], default=lambda t: t.tolist()) for s in (whole, cut))
        assert one == two


def test_what_the_options_build() -> None:
    task = small(kind="ncfg", grammar="roles", threshold=5.0, last_threshold=2.0, mixing=2)
    context = build_context(RunConfig.of(task))
    env, trainer = context.env, context.trainer
    assert isinstance(env, Parser)
    assert (env.nonterminals, env.condition_dim, len(env.data)) == (3, 1, 70)
    (learner,) = trainer.learners
    assert isinstance(learner, MStep)
    assert isinstance(learner.pace, Threshold)
    assert (learner.pace.start, learner.pace.end) == (5.0, 2.0)
    assert learner.mixing is not None
    told = trainer.condition(500, torch.Generator().manual_seed(0))  # type: ignore[misc]
    assert float(told.max()) < 50  # those that judge are not trained on


def test_the_known_grammar_only_parses() -> None:
    task = small(grammar="pairs", known=True, sleep=0.0)
    context = build_context(RunConfig.of(task))
    assert context.trainer.learners == []
    model = context.env.reward.model
    assert isinstance(model, FixedGrammar)
    numbers = task.metrics(context, None)
    assert numbers["f1"] == 1.0
    words = task.treebank().test
    length = (words >= 0).sum(-1)
    expected = nll_per_token(log_marginal(model.rules(), words), length)
    assert numbers["test_nll"] == pytest.approx(expected)
    truth = truth_of(task.treebank())
    assert truth["nll"] < numbers["test_nll"]  # what smoothing costs
    assert truth["f1"] == 1.0
    assert "the true grammar" in task.report(
        type(context)(task, context.env, context.trainer, None, None, numbers=numbers)
    )


def test_sentences_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    line = "the dog saw the cat\n"
    path.write_text(line * 18 + "alone\n" + "a cat saw kim\n" * 2 + "far too long it is now\n")
    bank = read_sentences(str(path), 5)
    assert bank.vocabulary == ("a", "cat", "dog", "kim", "saw", "the")
    assert (tuple(bank.train.shape), tuple(bank.test.shape)) == ((18, 5), (2, 5))
    assert bank.test[1].tolist() == [0, 1, 4, 3, -1]
    assert bank.gold is None
    task = GrammarTask(sentences=str(path), longest=5, width=16, heads=2, symbol_width=8)
    env = task.environment()
    assert env.vocabulary == 6
    (told,) = task.describe(env, env.start(1, condition=torch.tensor([[19.0]])))
    assert told == "a cat saw kim"
    with pytest.raises(ConfigError, match="not known"):
        GrammarTask(sentences=str(path), longest=5, known=True).environment()
    with pytest.raises(ConfigError, match="2 sentences of 2 to 4 words"):
        read_sentences(str(path), 4)


def test_grammars_and_parses_are_shown_in_words() -> None:
    bank = known_treebank("attachment", 5, 5, 8)
    lines = rule_table(bank.known().rules, bank.vocabulary)
    assert lines[0] == "S -> 0 (1.000) | 1 (0.000) | 2 (0.000) | 3 (0.000)"
    assert lines[1].startswith("0 -> 1 2 (0.750) | T2 2 (0.250)")
    roles = known_treebank("roles", 5, 5, 8)
    lines = rule_table(roles.known().rules, roles.vocabulary)
    assert any(line.startswith("T2 under 0 -> ") and "kim" in line for line in lines)
    env = small(grammar="attachment").environment()
    source = env.start(1, condition=torch.tensor([[0.0]]))
    tree = env.step(source, torch.tensor([1]))
    assert parses(tree, env_words(env))[0].startswith("(1 ")


def env_words(env: Parser) -> list[str]:
    return [f"w{i}" for i in range(env.vocabulary)]

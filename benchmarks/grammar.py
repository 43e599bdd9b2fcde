"""Grammars from sentences alone: GFlowNet-EM beside exact EM and Monte-Carlo EM.

    python benchmarks/grammar.py                            # all of it, one seed
    python benchmarks/grammar.py --only attachment-cfg --seeds 0 1 2
    python benchmarks/grammar.py --methods known-grammar    # E-steps alone, on the true grammars

Sentences are drawn from three known grammars: one with one tree a sentence (pairs), one with
phrases attached to nouns or verbs (attachment), and one whose expansions read their parent (roles).
The same neural grammar is fitted in three ways with the same number of its steps: up the gradient
of log p(words) by the inside algorithm; by GFlowNet-EM, the parser learning between; and with trees
from Markov chains. Every grammar is judged exactly, by the inside algorithm: nats a token of test
sentences, and F1 of brackets (100 is all right) of the parse with the most expected right spans.
The parser is judged, after some steps for which the grammar stands still, by its greedy parses, by
the rank correlation of its log Z(words) with log p(words), and by the total variation between its
trees and the posterior on sentences of at most six words.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from gflow.envs.grammar.exact import posterior_distance
from gflow.envs.grammar.fit import chains_step, inside_step
from gflow.envs.grammar.inside import expected_parse
from gflow.envs.grammar.metrics import bracketing, nll_per_token
from gflow.envs.grammar.model import GrammarModel
from gflow.envs.grammar.neural import Kind
from gflow.envs.grammar.task import GrammarTask, truth_of
from gflow.envs.grammar.text import Treebank
from gflow.runs.build import build_context
from gflow.tasks.options import RunConfig
from gflow.tasks.parts import Part
from gflow.tasks.task import Context

CASES: dict[str, tuple[Any, Kind]] = {
    "pairs-cfg": ("pairs", "cfg"),
    "attachment-cfg": ("attachment", "cfg"),
    "roles-cfg": ("roles", "cfg"),
    "roles-ncfg": ("roles", "ncfg"),
}
"""Grammar that sentences are drawn from, and what is learned."""

BALANCE = Part.of("objective", "flsubtb", {"lam": 1.0, "weighting": "equal_within"})
"""Forward-looking balance of all parts of a trajectory alike."""


class Effort(NamedTuple):
    """How long to train.

    Attributes:
        m_steps: Steps of the grammar.
        every: Steps of the parser for each of these.
        settle: Steps of the parser at the end, for which the grammar stands still.
        candidates: Of each Markov chain.
        batch: Sentences a step.
        lr: Learning rate of the parser; it halves every 400 steps.
        grammar_lr: Learning rate of the grammar.
        short: Short test sentences for the distance to the posterior.
    """

    m_steps: int = 300
    every: int = 2
    settle: int = 200
    candidates: int = 200
    batch: int = 32
    lr: float = 3e-3
    grammar_lr: float = 0.01
    short: int = 30


def task_of(case: str, effort: Effort, **options: Any) -> GrammarTask:
    grammar, kind = CASES[case]
    return GrammarTask(
        grammar=grammar,
        kind=kind,
        longest=12,
        grammar_lr=effort.grammar_lr,
        every=effort.every,
        **options,
    )


@torch.no_grad()
def judged(model: GrammarModel, bank: Treebank) -> dict[str, float]:
    """NLL per token and F1 of the test sentences under a grammar."""
    rules, length = model.rules(), (bank.test >= 0).sum(-1)
    assert bank.gold is not None
    f1 = bracketing(expected_parse(rules, bank.test), bank.gold, length)
    nll = nll_per_token(model.log_marginal(bank.test), length)
    return {"nll": nll, "f1": 100 * f1.sentence, "corpus_f1": 100 * f1.corpus}


def without_sampler(
    case: str, effort: Effort, seed: int, step: Callable[..., Any]
) -> dict[str, float]:
    """A grammar fitted by steps on batches of sentences."""
    torch.manual_seed(seed)
    task = task_of(case, effort)
    bank = task.treebank()
    model, generator = task.model(bank), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), effort.grammar_lr, (0.75, 0.999))
    start = time.perf_counter()
    for _ in range(effort.m_steps):
        rows = torch.randint(len(bank.train), (effort.batch,), generator=generator)
        step(model, optimizer, bank.train[rows], generator)
    return judged(model, bank) | {"seconds": time.perf_counter() - start}


def exact_em(case: str, effort: Effort, seed: int) -> dict[str, float]:
    """Up the gradient of log p(words)."""
    return without_sampler(
        case, effort, seed, lambda model, optimizer, words, _: inside_step(
            model, optimizer, words, grad_clip=3.0
        )
    )  # fmt: skip


def chains_em(case: str, effort: Effort, seed: int) -> dict[str, float]:
    """Trees from Markov chains that begin at random trees."""
    return without_sampler(
        case, effort, seed, lambda model, optimizer, words, generator: chains_step(
            model, optimizer, words, effort.candidates, generator, grad_clip=3.0
        )
    )  # fmt: skip


def context_of(task: GrammarTask, effort: Effort, seed: int) -> Context:
    torch.manual_seed(seed)
    train = replace(task.train, batch_size=effort.batch, seed=seed, lr=effort.lr, lr_half_life=400)
    return build_context(RunConfig.of(task, train=train, objective=BALANCE))


def parser_judged(context: Context, task: GrammarTask, effort: Effort) -> dict[str, float]:
    """What the parser knows of the grammar as it is."""
    said, env = task.metrics(context, None), context.env
    told = env.data.conditions[len(task.treebank().train) :]
    length = (env.data.rows(told) >= 0).sum(-1)
    short = told[length <= 6][: effort.short]
    distance = posterior_distance(
        env,
        context.trainer.policy,
        env.reward.model.rules(),
        short,
        samples=64,
        generator=torch.Generator().manual_seed(0),
    )
    return {
        "parser_f1": 100 * said["parser_f1"],
        "spearman": said["log_z_spearman"],
        "log_z_gap": said["log_z_gap"],
        "tv": float(distance.mean()),
    }


def gflownet_em(case: str, effort: Effort, seed: int) -> dict[str, float]:
    """The parser and the grammar in turns; at the end the parser alone."""
    task = task_of(case, effort)
    context = context_of(task, effort, seed)
    trainer = context.trainer
    start = time.perf_counter()
    trainer.train(effort.m_steps * effort.every + 1)
    seconds = time.perf_counter() - start
    numbers = judged(context.env.reward.model, task.treebank())
    trainer.learners.clear()
    trainer.train(effort.settle)
    return numbers | parser_judged(context, task, effort) | {"seconds": seconds}


def known(case: str, effort: Effort, seed: int) -> dict[str, float]:
    """The true grammar, smoothed, stands still, and the parser learns."""
    task = task_of(case, effort, known=True)
    context = context_of(task, effort, seed)
    start = time.perf_counter()
    context.trainer.train(effort.m_steps * effort.every)
    numbers = judged(context.env.reward.model, task.treebank())
    numbers |= parser_judged(context, task, effort)
    return numbers | {"seconds": time.perf_counter() - start}


METHODS: dict[str, Callable[[str, Effort, int], dict[str, float]]] = {
    "exact-em": exact_em,
    "gflownet-em": gflownet_em,
    "monte-carlo-em": chains_em,
    "known-grammar": known,
}

LEARN = ("exact-em", "gflownet-em", "monte-carlo-em")
"""Those that learn a grammar."""


def rows_of(
    cases: list[str], seeds: list[int], effort: Effort, methods: list[str]
) -> Iterator[Any]:
    """Case, method, seed and numbers."""
    for case in cases:
        truth = truth_of(task_of(case, effort).treebank())
        yield case, "true grammar", "", {"nll": truth["nll"], "f1": 100 * truth["f1"]}
        for seed in seeds:
            for name in methods:
                yield case, name, seed, METHODS[name](case, effort, seed)


SHOWN = ("nll", "f1", "parser_f1", "spearman", "log_z_gap", "tv", "seconds")


def main() -> None:
    """Print a row for each grammar, method and seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(LEARN))
    parser.add_argument("--json", help="file to which rows are added")
    for name, value in Effort()._asdict().items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(value), default=value)
    args = parser.parse_args()
    torch.set_num_threads(1)
    effort = Effort(**{name: getattr(args, name) for name in Effort._fields})
    print(f"{'sentences':16}{'method':16}{'seed':>4}" + "".join(f"{n:>11}" for n in SHOWN))
    for case, method, seed, numbers in rows_of(args.only, args.seeds, effort, args.methods):
        cells = (f"{numbers[n]:11.3f}" if n in numbers else f"{'':11}" for n in SHOWN)
        print(f"{case:16}{method:16}{seed:>4}" + "".join(cells), flush=True)
        if args.json:
            with open(args.json, "a") as file:  # noqa: PTH123
                row = {"case": case, "method": method, "seed": seed, **numbers}
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()

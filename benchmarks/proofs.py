"""Proof search under Coq: what search proves of theorems that were never trained on.

    python benchmarks/proofs.py                          # random propositions
    python benchmarks/proofs.py --theorems library       # lemmas of Coq's library
    python benchmarks/proofs.py --safety 10000           # adversarial texts in place of that

Each method trains one network from the same start with as many trajectories, on the same theorems:

* base: the untrained network, to which all tactics are alike;
* supervised: the likelihood of shortest proofs that breadth-first search found;
* reinforce: the probability of proofs, with the mean over proofs of a theorem as baseline;
* gflownet: trajectory balance on the posterior of uniform candidates given acceptance, online;
* memory: the same with half of each batch drawn from a memory of what was trained on before, and a
  quarter of the other half repeating the shortest proofs.

Each is judged by best-first search with a fixed number of calls of the checker for each theorem,
and by the distinct proofs among samples. Ten proofs that the last method found are printed after a
fresh coqc accepted each.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from proof_safety import safety
from torch import Tensor

from gflow.behaviours.data import BackwardReplay
from gflow.conditions.draws import TableCondition
from gflow.envs.proofs import (
    CheckerPool,
    CoqChecker,
    GoalTactics,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    TacticPolicy,
    Theorem,
    TheoremEncoder,
    library_proofs,
    random_propositions,
    recheck,
    shortest_proofs,
)
from gflow.envs.proofs.coq.library import replays
from gflow.envs.proofs.metrics import distinct_proofs, solved
from gflow.envs.proofs.search import Search
from gflow.objective import Objective
from gflow.objectives import MaximumLikelihood, TrajectoryBalance
from gflow.source import Source
from gflow.terms import FlowTerms
from gflow.training.trainer import TrainConfig, Trainer

FILES = ("Bool/Bool.v", "Logic/Decidable.v", "Init/Peano.v")
"""Of the library: each has one context, and one checker of its own."""

METHODS = ("base", "supervised", "reinforce", "gflownet", "memory")


class Reinforce(Objective):
    """Policy gradient of the reward R, with the mean of the others of its theorem as baseline.

    Args:
        group: Trajectories of a theorem, one after the other.
    """

    name = "reinforce"
    learns_from = Source.OWN

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, 0): nothing has to balance."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, 0)."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares whose gradient is that of minus the mean of R."""
        reward = terms.log_reward.exp().view(-1, self.group)
        others = (reward.sum(1, keepdim=True) - reward) / (self.group - 1)
        advantage = (reward - others).flatten()
        return -advantage * terms.log_pf.where(terms.mask, 0.0).sum(-1) / len(terms.length)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log-weights."""
        return terms.log_weight


@dataclass
class Problem:
    """Theorems to train on and to judge by, with the checkers, and proofs that are taught.

    Attributes:
        pool: The checkers.
        train: Trees of theorems to train on,
        test: and to judge by.
        taught: (N, 2) shortest proofs of those to train on.
        group: Theorems that are searched side by side.
    """

    pool: CheckerPool
    train: ProofTree
    test: ProofTree
    taught: Tensor
    group: int

    def env(self, tree: ProofTree, beta: float = 1.0) -> ProofEnv:
        """An environment with the posterior reward."""
        return ProofEnv(tree, PosteriorReward(tree, beta=beta, incomplete=15.0, error=20.0))


def theorems(args: argparse.Namespace) -> tuple[list[Theorem], list[Theorem]]:
    """Theorems to train on and to judge by."""
    if args.theorems == "generated":
        found = random_propositions(args.train + args.test, args.data_seed, args.formula_depth)
        return found[: args.train], found[args.train :]
    checker = CoqChecker()
    proofs = [proof for proof in library_proofs(FILES) if replays(checker, proof)]
    checker.close()
    generator = torch.Generator().manual_seed(args.data_seed)
    order = torch.randperm(len(proofs), generator=generator).tolist()
    judges = sorted(order[: args.test])
    learned = sorted(order[args.test : args.test + args.train])
    return [proofs[i].theorem for i in learned], [proofs[i].theorem for i in judges]


def problem(args: argparse.Namespace) -> Problem:
    """What all methods share."""
    learned, judges = theorems(args)
    library = args.theorems == "library"
    pool = CheckerPool(CoqChecker, len(FILES) if library else 1)
    tactics = GoalTactics(40 if library else 20, equations=library)
    train = ProofTree(pool, learned, tactics, args.max_tactics)
    test = ProofTree(pool, judges, tactics, args.max_tactics)
    made = Problem(pool, train, test, torch.zeros(0, 2), 1 if library else 64)
    made.taught = shortest_proofs(made.env(train), args.teacher_calls, group=made.group)
    return made


def trained(name: str, shared: Problem, seed: int, args: argparse.Namespace) -> TacticPolicy:
    """A network after training by a method."""
    torch.manual_seed(seed)
    env = shared.env(shared.train, beta=0.0 if name == "reinforce" else 1.0)
    policy = TacticPolicy(env)
    if name == "base":
        return policy
    numbers = torch.arange(len(shared.train.theorems), dtype=torch.float32)
    condition = TableCondition(numbers[:, None], args.repeat)
    told = shared.taught[:, :1].float()
    online = name in ("gflownet", "memory")
    config = TrainConfig(
        batch_size=args.batch,
        lr=args.lr,
        log_z_lr=10 * args.lr,
        grad_clip=10.0,
        epsilon=0.05 if online else 0.0,
        replay=4000 if name == "memory" else 0,
        replay_fraction=0.5,
        seed=seed,
    )
    objective: Objective = MaximumLikelihood()
    behaviour = None
    if name == "supervised":
        behaviour = BackwardReplay(env, shared.taught, 1.0, condition=told)
    elif name == "memory":
        behaviour = BackwardReplay(env, shared.taught, 0.25, condition=told)
    if name == "reinforce":
        objective = Reinforce(args.repeat)
    elif online:
        encoder = TheoremEncoder(shared.train)
        objective = TrajectoryBalance(condition_dim=1, condition_encoder=encoder)
    given: dict[str, Any] = {} if behaviour is None else {"behaviour": behaviour}
    trainer = Trainer(env, policy, objective, config, condition=condition, **given)
    trainer.train(args.steps)
    return policy


def judged(
    policy: TacticPolicy, shared: Problem, seed: int, args: argparse.Namespace
) -> tuple[dict[str, float], list[Search]]:
    """Numbers of a policy, and its searches."""
    env, mine = shared.env(shared.test), shared.env(shared.train)
    numbers, searches = solved(env, policy, args.budget, shared.group)
    generator = torch.Generator().manual_seed(seed)
    row = {"solved": sum(bool(search.proofs) for search in searches), "calls": numbers["calls"]}
    for what, where in (("held_out", env), ("trained", mine)):
        listed = range(min(args.looked_at, len(where.tree.theorems)))
        counts = distinct_proofs(where, policy, listed, args.samples, generator)
        row[f"distinct_{what}"] = sum(counts) / len(counts)
        row[f"proved_{what}"] = sum(count > 0 for count in counts) / len(counts)
    return row, searches


def compare(args: argparse.Namespace, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Every method with every seed; prints a table and ten proofs."""
    start = time.monotonic()
    shared = problem(args)
    total = len(shared.test.theorems)
    say(
        f"{len(shared.train.theorems)} theorems to train on, {total} to judge by; breadth-first "
        f"search with {args.teacher_calls} calls proves {len(shared.taught)} of the first "
        f"({time.monotonic() - start:.0f} s)"
    )
    rows: list[dict[str, Any]] = []
    searches: list[Search] = []
    for seed in range(args.seeds):
        for name in args.methods:
            if name == "base" and seed:
                continue
            begin, calls = time.monotonic(), shared.pool.calls
            policy = trained(name, shared, seed, args)
            row, searches = judged(policy, shared, seed, args)
            row |= {"new_calls": shared.pool.calls - calls, "seconds": time.monotonic() - begin}
            rows.append({"method": name, "seed": seed, **row})
            say(json.dumps({k: round(v, 3) if isinstance(v, float) else v
                            for k, v in rows[-1].items()}))  # fmt: skip
    say(table(rows, total, args))
    proofs = [s for s in searches if s.proof is not None][: args.shown]
    for search in proofs:
        assert search.proof is not None
        say(recheck(shared.test.theorems[search.theorem], search.proof))
    say(f"{len(proofs)} proofs accepted by a fresh coqc; {shared.pool.calls} calls in all, "
        f"{time.monotonic() - start:.0f} s")  # fmt: skip
    shared.pool.close()
    return {"arguments": vars(args), "total": total, "rows": rows, "rechecked": len(proofs)}


def table(rows: list[dict[str, Any]], total: int, args: argparse.Namespace) -> str:
    """Means over seeds, with the lowest and the highest of what search proves."""
    lines = [
        f"solved of {total} with {args.budget} calls each; distinct proofs among {args.samples} "
        f"samples of a theorem, held out and trained on",
        f"{'method':<12}{'solved':>22}{'calls':>8}{'held out':>10}{'trained':>9}",
    ]
    for name in args.methods:
        mine = [row for row in rows if row["method"] == name]
        if mine:
            mean = {k: statistics.mean(r[k] for r in mine) for k in mine[0] if k != "method"}
            low, high = min(r["solved"] for r in mine), max(r["solved"] for r in mine)
            share = f"{mean['solved']:.1f} ({low} to {high})"
            lines.append(
                f"{name:<12}{share:>22}{mean['calls']:>8.1f}{mean['distinct_held_out']:>10.2f}"
                f"{mean['distinct_trained']:>9.2f}"
            )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    flags.add_argument("--theorems", choices=("generated", "library"), default="generated")
    flags.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    flags.add_argument("--json", type=Path)
    flags.add_argument("--safety", type=int, metavar="N", help="try N adversarial texts instead")
    flags.add_argument("--lr", type=float, default=3e-3)
    for name, default in (
        ("train", 60), ("test", 40), ("formula_depth", 4), ("data_seed", 0), ("max_tactics", 8),
        ("steps", 200), ("batch", 64), ("repeat", 8), ("seeds", 3), ("budget", 64),
        ("teacher_calls", 250), ("samples", 100), ("looked_at", 20), ("shown", 10),
    ):  # fmt: skip
        flags.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    return flags


def main() -> None:
    args = parser().parse_args()
    torch.set_num_threads(1)
    found = compare(args) if args.safety is None else safety(args.safety)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()

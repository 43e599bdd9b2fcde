"""`gflow prove`: a proof of a statement, searched for with a run of `gflow train proofs`."""

import sys
from typing import Any

import torch

from gflow.bounds import Count
from gflow.errors import IncompatibleError
from gflow.runs.trained import load


def prove(folder: str, statement: str, budget: Count = 1000, context: tuple[str, ...] = ()) -> int:
    """Search for a proof of a statement, and print its script after a fresh coqc accepted it.

    With a run of `proofs` the best open goals are expanded; one of `written-proofs` writes texts.

    Args:
        folder: Folder of a run of `gflow train proofs` or `gflow train written-proofs`.
        statement: What to prove, as Coq reads it: "forall P Q : Prop, P -> Q -> P".
        budget: Calls of the checker, at most.
        context: Sentences before it, such as "Require Import List."; several between commas.
    """
    from gflow.envs.proofs.checker import Theorem
    from gflow.envs.proofs.coq.certificate import recheck
    from gflow.envs.proofs.coq.sanitise import checked_declaration
    from gflow.envs.proofs.search import best_first
    from gflow.envs.proofs.task import ProofsTask
    from gflow.envs.proofs.written_task import WrittenProofsTask

    trained = load(folder)
    try:
        task = trained.config.task
        if not isinstance(task, ProofsTask | WrittenProofsTask):
            raise IncompatibleError(
                f"{folder} is a run of {task.name}. Proofs are searched for with a run of proofs: "
                f"gflow train proofs, or gflow train written-proofs"
            )
        theorem = Theorem.of(statement, context=tuple(s.strip() for s in context))
        theorem = Theorem(checked_declaration(theorem.declaration), theorem.context)
        if isinstance(task, WrittenProofsTask):
            return _written(task, trained.policy, theorem, budget)
        env = task.proof_env(task.pool([theorem]), [theorem])
        try:
            found = best_first(env, [0], budget, trained.policy)[0]
        finally:
            env.tree.close()
        if found.proof is None:
            why = "no proof is within reach" if found.status == "failed" else "none was found"
            print(
                f"gflow: {why} of {theorem.declaration!r}: {found.calls} calls of the checker, "
                f"at most {env.horizon} tactics, {env.num_actions} candidates a goal. Raise "
                f"--budget, or train with more of these.",
                file=sys.stderr,
            )
            return 1
        print(recheck(theorem, found.proof), end="")
        print(f"(* found with {found.calls} calls of the checker, and accepted by coqc *)")
    finally:
        trained.close()
    return 0


def _written(task: Any, policy: Any, theorem: Any, budget: int) -> int:
    """The same by texts of a language model."""
    from gflow.envs.proofs.coq.certificate import recheck

    device = next(policy.parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    proof, calls = task.search(policy, theorem, budget, generator)
    if proof is None:
        print(
            f"gflow: the model wrote no proof of {theorem.declaration!r}: {calls} calls of the "
            f"checker, at most {task.longest} tokens. Raise --budget, or train longer.",
            file=sys.stderr,
        )
        return 1
    print(recheck(theorem, proof), end="")
    print(f"(* written within {calls} calls of the checker, and accepted by coqc *)")
    return 0

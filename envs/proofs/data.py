"""Sets of theorems, and proofs of them to learn from."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.proofs.checker import Checker, StatementError, Theorem
from gflow.envs.proofs.env import ProofEnv
from gflow.envs.proofs.search import best_first
from gflow.errors import ConfigError


def read_statements(path: str | Path) -> list[Theorem]:
    """Theorems from a file with a statement a line; empty lines and those after # are left out.

    Raises:
        ConfigError: There is no such file, or nothing in it.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"statements: {path} cannot be read: {error}.") from error
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise ConfigError(f"statements: there is no statement in {path}.")
    return [Theorem.of(line, f"goal{number}") for number, line in enumerate(found)]


def those_that_open(checker: Checker, theorems: Sequence[Theorem]) -> list[Theorem]:
    """Those whose statement a checker understands."""
    found = []
    for theorem in theorems:
        try:
            checker.start(theorem)
        except StatementError:
            continue
        found.append(theorem)
    return found


def shortest_proofs(
    env: ProofEnv, budget: int, theorems: Sequence[int] | None = None, group: int = 64
) -> Tensor:
    """(N, 2) ended states: a shortest proof of each theorem for which one is found.

    Goals are looked at in the order of their distance, each text once, so that nothing shorter is
    overlooked.

    Args:
        env: The environment.
        budget: Calls of the checker for each theorem.
        theorems: Numbers of theorems; by default all.
        group: Theorems that are searched side by side.
    """
    numbers = range(len(env.tree.theorems)) if theorems is None else theorems
    rows = []
    for search in best_first(env, numbers, budget, breadth_first=True, group=group):
        if search.proof is not None:
            place = env.tree.place(search.theorem, search.proof)
            assert place is not None
            rows.append((search.theorem, place))
    return torch.tensor(rows, dtype=torch.int64).view(-1, 2)

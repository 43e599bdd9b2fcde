import shutil
from collections.abc import Iterator

import pytest

from gflow.envs.proofs import (
    CoqChecker,
    FixedTactics,
    PaperReward,
    ProofEnv,
    ProofTree,
    RecordedChecker,
)

NO_COQ = "Coq is not installed: apt-get install coq"


@pytest.fixture
def coq() -> Iterator[CoqChecker]:
    """A live checker; the tests that need one are the only ones that a machine may leave out."""
    if shutil.which("coqidetop.opt") is None:
        pytest.skip(NO_COQ)
    checker = CoqChecker()
    yield checker
    checker.close()


@pytest.fixture
def example() -> ProofEnv:
    """PF-1: the recorded tree, with the paper's reward."""
    checker = RecordedChecker()
    tree = ProofTree(checker, checker.theorems, FixedTactics(checker.tactics), 4)
    return ProofEnv(tree, PaperReward(tree, incomplete=-5.0))

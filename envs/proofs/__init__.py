"""Proof search: tactics under a proof checker. Importing it starts no checker."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.envs.proofs.checker import (
        Checker,
        CheckerError,
        Done,
        Failed,
        MissingCheckerError,
        Open,
        StatementError,
        Theorem,
        TimedOut,
    )
    from gflow.envs.proofs.coq.certificate import recheck
    from gflow.envs.proofs.coq.checker import CoqChecker
    from gflow.envs.proofs.coq.library import HumanProof, library_proofs
    from gflow.envs.proofs.data import shortest_proofs
    from gflow.envs.proofs.env import ProofEnv
    from gflow.envs.proofs.free_text import OutcomeReward, ProofPosterior, Transcripts
    from gflow.envs.proofs.lean import LeanChecker, LeanInteractSession
    from gflow.envs.proofs.policy import TacticPolicy, TheoremEncoder
    from gflow.envs.proofs.pool import CheckerPool
    from gflow.envs.proofs.propositions import random_propositions
    from gflow.envs.proofs.recorded import RecordedChecker, record
    from gflow.envs.proofs.reward import (
        PaperReward,
        PolicyReference,
        PosteriorReward,
        Reference,
        UniformReference,
    )
    from gflow.envs.proofs.search import Search, best_first
    from gflow.envs.proofs.tactics import FixedTactics, GoalTactics, Tactics
    from gflow.envs.proofs.tree import ProofTree

_MODULES = {
    "checker": (
        "Checker CheckerError Done Failed MissingCheckerError Open StatementError Theorem TimedOut"
    ),
    "coq.certificate": "recheck",
    "coq.checker": "CoqChecker",
    "coq.library": "HumanProof library_proofs",
    "data": "shortest_proofs",
    "env": "ProofEnv",
    "free_text": "OutcomeReward ProofPosterior Transcripts",
    "lean": "LeanChecker LeanInteractSession",
    "policy": "TacticPolicy TheoremEncoder",
    "pool": "CheckerPool",
    "propositions": "random_propositions",
    "recorded": "RecordedChecker record",
    "reward": "PaperReward PolicyReference PosteriorReward Reference UniformReference",
    "search": "Search best_first",
    "tactics": "FixedTactics GoalTactics Tactics",
    "tree": "ProofTree",
}
_HOME = {
    name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names.split()
}

__all__ = [
    "Checker",
    "CheckerError",
    "CheckerPool",
    "CoqChecker",
    "Done",
    "Failed",
    "FixedTactics",
    "GoalTactics",
    "HumanProof",
    "LeanChecker",
    "LeanInteractSession",
    "MissingCheckerError",
    "Open",
    "OutcomeReward",
    "PaperReward",
    "PolicyReference",
    "PosteriorReward",
    "ProofEnv",
    "ProofPosterior",
    "ProofTree",
    "RecordedChecker",
    "Reference",
    "Search",
    "StatementError",
    "TacticPolicy",
    "Tactics",
    "Theorem",
    "TheoremEncoder",
    "TimedOut",
    "Transcripts",
    "UniformReference",
    "best_first",
    "library_proofs",
    "random_propositions",
    "recheck",
    "record",
    "shortest_proofs",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

"""Objectives: short formulas over flow terms, one per file."""

if __name__ != "gflow.objectives":
    raise ImportError(f"this folder is the package gflow.objectives: import that, not {__name__}")

from gflow.discovery import Discovered
from gflow.lazy import public_names
from gflow.objective import Objective, Solution
from gflow.objectives.adjoint import AdjointSampling
from gflow.objectives.chance.edb import ExpectedDetailedBalance
from gflow.objectives.chance.naive_intended import NaiveIntended
from gflow.objectives.chance.naive_realised import NaiveRealised
from gflow.objectives.chance.sgfn import StochasticFlow
from gflow.objectives.db import DetailedBalance
from gflow.objectives.exploration.gafn import GenerativeAugmentation
from gflow.objectives.fm import FlowMatching
from gflow.objectives.forward_looking import (
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
)
from gflow.objectives.games.adb import AdversarialDetailedBalance
from gflow.objectives.games.aedb import AdversarialExpectedDetailedBalance
from gflow.objectives.games.asubtb import AdversarialSubTrajectoryBalance
from gflow.objectives.games.atb import AdversarialTrajectoryBalance
from gflow.objectives.led import LearnedEnergyDecomposition
from gflow.objectives.marginals.consistency import MarginalConsistency
from gflow.objectives.marginals.divergence import MarginalDivergence
from gflow.objectives.marginals.matching import MarginalMatching
from gflow.objectives.max_likelihood import MaximumLikelihood
from gflow.objectives.mdb import ModifiedDetailedBalance
from gflow.objectives.msubtb import ModifiedSubTrajectoryBalance
from gflow.objectives.ordered.opdb import OrderPreservingDetailedBalance
from gflow.objectives.ordered.opfm import OrderPreservingFlowMatching
from gflow.objectives.ordered.opsubtb import (
    ForwardLookingOrderPreservingSubTrajectoryBalance,
    OrderPreservingSubTrajectoryBalance,
)
from gflow.objectives.ordered.optb import OrderPreservingTrajectoryBalance
from gflow.objectives.ordered.order_preserving import OrderPreserving
from gflow.objectives.pathwise_kl import PathwiseDivergence
from gflow.objectives.regression import (
    HalfSquared,
    Huber,
    Linex,
    Regression,
    ShiftedCosh,
    Squared,
    SquaredUpTo,
)
from gflow.objectives.relative import RelativeTrajectoryBalance
from gflow.objectives.subtb import SubTrajectoryBalance
from gflow.objectives.tb import TrajectoryBalance
from gflow.objectives.vargrad import LogPartitionVariance
from gflow.source import Source

OBJECTIVES: Discovered[Objective] = Discovered("gflow.objectives", Objective, "objective")
"""Every objective of this folder by its name: a new file is found by itself."""

GAMES = OBJECTIVES.where(lambda cls: cls.solution in (Solution.ADVERSARIAL, Solution.EQUILIBRIUM))
"""Those for games of several players."""

OFF_POLICY = OBJECTIVES.where(lambda cls: Source.OTHER in cls.learns_from and cls.name not in GAMES)
"""Those for one agent that learn from trajectories of any sampler with full support."""

PROPORTIONAL = OFF_POLICY.where(
    lambda cls: cls.solution is Solution.PROPORTIONAL and cls.self_contained
)
"""Those of them whose exact solution samples in proportion to the reward, whatever they learn."""

__all__ = [
    "GAMES",
    "OBJECTIVES",
    "OFF_POLICY",
    "PROPORTIONAL",
    "AdjointSampling",
    "AdversarialDetailedBalance",
    "AdversarialExpectedDetailedBalance",
    "AdversarialSubTrajectoryBalance",
    "AdversarialTrajectoryBalance",
    "DetailedBalance",
    "ExpectedDetailedBalance",
    "FlowMatching",
    "ForwardLookingDetailedBalance",
    "ForwardLookingOrderPreservingSubTrajectoryBalance",
    "ForwardLookingSubTrajectoryBalance",
    "GenerativeAugmentation",
    "HalfSquared",
    "Huber",
    "LearnedEnergyDecomposition",
    "Linex",
    "LogPartitionVariance",
    "MarginalConsistency",
    "MarginalDivergence",
    "MarginalMatching",
    "MaximumLikelihood",
    "ModifiedDetailedBalance",
    "ModifiedSubTrajectoryBalance",
    "NaiveIntended",
    "NaiveRealised",
    "Objective",
    "OrderPreserving",
    "OrderPreservingDetailedBalance",
    "OrderPreservingFlowMatching",
    "OrderPreservingSubTrajectoryBalance",
    "OrderPreservingTrajectoryBalance",
    "PathwiseDivergence",
    "Regression",
    "RelativeTrajectoryBalance",
    "ShiftedCosh",
    "Solution",
    "Squared",
    "SquaredUpTo",
    "StochasticFlow",
    "SubTrajectoryBalance",
    "TrajectoryBalance",
]

__dir__ = public_names(__all__)

"""Objectives: short formulas over flow terms, one per file."""

if __name__ != "gflow.objectives":
    raise ImportError(f"this folder is the package gflow.objectives: import that, not {__name__}")

from gflow.objective import Objective
from gflow.objectives.db import DetailedBalance
from gflow.objectives.fm import FlowMatching
from gflow.objectives.forward_looking import (
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
)
from gflow.objectives.led import LearnedEnergyDecomposition
from gflow.objectives.mdb import ModifiedDetailedBalance
from gflow.objectives.regression import (
    HalfSquared,
    Huber,
    Linex,
    Regression,
    ShiftedCosh,
    Squared,
    SquaredUpTo,
)
from gflow.objectives.subtb import SubTrajectoryBalance
from gflow.objectives.tb import TrajectoryBalance
from gflow.objectives.vargrad import LogPartitionVariance

OBJECTIVES: dict[str, type[Objective]] = {
    cls.name: cls
    for cls in (
        FlowMatching,
        DetailedBalance,
        ModifiedDetailedBalance,
        TrajectoryBalance,
        LogPartitionVariance,
        SubTrajectoryBalance,
        ForwardLookingDetailedBalance,
        ForwardLookingSubTrajectoryBalance,
        LearnedEnergyDecomposition,
    )
}

__all__ = [
    "OBJECTIVES",
    "DetailedBalance",
    "FlowMatching",
    "ForwardLookingDetailedBalance",
    "ForwardLookingSubTrajectoryBalance",
    "HalfSquared",
    "Huber",
    "LearnedEnergyDecomposition",
    "Linex",
    "LogPartitionVariance",
    "ModifiedDetailedBalance",
    "Objective",
    "Regression",
    "ShiftedCosh",
    "Squared",
    "SquaredUpTo",
    "SubTrajectoryBalance",
    "TrajectoryBalance",
]

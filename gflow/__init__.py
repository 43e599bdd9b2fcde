"""Generative flow networks and amortized inference over discrete structures, in PyTorch."""

from gflow.env import Environment
from gflow.evaluation import evaluate
from gflow.exact import StateGraph, enumerate_states
from gflow.exploration import Exploration
from gflow.objective import LogZ, Objective
from gflow.policy import MLPPolicy, Policy, PolicyOutput
from gflow.reversed import Reversed
from gflow.reward import (
    CachedReward,
    Clipped,
    FunctionReward,
    HostReward,
    LogReward,
    TemperatureConditional,
    Tempered,
)
from gflow.rollout import Sampler
from gflow.tabular import TabularPolicy
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

__version__ = "0.1.0"

__all__ = [
    "CachedReward",
    "Clipped",
    "Environment",
    "Exploration",
    "FlowTerms",
    "FunctionReward",
    "HostReward",
    "LogReward",
    "LogZ",
    "MLPPolicy",
    "Needs",
    "Objective",
    "Policy",
    "PolicyOutput",
    "Reversed",
    "Sampler",
    "StateGraph",
    "TabularPolicy",
    "TemperatureConditional",
    "Tempered",
    "Trajectories",
    "enumerate_states",
    "evaluate",
]

"""Generative flow networks over discrete structures and continuous spaces, in PyTorch."""

from typing import TYPE_CHECKING

from gflow.former import install
from gflow.lazy import lazy_names

if TYPE_CHECKING:
    from gflow.backward.choice import with_backward
    from gflow.behaviours.data import BackwardReplay
    from gflow.environment.base import Environment
    from gflow.environment.categorical import Categorical
    from gflow.environment.continuous import ContinuousEnvironment
    from gflow.environment.density import Density
    from gflow.environment.discrete import DiscreteEnvironment
    from gflow.environment.law import Law
    from gflow.evaluation.evaluate import evaluate
    from gflow.exact.graph import StateGraph, enumerate_states
    from gflow.exact.tabular import TabularPolicy
    from gflow.memory.replay import ReplayBuffer
    from gflow.objective import LogZ, Objective
    from gflow.policies.base import Policy, PolicyOutput
    from gflow.policies.mlp import MLPPolicy
    from gflow.policies.split import SplitPolicy
    from gflow.rewards.base import FunctionReward, LogReward
    from gflow.rewards.remembering import CachedReward, HostReward
    from gflow.rewards.wrappers import Clipped, TemperatureConditional, Tempered
    from gflow.sampling.exploration import Exploration
    from gflow.sampling.reversed import Reversed
    from gflow.sampling.sampler import Sampler
    from gflow.terms import FlowTerms, Needs
    from gflow.trajectories import Trajectories

__version__ = "0.1.0"

_HOME = {
    "BackwardReplay": "gflow.behaviours.data",
    "CachedReward": "gflow.rewards.remembering",
    "Categorical": "gflow.environment.categorical",
    "Clipped": "gflow.rewards.wrappers",
    "DiscreteEnvironment": "gflow.environment.discrete",
    "Exploration": "gflow.sampling.exploration",
    "FlowTerms": "gflow.terms",
    "FunctionReward": "gflow.rewards.base",
    "HostReward": "gflow.rewards.remembering",
    "Density": "gflow.environment.density",
    "ContinuousEnvironment": "gflow.environment.continuous",
    "Law": "gflow.environment.law",
    "LogReward": "gflow.rewards.base",
    "LogZ": "gflow.objective",
    "MLPPolicy": "gflow.policies.mlp",
    "Needs": "gflow.terms",
    "Objective": "gflow.objective",
    "Policy": "gflow.policies.base",
    "PolicyOutput": "gflow.policies.base",
    "ReplayBuffer": "gflow.memory.replay",
    "Reversed": "gflow.sampling.reversed",
    "Sampler": "gflow.sampling.sampler",
    "Environment": "gflow.environment.base",
    "SplitPolicy": "gflow.policies.split",
    "StateGraph": "gflow.exact.graph",
    "TabularPolicy": "gflow.exact.tabular",
    "TemperatureConditional": "gflow.rewards.wrappers",
    "Tempered": "gflow.rewards.wrappers",
    "Trajectories": "gflow.trajectories",
    "enumerate_states": "gflow.exact.graph",
    "evaluate": "gflow.evaluation.evaluate",
    "with_backward": "gflow.backward.choice",
}

__all__ = [
    "BackwardReplay",
    "CachedReward",
    "Categorical",
    "Clipped",
    "ContinuousEnvironment",
    "Density",
    "DiscreteEnvironment",
    "Environment",
    "Exploration",
    "FlowTerms",
    "FunctionReward",
    "HostReward",
    "Law",
    "LogReward",
    "LogZ",
    "MLPPolicy",
    "Needs",
    "Objective",
    "Policy",
    "PolicyOutput",
    "ReplayBuffer",
    "Reversed",
    "Sampler",
    "SplitPolicy",
    "StateGraph",
    "TabularPolicy",
    "TemperatureConditional",
    "Tempered",
    "Trajectories",
    "enumerate_states",
    "evaluate",
    "with_backward",
]

__getattr__ = lazy_names(__name__, _HOME)

install()

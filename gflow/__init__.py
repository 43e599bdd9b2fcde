"""Generative flow networks over discrete structures and continuous spaces, in PyTorch."""

from typing import TYPE_CHECKING

from gflow.former import install
from gflow.lazy import lazy_names

if TYPE_CHECKING:
    from gflow.backward.choice import with_backward
    from gflow.behaviours.data import BackwardReplay
    from gflow.environment.base import Environment
    from gflow.environment.continuous import ContinuousEnvironment
    from gflow.environment.discrete import DiscreteEnvironment
    from gflow.environment.kernel import Kernel
    from gflow.evaluation.evaluate import evaluate
    from gflow.exact.graph import StateGraph, enumerate_states
    from gflow.exact.tabular import TabularPolicy
    from gflow.memory.replay import ReplayBuffer
    from gflow.objective import LogZ, Objective
    from gflow.policies.base import Policy, PolicyOutput
    from gflow.policies.mlp import MLPPolicy
    from gflow.policies.split import SplitPolicy
    from gflow.rewards.base import (
        CachedReward,
        Clipped,
        FunctionReward,
        HostReward,
        LogReward,
        TemperatureConditional,
        Tempered,
    )
    from gflow.sampling.exploration import Exploration
    from gflow.sampling.kernel_sampler import KernelSampler, sampler_of
    from gflow.sampling.reversed import Reversed
    from gflow.sampling.sampler import Sampler
    from gflow.terms import FlowTerms, Needs
    from gflow.trajectories import Trajectories

__version__ = "0.1.0"

_HOME = {
    "BackwardReplay": "gflow.behaviours.data",
    "CachedReward": "gflow.rewards.base",
    "Clipped": "gflow.rewards.base",
    "DiscreteEnvironment": "gflow.environment.discrete",
    "Exploration": "gflow.sampling.exploration",
    "FlowTerms": "gflow.terms",
    "FunctionReward": "gflow.rewards.base",
    "HostReward": "gflow.rewards.base",
    "Kernel": "gflow.environment.kernel",
    "ContinuousEnvironment": "gflow.environment.continuous",
    "KernelSampler": "gflow.sampling.kernel_sampler",
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
    "TemperatureConditional": "gflow.rewards.base",
    "Tempered": "gflow.rewards.base",
    "Trajectories": "gflow.trajectories",
    "enumerate_states": "gflow.exact.graph",
    "evaluate": "gflow.evaluation.evaluate",
    "sampler_of": "gflow.sampling.kernel_sampler",
    "with_backward": "gflow.backward.choice",
}

__all__ = [
    "BackwardReplay",
    "CachedReward",
    "Clipped",
    "ContinuousEnvironment",
    "DiscreteEnvironment",
    "Environment",
    "Exploration",
    "FlowTerms",
    "FunctionReward",
    "HostReward",
    "Kernel",
    "KernelSampler",
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
    "sampler_of",
    "with_backward",
]

__getattr__ = lazy_names(__name__, _HOME)

install()

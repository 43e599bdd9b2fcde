"""Generative flow networks over discrete structures and continuous spaces, in PyTorch."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names

if TYPE_CHECKING:
    from gflow.backward_choice import with_backward
    from gflow.backward_replay import BackwardReplay
    from gflow.env import Environment
    from gflow.evaluation import evaluate
    from gflow.exact import StateGraph, enumerate_states
    from gflow.exploration import Exploration
    from gflow.kernel import Kernel
    from gflow.kernel_env import KernelEnvironment
    from gflow.kernel_rollout import KernelSampler, sampler_of
    from gflow.objective import LogZ, Objective
    from gflow.policy import MLPPolicy, Policy, PolicyOutput
    from gflow.replay import ReplayBuffer
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
    from gflow.space import Space
    from gflow.split_policy import SplitPolicy
    from gflow.tabular import TabularPolicy
    from gflow.terms import FlowTerms, Needs
    from gflow.trajectories import Trajectories

__version__ = "0.1.0"

_HOME = {
    "BackwardReplay": "gflow.backward_replay",
    "CachedReward": "gflow.reward",
    "Clipped": "gflow.reward",
    "Environment": "gflow.env",
    "Exploration": "gflow.exploration",
    "FlowTerms": "gflow.terms",
    "FunctionReward": "gflow.reward",
    "HostReward": "gflow.reward",
    "Kernel": "gflow.kernel",
    "KernelEnvironment": "gflow.kernel_env",
    "KernelSampler": "gflow.kernel_rollout",
    "LogReward": "gflow.reward",
    "LogZ": "gflow.objective",
    "MLPPolicy": "gflow.policy",
    "Needs": "gflow.terms",
    "Objective": "gflow.objective",
    "Policy": "gflow.policy",
    "PolicyOutput": "gflow.policy",
    "ReplayBuffer": "gflow.replay",
    "Reversed": "gflow.reversed",
    "Sampler": "gflow.rollout",
    "Space": "gflow.space",
    "SplitPolicy": "gflow.split_policy",
    "StateGraph": "gflow.exact",
    "TabularPolicy": "gflow.tabular",
    "TemperatureConditional": "gflow.reward",
    "Tempered": "gflow.reward",
    "Trajectories": "gflow.trajectories",
    "enumerate_states": "gflow.exact",
    "evaluate": "gflow.evaluation",
    "sampler_of": "gflow.kernel_rollout",
    "with_backward": "gflow.backward_choice",
}

__all__ = [
    "BackwardReplay",
    "CachedReward",
    "Clipped",
    "Environment",
    "Exploration",
    "FlowTerms",
    "FunctionReward",
    "HostReward",
    "Kernel",
    "KernelEnvironment",
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
    "Space",
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

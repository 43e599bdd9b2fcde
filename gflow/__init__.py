"""Generative flow networks over discrete structures and continuous spaces, in PyTorch.

    trained = gflow.fit(env, "subtb", steps=300)
    trained.sample(10), trained.metrics

What is not among the names here has its home in a room: `gflow.rewards`, `gflow.behaviours`,
`gflow.metrics`, `gflow.envs`, `gflow.objectives` and so on.
"""

from typing import TYPE_CHECKING

from gflow.former import former_name, install
from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.backward.choice import with_backward
    from gflow.environment.base import Environment
    from gflow.environment.continuous import ContinuousEnvironment
    from gflow.environment.discrete import DiscreteEnvironment
    from gflow.evaluation.evaluate import evaluate
    from gflow.exact.graph import enumerate_states
    from gflow.exact.tabular import TabularPolicy
    from gflow.objective import Objective
    from gflow.policies.base import Policy, PolicyOutput
    from gflow.policies.mlp import MLPPolicy
    from gflow.rewards.base import FunctionReward, LogReward
    from gflow.rewards.remembering import HostReward
    from gflow.runs.trained import fit, from_pretrained, load
    from gflow.sampling.exploration import Exploration
    from gflow.sampling.sampler import Sampler
    from gflow.tasks.task import Task
    from gflow.terms import FlowTerms, Needs
    from gflow.training.config import TrainConfig
    from gflow.training.trainer import Trainer
    from gflow.trajectories import Trajectories

__version__ = "0.1.0"

_HOME = {
    "ContinuousEnvironment": "gflow.environment.continuous",
    "DiscreteEnvironment": "gflow.environment.discrete",
    "Environment": "gflow.environment.base",
    "Exploration": "gflow.sampling.exploration",
    "FlowTerms": "gflow.terms",
    "FunctionReward": "gflow.rewards.base",
    "HostReward": "gflow.rewards.remembering",
    "LogReward": "gflow.rewards.base",
    "MLPPolicy": "gflow.policies.mlp",
    "Needs": "gflow.terms",
    "Objective": "gflow.objective",
    "Policy": "gflow.policies.base",
    "PolicyOutput": "gflow.policies.base",
    "Sampler": "gflow.sampling.sampler",
    "TabularPolicy": "gflow.exact.tabular",
    "Task": "gflow.tasks.task",
    "TrainConfig": "gflow.training.config",
    "Trainer": "gflow.training.trainer",
    "Trajectories": "gflow.trajectories",
    "enumerate_states": "gflow.exact.graph",
    "evaluate": "gflow.evaluation.evaluate",
    "fit": "gflow.runs.trained",
    "from_pretrained": "gflow.runs.trained",
    "load": "gflow.runs.trained",
    "with_backward": "gflow.backward.choice",
}

__all__ = [
    "ContinuousEnvironment",
    "DiscreteEnvironment",
    "Environment",
    "Exploration",
    "FlowTerms",
    "FunctionReward",
    "HostReward",
    "LogReward",
    "MLPPolicy",
    "Needs",
    "Objective",
    "Policy",
    "PolicyOutput",
    "Sampler",
    "TabularPolicy",
    "Task",
    "TrainConfig",
    "Trainer",
    "Trajectories",
    "enumerate_states",
    "evaluate",
    "fit",
    "from_pretrained",
    "load",
    "with_backward",
]

__getattr__ = lazy_names(__name__, _HOME, former_name)
__dir__ = public_names(__all__)

install()

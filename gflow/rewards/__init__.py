"""Log-rewards: functions, wrappers, several scores, workers."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.rewards.base import FunctionReward, LogReward
    from gflow.rewards.pool import WorkerPool
    from gflow.rewards.pools import Pool, open_pool
    from gflow.rewards.ray_pool import RayPool
    from gflow.rewards.remembering import CachedReward, HostReward
    from gflow.rewards.scalarizations import Goals, LogProduct, LogSum, Preferences
    from gflow.rewards.vector import VectorReward
    from gflow.rewards.wrappers import Clipped, TemperatureConditional, Tempered

_HOME = {
    "CachedReward": "gflow.rewards.remembering",
    "Clipped": "gflow.rewards.wrappers",
    "FunctionReward": "gflow.rewards.base",
    "Goals": "gflow.rewards.scalarizations",
    "HostReward": "gflow.rewards.remembering",
    "LogProduct": "gflow.rewards.scalarizations",
    "LogReward": "gflow.rewards.base",
    "LogSum": "gflow.rewards.scalarizations",
    "Pool": "gflow.rewards.pools",
    "Preferences": "gflow.rewards.scalarizations",
    "RayPool": "gflow.rewards.ray_pool",
    "TemperatureConditional": "gflow.rewards.wrappers",
    "Tempered": "gflow.rewards.wrappers",
    "VectorReward": "gflow.rewards.vector",
    "WorkerPool": "gflow.rewards.pool",
    "open_pool": "gflow.rewards.pools",
}

__all__ = [
    "CachedReward",
    "Clipped",
    "FunctionReward",
    "Goals",
    "HostReward",
    "LogProduct",
    "LogReward",
    "LogSum",
    "Pool",
    "Preferences",
    "RayPool",
    "TemperatureConditional",
    "Tempered",
    "VectorReward",
    "WorkerPool",
    "open_pool",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

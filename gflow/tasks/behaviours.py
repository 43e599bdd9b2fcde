"""Which behaviour samples the training batches, from the command line."""

from dataclasses import dataclass
from typing import Literal

from gflow.behaviours.base import Behaviour, Incomplete, OnPolicy
from gflow.behaviours.branching import Branching
from gflow.behaviours.exact_samples import ExactSamples
from gflow.behaviours.langevin import LangevinSearch
from gflow.behaviours.local_search import LocalSearch
from gflow.errors import UnknownNameError

BEHAVIOURS: dict[str, type[Behaviour]] = {
    cls.name: cls
    for cls in (OnPolicy, Incomplete, LocalSearch, Branching, LangevinSearch, ExactSamples)
}


@dataclass(frozen=True)
class BehaviourOptions:
    """Which behaviour, and its settings.

    Attributes:
        behaviour: on_policy, incomplete, local_search, branching, langevin or exact.
        incomplete_share: Share of the batch that incomplete cuts short.
        search_iterations: Rounds of local_search; one in 1 + so many trajectories is fresh.
        search_steps: Transitions that local_search undoes, a stop being one: a whole number, a
            fraction with a point, such as 0.5, or "random".
        search_accept: Candidates that the chains of local_search go over to: greedy (better ones),
            metropolis, barker (both keep the target law), or none (no filter).
        search_prefix: Undo the trajectory's own transitions (kept), or those of another way to its
            object, drawn from the backward policy (resampled).
        branch_repeat: Trajectories of branching that share a beginning, without conditions.
        branch_whole: Share of the groups of branching that share their source alone.
        langevin_period: Batches between the searches of langevin.
        langevin_steps: Steps of its chains; proposals of the first half are not kept.
        langevin_step_size: Step size of its first search.
        langevin_beta: Inverse temperature of its chains.
        langevin_memory: Objects that each of its two memories holds.
        exact_share: Share of the batch that exact draws backward from samples of the target.
    """

    behaviour: str = "on_policy"
    incomplete_share: float = 0.5
    search_iterations: int = 7
    search_steps: str = "random"
    search_accept: str = "greedy"
    search_prefix: Literal["kept", "resampled"] = "kept"
    branch_repeat: int = 8
    branch_whole: float = 0.25
    langevin_period: int = 100
    langevin_steps: int = 200
    langevin_step_size: float = 0.01
    langevin_beta: float = 1.0
    langevin_memory: int = 600_000
    exact_share: float = 1.0

    def build(self) -> Behaviour:
        """The behaviour.

        Raises:
            UnknownNameError: Unknown behaviour or filter.
            ConfigError: A setting has a value that is not allowed.
        """
        if self.behaviour not in BEHAVIOURS:
            raise UnknownNameError("behaviour", self.behaviour, BEHAVIOURS)
        if self.behaviour == Incomplete.name:
            return Incomplete(self.incomplete_share)
        if self.behaviour == LocalSearch.name:
            return LocalSearch(
                self.search_iterations, self.search_steps, self.search_accept, self.search_prefix
            )
        if self.behaviour == Branching.name:
            return Branching(self.branch_repeat, self.branch_whole)
        if self.behaviour == LangevinSearch.name:
            return LangevinSearch(
                self.langevin_period,
                self.langevin_steps,
                self.langevin_steps // 2,
                self.langevin_step_size,
                self.langevin_beta,
                self.langevin_memory,
            )
        if self.behaviour == ExactSamples.name:
            return ExactSamples(share=self.exact_share)
        return OnPolicy()

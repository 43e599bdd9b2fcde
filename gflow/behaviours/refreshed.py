"""A memory that all batches come from, filled at first and refreshed every so many of them."""

from typing import Any

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.memory.replay import Rebuild, ReplayBuffer
from gflow.objective import Objective
from gflow.source import Source
from gflow.trajectories import Trajectories


class Refreshed(Behaviour):
    """Batches from memory alone, drawn uniformly; new trajectories enter it now and then.

    Before the first batch `initial` trajectories are sampled and remembered, and `added` more
    before every `every`-th batch after it, by the policy as it is then and explored as the trainer
    says; when the memory is full the oldest go. So the network is asked to sample seldom, and what
    it learns from changes slowly: self-play of games is trained so.

    Args:
        initial: Trajectories sampled before the first batch.
        added: Trajectories sampled each time the memory is refreshed; 0 for never.
        every: Batches between.
        capacity: Trajectories remembered.
        rebuild: Repeat the "actions", or draw trajectories "backward" from the objects.

    Raises:
        ConfigError: If the memory cannot hold what it is filled with.

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779, whose tic-tac-toe has these numbers,
        and 250,000, 10,000, 500 and 250,000 for Connect-4
    """

    name = "refreshed"
    gives = Source.OWN | Source.REPLAYED
    remembers = True

    @checked
    def __init__(
        self,
        initial: Count = 5000,
        added: Natural = 2500,
        every: Count = 100,
        capacity: Count = 25_000,
        rebuild: Rebuild = "actions",
    ) -> None:
        if max(initial, added) > capacity:
            raise ConfigError(
                f"Refreshed: {max(initial, added)} trajectories at once do not fit into a memory "
                f"of {capacity}. Raise `capacity`, or lower `initial` and `added`."
            )
        self.initial, self.added, self.every = initial, added, every
        self.capacity, self.rebuild = capacity, rebuild
        self.batches = 0
        self.buffer: ReplayBuffer | None = None

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What does not learn from memories, or cannot be remembered so."""
        if self.rebuild == "actions" and not env.numbered:
            return "moves have densities, so actions repeat no trajectory: use rebuild='backward'."
        if self.rebuild == "backward" and not env.has_backward:
            return "no moves back are defined here: use rebuild='actions'."
        if (env.condition_dim or env.source_reads_condition) and objective.compares:
            return (
                "the objective compares trajectories of equal condition, and batches drawn from "
                "memory seldom hold a condition twice: use on_policy, or an objective that judges "
                "each trajectory by itself (tb, db, subtb)."
            )
        redrawn = self.rebuild == "backward" and env.has_chance
        if redrawn and Source.OTHER not in objective.learns_from:
            return (
                "the objective learns from what chance did, and trajectories that are drawn "
                "backward make that up by P_B: use rebuild='actions'."
            )
        return super().refusal(env, objective)

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse what does not fit, and make room for what will be remembered."""
        super().check(env, objective)
        self._memory(env)

    def _memory(self, env: Environment[Any]) -> ReplayBuffer:
        if self.buffer is None:
            self.buffer = ReplayBuffer(env, self.capacity, rebuild=self.rebuild)
        return self.buffer

    @property
    def metrics(self) -> dict[str, float]:
        """How many trajectories are remembered."""
        return {"remembered": 0.0 if self.buffer is None else float(len(self.buffer))}

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` remembered trajectories, after what has to be sampled first."""
        buffer = self._memory(sampling.env)
        missing = 0 if self.batches % self.every else self.added
        missing = missing if self.batches else self.initial
        while missing:
            size = min(count, missing)
            buffer.add(sampling.fresh(size))
            missing -= size
        self.batches += 1
        return buffer.sample(
            sampling.sampler, count, sampling.generator, sampling.device, sampling.policy
        )

    def state_dict(self) -> dict[str, Any]:
        """The memory, and how many batches came from it."""
        return {
            "batches": self.batches,
            "buffer": None if self.buffer is None else self.buffer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.batches = state["batches"]
        if self.buffer is not None and state["buffer"] is not None:
            self.buffer.load_state_dict(state["buffer"])

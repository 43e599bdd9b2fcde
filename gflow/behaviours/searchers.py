"""Searchers: others sample, this process trains on what they found, and nobody waits."""

from typing import Any

import torch

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Count, Natural, Probability, Temperature
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.machines.cluster import is_ray
from gflow.objective import Objective
from gflow.rewards.pools import check_pool
from gflow.searchers.crew import Crew
from gflow.searchers.memory import Finds, FindsDraw
from gflow.searchers.ray_crew import RayCrew
from gflow.searchers.search import Search, look, news, packed
from gflow.source import Source
from gflow.trajectories import Trajectories


class Searchers(Behaviour):
    """Batches from a memory that searchers fill while the policy is trained, here or elsewhere.

    Each searcher has a copy of the environment and of the policy, samples batch after batch, scores
    them and sends them on. Every `publish` batches the trainer shows them its weights. It never
    waits for them, but for the first batch: a batch is drawn from what is there, a share `recent`
    by how new the weights were that found it, the rest by reward. Behaviours differ from the policy
    by as much as `staleness` says: the batches since the weights of a trajectory, on average.

    With no workers each batch is preceded by a search here, so that the same memory serves. Only
    then do runs resume to the same numbers: the memory is saved, but what live searchers deliver
    when is not repeated.

    Args:
        workers: Searcher processes; 0 searches in this one.
        pool: Where they run: "local"; "ray" for Ray on this machine or where RAY_ADDRESS says;
            "ray://HOST:PORT" for the nodes of a cluster, where one that is lost is replaced.
        publish: Batches between two publications of the weights.
        size: Trajectories a searcher samples at once; 0 for as many as a batch has.
        recent: Share of each batch that is drawn by how new it is.
        draw: The rest is drawn in proportion to the "reward", or "uniform".
        low: Lowest temperature at which searchers sample.
        high: Highest temperature.
        capacity: Trajectories remembered, the latest.

    Raises:
        ConfigError: If the temperatures are in the wrong order, or there is no such pool.

    Reference:
        Bartoldson et al., Trajectory Balance with Asynchrony: Decoupling Exploration and Learning
        for Fast, Scalable LLM Post-Training, 2025, https://arxiv.org/abs/2503.18929
    """

    name = "searchers"
    gives = Source.OTHER
    remembers = True

    @checked
    def __init__(
        self,
        workers: Natural = 1,
        pool: str = "local",
        publish: Count = 10,
        size: Natural = 0,
        recent: Probability = 0.5,
        draw: FindsDraw = "reward",
        low: Temperature = 1.0,
        high: Temperature = 1.0,
        capacity: Count = 4096,
    ) -> None:
        if low > high:
            raise ConfigError(f"Searchers: low must not be above high, got {low:g} and {high:g}.")
        check_pool(pool)
        self.workers, self.pool, self.publish, self.size = workers, pool, publish, size
        self.recent, self.draw, self.capacity = recent, draw, capacity
        self.heat = (low, high)
        self.batches, self.searched, self._turn = 0, 0, 1
        self.memory: Finds | None = None
        self.crew: Crew | RayCrew | None = None
        self._metrics: dict[str, float] = {}

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Moves that actions do not repeat, and objectives of one distribution."""
        if not env.numbered:
            return (
                "searchers send the actions of trajectories, and moves here have densities. Use "
                "on_policy with a memory: --replay, --replay-rebuild backward."
            )
        return super().refusal(env, objective)

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse what does not fit, and make the memory that is filled."""
        super().check(env, objective)
        self.memory = Finds(env, self.capacity, self.draw)

    def check_count(self, count: int) -> None:
        """Refuse batches larger than the memory."""
        if count > self.capacity:
            raise ConfigError(
                f"Searchers: batches of {count} do not fit into a memory of {self.capacity}. Raise "
                f"`capacity`, or lower the batch size."
            )

    @property
    def metrics(self) -> dict[str, float]:
        """How stale the batch is, and how much was found and is remembered."""
        return self._metrics

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` remembered trajectories, after what has come in was remembered."""
        if sampling.exploration.other is not None:
            raise IncompatibleError(
                "Searchers: other processes have no average of the weights to act by. Leave "
                "ema_sampling at 0."
            )
        if self.memory is None:
            self.memory = Finds(sampling.env, self.capacity, self.draw)
        if self.workers:
            self._receive(sampling, count)
        else:
            g, size = sampling.generator, self.size or count
            batch = look(
                sampling.sampler, sampling.policy, size, sampling.condition, sampling.exploration,
                self.heat, g, sampling.device,
            )  # fmt: skip
            self._remember([packed(sampling.env, batch, self.batches)])
        repeat = getattr(sampling.condition, "repeat", self._turn)
        rows = self.memory.rows(count, repeat, self.recent, sampling.generator)
        stale = self.batches - self.memory.column("made")[rows]
        self._metrics = {
            "staleness": float(stale.double().mean()),
            "searched": float(self.searched),
            "remembered": float(len(self.memory)),
        }
        self.batches += 1
        return self.memory.sample(rows, sampling.sampler, sampling.device)

    def _remember(self, found: list[dict[str, torch.Tensor]]) -> None:
        assert self.memory is not None
        for columns in found:
            self.memory.add(columns)
            self.searched += len(columns["length"])
            if "condition" in columns:  # how often a condition comes in a row
                turns = torch.unique_consecutive(columns["condition"], dim=0)
                self._turn = max(1, len(columns["condition"]) // len(turns))

    def _receive(self, sampling: Sampling, count: int) -> None:
        """Take in what was delivered; start the searchers, or show them new weights, if due."""
        assert self.memory is not None
        if self.crew is None:
            searches = self._searches(sampling, count)
            self.crew = RayCrew(searches, self.pool) if is_ray(self.pool) else Crew(searches)
        elif not self.batches % self.publish:
            self.crew.tell(news(self.batches, sampling.policy, sampling.exploration))
        self._remember(self.crew.found(wait=False))
        while len(self.memory) < count:
            self._remember(self.crew.found(wait=True))

    def _searches(self, sampling: Sampling, count: int) -> list[Search]:
        generator = sampling.generator
        seed = 0 if generator is None else generator.initial_seed()
        weights = None if is_ray(self.pool) else Crew.folder() / "weights.pt"
        return [
            Search(
                sampling.env, sampling.policy, sampling.condition, sampling.exploration, self.heat,
                self.size or count, (seed * 1_000_003 + self.batches * 101 + k) % 2**63,
                self.batches, weights, str(sampling.device), torch.get_default_dtype(),
            )
            for k in range(1, self.workers + 1)
        ]  # fmt: skip

    def close(self) -> None:
        """End the searchers; they start again when a batch is next asked for."""
        if self.crew is not None:
            self.crew.close()
        self.crew = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "crew": None}

    def state_dict(self) -> dict[str, Any]:
        """The memory, and how many batches came from it."""
        memory = None if self.memory is None else self.memory.state_dict()
        counts = {"batches": self.batches, "searched": self.searched, "turn": self._turn}
        return {**counts, "memory": memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; searchers begin with the weights of now."""
        self.close()
        self.batches, self.searched, self._turn = (
            state[name] for name in ("batches", "searched", "turn")
        )
        if self.memory is not None and state["memory"] is not None:
            self.memory.load_state_dict(state["memory"])

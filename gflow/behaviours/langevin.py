"""Local search with gradients: chains from remembered objects, then back from what they find."""

from typing import Any

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Count, Natural, Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.continuous import PointEnvironment
from gflow.errors import ConfigError
from gflow.mcmc.langevin import mala
from gflow.memory.replay import ReplayBuffer
from gflow.objective import Objective
from gflow.source import Source
from gflow.state import take
from gflow.trajectories import Trajectories


class LangevinSearch(Behaviour):
    r"""Batches in turns: fresh trajectories, and trajectories back from what chains found.

    Objects of fresh batches are remembered. Every `period` batches, Langevin chains with
    Metropolis' correction start from remembered objects drawn by rank, and the proposals they
    accept go to a second memory. Every other batch is drawn from it by rank, with P_B. The chains
    keep what they learned of their step size from one search to the next.

    Off-policy and consistent for every objective that balances trajectories of any sampler; what
    the second memory holds is no sample of the target, so nothing should be measured on it.

    Args:
        period: Batches between searches.
        steps: Steps of the chains in each search.
        burn_in: First steps, whose proposals are not kept; by default half of them.
        step_size: Of the first search.
        beta: Inverse temperature of the chains.
        capacity: Objects that each memory holds.

    Reference:
        Sendera et al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098
    """

    name = "langevin"
    gives = Source.OWN | Source.OTHER

    @checked
    def __init__(
        self,
        period: Count = 100,
        steps: Count = 200,
        burn_in: Natural | None = None,
        step_size: Positive = 0.01,
        beta: Positive = 1.0,
        capacity: Count = 600_000,
    ) -> None:
        burn_in = steps // 2 if burn_in is None else burn_in
        if not 0 <= burn_in < steps:
            raise ConfigError(
                f"LangevinSearch: burn_in must lie in [0, {steps}), the number of steps, got "
                f"{burn_in}."
            )
        self.period, self.steps, self.burn_in, self.beta = period, steps, burn_in, beta
        self.capacity, self.step_size = capacity, step_size
        self.batches = 0
        self.seen: ReplayBuffer | None = None
        self.found: ReplayBuffer | None = None
        self._metrics: dict[str, float] = {}

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only targets with a score have gradients to follow."""
        if not isinstance(env, PointEnvironment):
            return (
                "its chains follow the gradient of a density on R^d. Use local_search, which goes "
                "back and forth with the policies."
            )
        return super().refusal(env, objective)

    @property
    def metrics(self) -> dict[str, float]:
        """Share of proposals accepted in the last search, its step size, and what is remembered."""
        return self._metrics

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """A fresh batch, or one back from what was found."""
        env: Any = sampling.env
        seen, found = self._memories(env)
        seen.device = found.device = sampling.device
        self.batches += 1
        if self.batches % 2 or not seen.ready(count):
            batch = sampling.fresh(count)
            seen.add(batch)
            return batch
        if self.batches % self.period < 2 or not len(found):
            self._search(env, sampling, count)
        if not found.ready(count):  # every proposal was refused
            return sampling.fresh(count)
        return found.sample(
            sampling.sampler, count, sampling.generator, sampling.device, sampling.policy
        )

    def _search(self, env: PointEnvironment[Any], sampling: Sampling, count: int) -> None:
        seen, found = self._memories(env)
        rows = seen.rows(count, sampling.generator)
        start = env.points(take(seen.objects, rows)).to(sampling.device)
        condition = None if seen.condition is None else seen.condition[rows].to(sampling.device)
        chains = mala(
            lambda x: env.log_density_at(x, condition),
            lambda x: env.score_at(x, condition),
            start,
            self.steps,
            self.burn_in,
            self.step_size,
            adapt_steps=self.steps,
            inverse_temperature=self.beta,
            generator=sampling.generator,
        )
        self.step_size = float(chains.step_size)
        if len(chains.accepted):
            found.add_objects(
                env.objects(chains.accepted),
                chains.accepted_log_density,
                condition=None if condition is None else condition[chains.accepted_chain],
            )
        self._metrics = {
            "acceptance": float(chains.acceptance),
            "langevin_step": self.step_size,
            "found": float(len(found)),
        }

    def _memories(self, env: Environment[Any]) -> tuple[ReplayBuffer, ReplayBuffer]:
        if self.seen is None or self.found is None:
            self.seen, self.found = (
                ReplayBuffer(env, self.capacity, draw="rank", rebuild="backward") for _ in range(2)
            )
        return self.seen, self.found

    # ------------------------------------------------------------------ checkpoints

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse what does not fit, and make room for what will be remembered."""
        super().check(env, objective)
        self._memories(env)

    def state_dict(self) -> dict[str, Any]:
        """The turn, the step size, and both memories."""
        return {
            "batches": self.batches,
            "step_size": self.step_size,
            "metrics": dict(self._metrics),
            "seen": None if self.seen is None else self.seen.state_dict(),
            "found": None if self.found is None else self.found.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.batches, self.step_size = state["batches"], state["step_size"]
        self._metrics = state["metrics"]
        for memory, saved in ((self.seen, state["seen"]), (self.found, state["found"])):
            if memory is not None and saved is not None:
                memory.load_state_dict(saved)

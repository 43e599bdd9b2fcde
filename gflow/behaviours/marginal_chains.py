"""Block Gibbs chains of a marginalization model, and single moves on the way to what they visit."""

from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Natural
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.marginals.moves import transitions
from gflow.marginals.orders import random_orders
from gflow.marginals.policy import MarginalPolicy
from gflow.marginals.sites import Sites
from gflow.objective import Objective
from gflow.source import Source
from gflow.trajectories import Trajectories


class MarginalChains(Behaviour):
    """Transitions from parts of objects that a chain visits, one for each object.

    Each row of a batch is a chain over finished objects. A step erases `erase` random places and
    fills them one after the other from the conditionals, which leaves their distribution as it is.
    Then an order and a number of places d are drawn, and the trajectory is the move from the first
    d - 1 places of the object in that order to the first d: what it costs does not depend on D.

    Args:
        erase: Places that a step draws anew; 0 draws whole objects each time.
        ends: For each object also the last move to it, from all but one of its places: marginals of
            whole objects are most asked for, and objectives with a reward meet it there alone.
        restart: Steps after which the chains begin anew with fresh objects; 0 for never.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """

    name = "marginal_chains"
    gives = Source.EXPLORED
    needs_marginals = True

    @checked
    def __init__(self, erase: Natural = 4, restart: Natural = 0, ends: bool = True) -> None:
        self.erase, self.restart, self.ends = erase, restart, ends
        self.objects: Tensor | None = None
        self.age = 0

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only objectives that balance single transitions, and places filled in any order."""
        try:
            Sites(env)
        except IncompatibleError as error:
            return f"its chains are of marginals. {error}"
        if objective.needs.whole or objective.needs.from_source:
            return (
                "its transitions begin and end anywhere, and the objective needs trajectories from "
                "the source. Use detailed balance (db) or sub-trajectory balance (subtb)."
            )
        return super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` transitions, after a step of the chains; twice as many with `ends`."""
        policy, generator = sampling.policy, sampling.generator
        if not isinstance(policy, MarginalPolicy):
            raise IncompatibleError(
                f"MarginalChains draw from conditionals, and {type(policy).__name__} has none. "
                f"Train a MarginalPolicy."
            )
        symbols = self._step(policy, count, generator, torch.device(sampling.device))
        moves = transitions(sampling.env, policy.sites, symbols, generator)
        if not self.ends:
            return moves
        last = torch.full((count,), policy.sites.places - 1, device=symbols.device)
        return Trajectories.join(
            [moves, transitions(sampling.env, policy.sites, symbols, generator, last)]
        )

    def _step(
        self,
        policy: MarginalPolicy,
        count: int,
        generator: torch.Generator | None,
        device: torch.device,
    ) -> Tensor:
        """(count, D) the symbols of the chains after a step."""
        places, none = policy.sites.places, policy.sites.symbols
        fresh = self.objects is None or not self.erase
        fresh = fresh or bool(self.restart and self.age >= self.restart)
        if self.objects is not None and len(self.objects) != count:
            raise ConfigError(
                f"MarginalChains: {len(self.objects)} chains are running, and {count} transitions "
                f"were asked for. Batches must stay of one size."
            )
        known = torch.full((count, places), none, device=device)
        if not fresh and self.objects is not None:
            order = random_orders(count, places, generator, device)
            erased = order.argsort(1) < self.erase
            known = self.objects.to(device).masked_fill(erased, none)
        found = policy.sample(policy.sites.write(known), generator=generator)
        self.objects = policy.sites.read(found)
        self.age = 0 if fresh else self.age + 1
        return self.objects

    def state_dict(self) -> dict[str, Any]:
        """The objects of the chains and their age."""
        return {"objects": self.objects, "age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.objects, self.age = state["objects"], state["age"]

"""Places that are filled with symbols in any order, however an environment writes them down."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.errors import IncompatibleError


class Sites:
    """D places, each with one of K symbols or none yet: what any-order environments have in common.

    Environments whose states are (B, D) int64, whose action i K + v gives place i the symbol v, and
    whose move back i empties place i: `AnyOrder` sequences, `EnergyModel`, and those of users.

    Args:
        env: The environment; it is asked for a few steps.

    Attributes:
        places: D.
        symbols: K.

    Raises:
        IncompatibleError: If it does not work so.
    """

    def __init__(self, env: Environment[Any]) -> None:
        self._tables: dict[tuple[torch.device, bool], Tensor] = {}
        env = require_numbered(env, "MarginalPolicy", "It is for places filled in any order.")
        self.places, rest = env.horizon, env.num_actions % max(1, env.horizon)
        self.symbols = env.num_actions // max(1, self.places)
        start = env.initial(1)
        fits = isinstance(start, Tensor) and start.shape == (1, self.places) and not rest
        fits = fits and env.stop_action is None and env.num_backward_actions == self.places
        if fits:
            self.blank = int(start[0, 0])
            fits = self._learn(env)
        if not fits:
            raise IncompatibleError(
                f"{env.name} does not fill places in any order: MarginalPolicy needs states (B, D) "
                f"of whole numbers, D K actions of which i K + v gives place i the symbol v, and D "
                f"moves back of which i empties place i. Use AnyOrder (order=any) or EnergyModel."
            )

    def _learn(self, env: Any) -> bool:
        """How symbols are written; False if places do not work as they should."""
        count, device = self.places, torch.device("cpu")
        first = env._step(env.initial(self.symbols, device), torch.arange(self.symbols))
        self.written = first[:, 0].clone()
        every = torch.arange(count)
        moved = env._step(env.initial(count, device), every * self.symbols)
        wanted = torch.full_like(moved, self.blank)
        wanted[every, every] = self.written[0]
        back = env._backstep(moved, every)
        distinct = torch.unique(torch.cat([self.written, torch.tensor([self.blank])]))
        return (
            torch.equal(moved, wanted)
            and torch.equal(back, torch.full_like(back, self.blank))
            and len(distinct) == self.symbols + 1
            and int(distinct[0]) >= 0
        )

    def read(self, states: Tensor) -> Tensor:
        """(B, D) int64 symbols of states, K where there is none."""
        found: Tensor = self._table(states.device, True)[states]
        return found

    def write(self, symbols: Tensor) -> Tensor:
        """(B, D) states of symbols."""
        found: Tensor = self._table(symbols.device, False)[symbols]
        return found

    def _table(self, device: torch.device, reading: bool) -> Tensor:
        """(K + 1,) numbers in states by symbol, or the symbols by these numbers; made once."""
        found = self._tables.get((device, reading))
        if found is None:
            found = torch.cat([self.written, torch.tensor([self.blank])])
            if reading:
                found = torch.full((int(found.max()) + 1,), self.symbols).scatter(
                    0, self.written, torch.arange(self.symbols)
                )
            found = self._tables[device, reading] = found.to(device)
        return found

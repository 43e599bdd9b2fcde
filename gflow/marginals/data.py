"""Moves on the way to data, beside those of another behaviour."""

from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Share
from gflow.checks import check_shapes, checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.marginals.moves import transitions
from gflow.marginals.sites import Sites
from gflow.objective import Objective
from gflow.source import Source
from gflow.trajectories import Trajectories


class BesideData(Around):
    """Single moves on the way to objects of a data set, and batches of another behaviour.

    Marginals are to be right where they are asked: at parts of data and of what is sampled.

    Args:
        env: The environment.
        objects: N finished states.
        share: Share of a batch that is on the way to data.
        inner: Where the rest comes from, `MarginalChains` say.

    Raises:
        ConfigError: If there are no objects, or some are not finished.
        IncompatibleError: If the environment does not fill places in any order.
    """

    name = "beside_data"

    @checked
    def __init__(
        self,
        env: Environment[Any],
        objects: Tensor,
        share: Share = 0.5,
        inner: Behaviour | None = None,
    ) -> None:
        super().__init__(inner)
        self.sites = Sites(env)
        self.symbols = data_symbols("BesideData", self.sites, objects)
        self.share = share
        self.gives = self.inner.gives | Source.TARGET

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What the inner behaviour refuses, and objectives of whole trajectories."""
        if objective.needs.whole or objective.needs.from_source:
            return (
                "its moves begin and end anywhere, and the objective needs trajectories from the "
                "source. Use detailed balance (db) or sub-trajectory balance (subtb)."
            )
        return super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Some moves on the way to data, and the rest from the inner behaviour."""
        old = max(1, round(self.share * count))
        symbols = draw_rows(self.symbols, old, sampling.generator, sampling.device)
        moves = transitions(sampling.env, self.sites, symbols, sampling.generator)
        if count == old:
            return moves
        return Trajectories.join([moves, self.inner.collect(sampling, count - old)])


def data_symbols(caller: str, sites: Sites, objects: Tensor) -> Tensor:
    """(N, D) int64 symbols of N finished states.

    Raises:
        ConfigError: If there are none, or some are not finished.
    """
    check_shapes(caller, objects=(objects, f"N {sites.places}"))
    if not len(objects):
        raise ConfigError(f"{caller}: the data set has no objects.")
    symbols = sites.read(objects)
    unfinished = (symbols == sites.symbols).any(1).nonzero()
    if len(unfinished):
        raise ConfigError(
            f"{caller}: row {int(unfinished[0])} of the data set has empty places, and data are "
            f"finished objects."
        )
    return symbols


def draw_rows(
    data: Tensor, count: int, generator: torch.Generator | None, device: torch.device | str
) -> Tensor:
    """(count, D) rows of data, drawn with repetition."""
    on = generator.device if generator is not None else torch.device("cpu")
    chosen = torch.randint(len(data), (count,), generator=generator, device=on)
    return data[chosen.to(data.device)].to(device)

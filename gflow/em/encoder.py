"""What networks read of an observation, where the condition is its number."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.em.observations import Observations
from gflow.errors import ConfigError


class DataEncoder(nn.Module):
    """Looks up the rows that conditions call, and gives them to a network.

    The `condition_encoder` of policies and of log Z. States of one trajectory ask for the same row,
    so each row is read once a batch.

    Args:
        data: The reward's `Observations`; rows will do where nothing is dreamed.
        network: Maps B rows to (B, D); None for numbers as they are, flattened.
        out_features: D, where `network` has no such attribute.

    Raises:
        ConfigError: If D is not known, or data are no single tensor and there is no network.
    """

    def __init__(
        self, data: Any, network: nn.Module | None = None, out_features: int | None = None
    ) -> None:
        super().__init__()
        self.data, self.network = Observations.of(data), network
        if network is None:
            rows = self.data.data
            if not isinstance(rows, Tensor):
                raise ConfigError(
                    f"DataEncoder: rows of {type(rows).__name__} need a network that reads them."
                )
            out_features = rows[0].numel()
        found = getattr(network, "out_features", None) if out_features is None else out_features
        if not isinstance(found, int):
            raise ConfigError(
                f"DataEncoder: how many numbers {type(network).__name__} gives is not known. Pass "
                f"`out_features`."
            )
        self.out_features = found

    def forward(self, condition: Tensor) -> Tensor:
        """(N, D) features of the rows that conditions (N, 1) call."""
        numbers = self.data.numbers(condition)
        if self.network is None:
            plain: Tensor = self.data.at(numbers)
            return plain.flatten(1).to(condition.dtype)
        distinct, place = torch.unique(numbers, return_inverse=True)
        features: Tensor = self.network(self.data.at(distinct))
        return features[place]

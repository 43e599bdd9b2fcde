"""What policies read outcomes with."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.outcomes.conditioned import outcome_reward


class OutcomeEncoder(nn.Module):
    """Objects as outcomes, read as policies read states: a sum of embeddings, one per feature.

    As a `condition_encoder`: as numbers, neighbouring symbols would look alike.

    Args:
        env: An outcome-conditioned environment whose outcomes are the objects themselves.
        width: Units.
        generator: For the initial weights.

    Raises:
        IncompatibleError: If outcomes are no categorical features.
    """

    offset: Tensor

    @checked
    def __init__(
        self, env: Environment[Any], width: Count = 128, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if outcome_reward(env, "OutcomeEncoder").outcome is not None or not env.feature_sizes:
            raise IncompatibleError(
                f"OutcomeEncoder reads outcomes that are objects with categorical features, and "
                f"those of {env.name} are others. Leave the condition as it is, or pass a module "
                f"of your own with `out_features` as condition_encoder."
            )
        sizes = torch.tensor(env.feature_sizes)
        self.register_buffer("offset", sizes.cumsum(0) - sizes, persistent=False)
        table = torch.empty(int(sizes.sum()), width)
        bound = len(env.feature_sizes) ** -0.5
        self.table = nn.Parameter(table.normal_(0, bound, generator=generator))
        self.out_features = width

    def forward(self, condition: Tensor) -> Tensor:
        """(N, width) for (N, C) outcomes."""
        return F.embedding_bag(condition.long() + self.offset, self.table, mode="sum")

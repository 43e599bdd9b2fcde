"""Resampling of weighted particles."""

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.errors import ConfigError


def systematic_resample(log_weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""(B,) int64 rows, each chosen as often as its weight says, up to rounding.

    One uniform number places B equally spaced pointers on the weights laid end to end: row i is
    chosen :math:`\lfloor B w_i \rfloor` or :math:`\lceil B w_i \rceil` times, B w_i on average.

    Args:
        log_weight: (B,) log-weights, in any unit.
        generator: Source of randomness, on their device.

    Raises:
        ConfigError: If all weights are zero, or one is infinite or NaN.

    Example:
        >>> systematic_resample(torch.tensor([0.5, 0.0, 0.5, 0.0]).log()).tolist()
        [0, 0, 2, 2]
    """
    check_shapes("systematic_resample", log_weight=(log_weight, "B"))
    top = log_weight.max() if len(log_weight) else log_weight.new_tensor(float("nan"))
    if not bool(top.isfinite()):
        raise ConfigError(
            f"systematic_resample: needs finite weights that are not all zero, got a largest "
            f"log-weight of {float(top)} among {len(log_weight)}."
        )
    return resample_rows(log_weight, generator)


def resample_rows(log_weight: Tensor, generator: torch.Generator | None) -> Tensor:
    """The same without a look at the weights, which would make a GPU wait."""
    count = len(log_weight)
    ends = log_weight.double().softmax(0).cumsum(0)
    shift = torch.rand(1, generator=generator, dtype=torch.float64, device=log_weight.device)
    pointers = (torch.arange(count, device=log_weight.device) + shift) / count * ends[-1]
    return torch.searchsorted(ends, pointers, right=True).clamp(max=count - 1)

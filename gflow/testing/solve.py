"""Minimising small losses to the last digit."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def minimise(
    loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    max_iter: int = 500,
    tolerance: float = 1e-12,
) -> float:
    """Minimise a deterministic loss in place by L-BFGS with strong Wolfe line search.

    Args:
        loss: The loss at the present values, () and in float64.
        parameters: What to change.
        max_iter: Largest number of iterations.
        tolerance: Largest gradient at the end.

    Returns:
        The loss that is left.
    """
    optimizer = torch.optim.LBFGS(
        [p for p in parameters if p.requires_grad],
        max_iter=max_iter,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        if value.requires_grad:
            value.backward()
        return value

    optimizer.step(closure)
    with torch.enable_grad():
        return float(loss().detach())

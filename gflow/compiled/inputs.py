"""What a step reads and changes: named tensors, and modules that are lent others for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

Named = dict[str, Tensor]


@dataclass(frozen=True)
class StepInputs:
    """All tensors that a step reads and changes in place, apart from constants.

    Attributes:
        parameters: Of the policy and the objective, by name.
        buffers: Of the policy, the objective and the average of the weights.
        average: Parameters of that average; empty without one.
        means: Adam's running means, for the parameters that it trains.
        squares: Its running means of squares.
        numbers: What else there is: "adam" the () number of steps of Adam, "rates" (G, 2) what
            `corrections` says for the groups, "step" () int64 the number of this step, "failed" ()
            and "where" () what `Deferred` holds, "sums" (K,) float64 sums of what is recorded.
        draws: "uniform" and "normal" numbers for this step.
    """

    parameters: Named
    buffers: Named
    average: Named
    means: Named
    squares: Named
    numbers: Named
    draws: Named

    def flat(self) -> list[Tensor]:
        """All of them in a fixed order."""
        return [tensor for field in fields(self) for tensor in getattr(self, field.name).values()]

    def filled(self, flat: list[Tensor]) -> "StepInputs":
        """The same names with other tensors, in the order of `flat`."""
        rest = iter(flat)
        named: dict[str, Named] = {
            field.name: {name: next(rest) for name in getattr(self, field.name)}
            for field in fields(self)
        }
        return StepInputs(**named)


@contextmanager
def lent(module: nn.Module, parameters: Named, buffers: Named) -> Iterator[None]:
    """Let a module work with other parameters and buffers, by name, within a block.

    Buffers that the module replaces within the block are copied into those that it was lent.
    """
    kept: list[tuple[dict[str, Any], str, Any]] = []
    watched: list[tuple[dict[str, Any], str, Tensor]] = []
    for tensors, kind in ((parameters, "_parameters"), (buffers, "_buffers")):
        for name, tensor in tensors.items():
            path, _, last = name.rpartition(".")
            home = getattr(module.get_submodule(path), kind)
            kept.append((home, last, home[last]))
            home[last] = tensor
            if kind == "_buffers":
                watched.append((home, last, tensor))
    try:
        yield
        for home, last, tensor in watched:
            if home[last] is not tensor:
                with torch.no_grad():
                    tensor.copy_(home[last])
    finally:
        for home, last, value in kept:
            home[last] = value

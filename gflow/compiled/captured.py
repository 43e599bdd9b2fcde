"""Training steps that a CUDA graph captures: the host launches one thing a step."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gflow.compiled.runner import CompiledStep

if TYPE_CHECKING:
    from gflow.training.trainer import Trainer

WARM_UP = 3
"""Runs before the capture, in which libraries choose what they work with."""


class CapturedStep(CompiledStep):
    """`CompiledStep` whose operations are not compiled but recorded once and replayed.

    All tensors stay where they are: parameters, running means, random numbers, sums and the batch.
    Nothing is written in C++, so the start takes seconds.
    """

    def _built(self, module: Any, given: list[Tensor]) -> Callable[[], list[Tensor]]:
        """What replays the graph."""
        kept = [tensor.clone() for tensor in given]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.no_grad():
            for _ in range(WARM_UP):
                module(*given)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph), torch.no_grad():
            found = list(module(*given) or ())
        for tensor, value in zip(given, kept, strict=True):  # as it was before the warm-up
            tensor.copy_(value)

        def replay() -> list[Tensor]:
            graph.replay()
            return found

        return replay


def step_of(trainer: "Trainer") -> CompiledStep:
    """The step of a trainer as its settings ask for: compiled, or captured."""
    return (CapturedStep if trainer.config.compile == "graph" else CompiledStep)(trainer)

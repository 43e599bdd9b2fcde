"""What a trainer asks of the other processes of its run; a process that is alone asks itself."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gflow.errors import ConfigError
from gflow.learner import Learner
from gflow.terms import FlowTerms

X = TypeVar("X")
T = TypeVar("T", bound=FlowTerms)


class Ranks:
    """The processes that train one sampler together; here one, which has nobody to ask.

    Each process draws trajectories of its own and evaluates them. The flow terms of all are then
    joined, so that an objective sees the batch of the whole run and whatever it normalises over, or
    compares, it does over that. The gradients of all processes are reduced to that of the joined
    batch, and every process takes the same step.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        start: Place of this process's first trajectory among those joined last.
    """

    rank = 0
    size = 1
    start = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, count: int) -> int:
        """How many of `count` trajectories of a batch this process draws.

        Raises:
            ConfigError: If they cannot be shared evenly.
        """
        if count % self.size:
            raise ConfigError(
                f"batch_size={count} is that of the whole run, and {self.size} processes cannot "
                f"share it evenly. Make it a multiple of {self.size}."
            )
        return count // self.size

    def seed(self, seed: int) -> int:
        """The seed of this process; that of the run in the first."""
        return seed if self.first else (seed + 1_000_003 * self.rank) % 2**63

    def device(self, name: str) -> str:
        """The device of this process, where a run is to be on `name`."""
        return name

    # ------------------------------------------------------------------ a step

    def joined(self, terms: T | None) -> T:
        """The terms of all processes, in their order, with gradients into this one's.

        Args:
            terms: This process's own; None if it has no trajectories for this step.
        """
        assert terms is not None
        return terms

    def reduce(self, parameters: Sequence[Tensor], failed: Tensor | None = None) -> Tensor | None:
        """Turn the gradients of all processes into that of the joined loss, in place.

        Args:
            parameters: Whose gradients they are.
            failed: () 1 where a check of this process has failed, else 0; None without such checks.

        Returns:
            () the same of any process.
        """
        return failed

    def in_step(self, batches: Iterable[X]) -> Iterator[X | None]:
        """Go through them as long as any process has one; None where this one has no more."""
        yield from batches

    def learn(self, learner: Learner, *arguments: Any) -> dict[str, Tensor]:
        """Call a learner, whose gradients are meaned over the processes."""
        return learner.learn(*arguments)

    def mean_of(self, record: dict[str, float]) -> dict[str, float]:
        """The mean of each number over the processes that have it."""
        return record

    # ------------------------------------------------------------------ a run

    def any(self, flag: bool) -> bool:
        """Whether it holds in some process."""
        return flag

    def lead(self, value: X) -> X:
        """What the first process has."""
        return value

    def gather(self, value: X) -> list[X]:
        """What each process has, in the first one; empty elsewhere."""
        return [value]

    def equalise(self, modules: Iterable[nn.Module], of: int = 0) -> None:
        """Give all processes the weights of one of them."""

    def mean_weights(self, module: nn.Module) -> None:
        """Give all processes the mean of their parameters."""

    def check_equal(self, modules: Iterable[nn.Module]) -> None:
        """Refuse to go on if weights differ between processes.

        Raises:
            RankError: If they do.
        """

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let an error that ends the block end it in all processes."""
        yield


ALONE = Ranks()
"""A process by itself."""


def weights_of(modules: Iterable[nn.Module]) -> list[Tensor]:
    """All parameters and buffers, once each."""
    found = {
        id(value): value.detach()
        for module in modules
        for value in (*module.parameters(), *module.buffers())
    }
    return list(found.values())


def fingerprint(modules: Iterable[nn.Module]) -> list[float]:
    """One number for each tensor, which differs wherever the weights do (or nearly so)."""
    sums = [p.detach().double().abs().sum() for m in modules for p in m.parameters()]
    return torch.stack(sums).tolist() if sums else []

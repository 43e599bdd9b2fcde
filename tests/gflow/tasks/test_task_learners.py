"""What a task learns beside its policy trains with it, whatever the backward policy."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow.backward.choice import BackwardChoice
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import IncompatibleError
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.runs.build import build_context
from gflow.tasks.options import RunConfig
from gflow.tasks.parts import Part
from gflow.tasks.task import Task


class Counter(Learner):
    """Counts the batches that it is shown."""

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.module.parameters(), 0.1)
        self.batches = 0

    def learn(self, env: Any, policy: Any, batch: Any, generator: Any) -> dict[str, Tensor]:
        self.batches += 1
        return {}


@dataclass(frozen=True)
class CountedTask(Task[HyperGrid]):
    """A grid with something to learn beside it.

    Attributes:
        backward: Backward policy.
    """

    backward: BackwardChoice = "learned"

    def environment(self) -> HyperGrid:
        return HyperGrid(2, 3)

    def learners(self, env: HyperGrid, policy: Policy) -> list[Learner]:
        return [Counter()]


@pytest.mark.parametrize("backward", ["learned", "separate", "tlm"])
def test_learners_of_a_task_see_every_batch(backward: str) -> None:
    task = CountedTask()
    config = RunConfig.of(task, backward=Part.of("backward", backward))
    trainer = build_context(config).trainer
    trainer.train(3)
    counters = [one for one in trainer.learners if isinstance(one, Counter)]
    assert [one.batches for one in counters] == [3]
    assert len(trainer.learners) == (2 if backward == "tlm" else 1)


@dataclass(frozen=True)
class PlainTask(Task[HyperGrid]):
    """A grid without a choice of its backward policy."""

    def environment(self) -> HyperGrid:
        return HyperGrid(2, 3)


def test_a_task_without_a_backward_option_builds_no_second_network() -> None:
    config = RunConfig.of(PlainTask(), backward=Part.of("backward", "separate"))
    with pytest.raises(IncompatibleError, match="PlainTask has no option `backward`"):
        build_context(config)

"""`mean_reward` means one thing: R before any temperature; where there is no such number, log R."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.envs.atoms.task import AtomsTask
from gflow.envs.grids.task import HypergridTask
from gflow.envs.sequences.tfbind_task import TFBindTask
from gflow.rewards.base import FunctionReward
from gflow.runs.run import Run
from gflow.state import batch_size
from gflow.tasks.measure import evaluate_run
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS
from gflow.tasks.task import Task
from gflow.training.config import TrainConfig

LOG_REWARD_ONLY: dict[str, dict[str, Any]] = {
    "bits": {"bits": 16, "word": 4, "modes": 4},
    "dags": {"variables": 3, "edges": 2.0},
    "diffusion": {"steps_per_trajectory": 5},
    "phylogeny": {"taxa": 4, "sites": 8},
    "spins": {"height": 2, "width": 3},
    "torus": {"length": 2},
    "landscapes": {"side": 4},
}
"""Tasks without an R that is a number to look at: log R, energies, sizes or scores say it."""


def measured(task: Task[Any], folder: Path, samples: int = 200) -> tuple[dict[str, float], Run]:
    config = RunConfig.of(task, TrainConfig(steps=1, batch_size=4))
    run = Run(config, folder)
    try:
        return evaluate_run(run.context, samples), run
    finally:
        run.close()


@pytest.mark.parametrize("name", sorted(LOG_REWARD_ONLY))
def test_where_r_is_no_number_to_look_at(name: str, tmp_path: Path) -> None:
    numbers, run = measured(TASKS[name](**LOG_REWARD_ONLY[name]), tmp_path, 16)
    assert "mean_reward" not in numbers
    assert "top_reward" not in numbers
    assert "expected_reward" not in numbers
    shown = set(type(run.config.task).headline) & set(numbers)
    assert len(shown) >= 2
    assert -1e4 < numbers["mean_log_reward"] < 1e3


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_a_temperature_does_not_change_what_a_reward_is(beta: float, tmp_path: Path) -> None:
    numbers, run = measured(HypergridTask(side=4, beta=beta), tmp_path)
    context = run.context
    assert context.graph is not None
    law = context.graph.terminal_distribution(context.trainer.evaluated_policy)
    cells = context.graph.states[context.graph.objects]
    plain = HypergridTask(side=4).environment().log_reward(cells).exp()
    assert numbers["expected_reward"] == pytest.approx(float((law.exp() * plain).sum()))
    assert 0.1 <= numbers["mean_reward"] <= numbers["top_reward"] <= 2.6 + 1e-9
    assert numbers["mean_reward"] == pytest.approx(numbers["expected_reward"], rel=0.3)
    tempered = context.env.log_reward(cells)
    torch.testing.assert_close(tempered, beta * plain.log())


@pytest.mark.slow
def test_binding_is_a_share_of_the_strongest() -> None:
    """The strongest 8-mer has R = 1, whatever exponent and factor."""
    objects = torch.cartesian_prod(*[torch.arange(4)] * 8)
    first, second = (
        task.rewards(task.environment(), objects)
        for task in (TFBindTask(beta=3.0, peak=10.0), TFBindTask(beta=1.0, peak=2.0))
    )
    assert float(first.max()) == pytest.approx(1)
    torch.testing.assert_close(first, second)


def test_objects_that_count_several_times_have_their_own_log_reward(tmp_path: Path) -> None:
    """Atoms with R = 1 for all: log R is 0, whatever corrects for symmetries."""
    task = AtomsTask(max_atoms=4, workers=0)
    config = RunConfig.of(task, TrainConfig(steps=1, batch_size=4))
    run = Run(config, tmp_path)
    try:
        env = run.context.env
        env.reward = FunctionReward(lambda states: torch.zeros(batch_size(states)))
        batch = run.context.trainer.sampler.forward(
            run.context.trainer.policy, 64, generator=torch.Generator().manual_seed(1)
        )
        assert env.log_symmetry(batch.final_states).abs().max() > 0.5, "nothing to correct"
        numbers = evaluate_run(run.context, 64)
    finally:
        run.close()
    assert numbers["mean_log_reward"] == pytest.approx(0, abs=1e-6)

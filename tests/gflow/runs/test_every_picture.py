"""Every task draws its objects, in a run that has hardly begun."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.runs.pictures import shown_pictures
from gflow.runs.run import Run
from gflow.tasks.options import RunConfig
from gflow.tasks.pictures import pyplot
from gflow.tasks.registry import TASKS
from gflow.tasks.shown import Shown
from gflow.training.config import TrainConfig

OBJECTS = 8
LISTED = 5000
"""States up to which they are listed here."""
TEXT: dict[str, Any] = {"base": "", "base_steps": 0}
BOARD = {"width": 8, "blocks": 1, "head_width": 2}
SMALL: dict[str, dict[str, Any]] = {
    "molecules": {"workers": 0},
    "atoms": {"workers": 0},
    "dags": {"variables": 3, "edges": 2.0},
    "diffusion": {"target": "gmm9", "steps_per_trajectory": 5},
    "grammar": {"train_sentences": 20, "test_sentences": 10},
    "proofs": {"theorems": "example"},
    "written-proofs": {**TEXT, "theorems": "example", "longest": 4},
    "arithmetic": {**TEXT, "train_problems": 20, "test_problems": 2},
    "integers": {"base_steps": 0},
    "continuation": TEXT,
    "infilling": {**TEXT, "written": ""},
    "rationales": {"base_steps": 0, "items": 2, "test_items": 1},
    "mis": {"samples": 2, "train_graphs": 8, "held_out": 2},
    "tictactoe": BOARD,
    "connect4": BOARD,
}
"""Settings that make tasks quick to build."""


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_draws_its_objects(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TASKS[name], "exact_limit", min(TASKS[name].exact_limit, LISTED))
    config = RunConfig.of(TASKS[name](**SMALL.get(name, {})), TrainConfig(steps=1, batch_size=2))
    run = Run(config, tmp_path)
    try:
        drawn = shown_pictures(run.context, OBJECTS)
    finally:
        run.close()
    assert drawn, "nothing but curves"
    for picture in drawn.values():
        figure = picture.figure
        assert figure.texts or any(axis.has_data() or axis.texts for axis in figure.axes)
        assert picture.caption.endswith(".")
        pyplot().close(figure)


def test_games_are_not_held_against_rewards(tmp_path: Path) -> None:
    """Their solution is not proportional to them, though all states are listed."""
    run = Run(RunConfig.of(TASKS["tictactoe"](**BOARD), TrainConfig(steps=1)), tmp_path)
    try:
        assert run.context.graph is not None
        assert Shown.of(run.context, OBJECTS).target is None
    finally:
        run.close()


def test_the_target_is_that_of_the_objective(tmp_path: Path) -> None:
    """In proportion to the reward, or what else it has for its solution."""
    cls: Any = TASKS["hypergrid"]
    run = Run(RunConfig.of(cls(side=3), TrainConfig(steps=1)), tmp_path)
    try:
        target = Shown.of(run.context, OBJECTS).target
        assert target is not None
        weights = run.context.env.log_reward(target[0]).double().exp()
        assert torch.allclose(target[1], weights / weights.sum(), atol=1e-6)
    finally:
        run.close()


def test_molecules_apart_are_the_best_of_their_kind() -> None:
    pytest.importorskip("rdkit")
    from gflow.envs.molecules.drawn import panel

    smiles = ["CCO", "c1ccccc1", "C" * 80]
    picture = panel(smiles, ["R 0.900", "R 0.800", "R 0.700"], [0, 2], "two")
    first, second = picture.figure.axes[:2]
    assert first.texts[0].get_text().startswith("1.  R 0.900   QED 0.4")
    assert first.texts[1].get_text() == "CCO"
    assert second.texts[0].get_text().startswith("3.  R 0.700")
    assert second.texts[1].get_text().endswith("C...")
    pyplot().close(picture.figure)

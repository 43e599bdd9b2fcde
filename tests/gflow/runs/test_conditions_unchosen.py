"""Runs from before conditions could be chosen go on."""

from pathlib import Path

import pytest
import torch
import yaml

from gflow.cli.main import main
from gflow.runs.folder import identity
from gflow.runs.run import Run
from gflow.tasks.options import RunConfig

pytestmark = pytest.mark.usefixtures("sketches")


@pytest.mark.slow
def test_a_condition_that_nobody_chose_is_no_part_of_a_checkpoints_settings(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    words = ["hypergrid", "--side=4", "--width=8", "--steps=4", "--quiet", f"--out={folder}"]
    assert main(["train", *words]) == 0
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    del settings["condition"]  # as it was written before
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    config = RunConfig.from_dict(settings)
    assert "condition" not in identity(config, torch.get_default_dtype())
    run = Run.open(folder)
    assert run.context.trainer.step == 4
    chosen = RunConfig.from_dict(settings | {"condition": {"name": "temperature"}})
    assert "condition" in identity(chosen, torch.get_default_dtype())

"""The precision of matrix products is an option of a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gflow.cli.main import main

pytestmark = pytest.mark.usefixtures("undrawn")

QUICK = ["--steps=20", "--side=4", "--width=16", "--eval-every=20", "--eval-samples=20", "--quiet"]


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.slow
def test_a_run_sets_it_and_keeps_it_when_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "hypergrid", *QUICK, "--matmul=high", f"--out={out}"]) == 0
    assert torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")
    assert main(["eval", str(out)]) == 0
    assert torch.get_float32_matmul_precision() == "high"


def test_other_words_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code: object = 0
    try:
        code = main(["train", "hypergrid", *QUICK, "--matmul=fast", f"--out={tmp_path / 'run'}"])
    except SystemExit as e:
        code = e.code
    assert code == 2
    assert "highest" in "".join(capsys.readouterr())
    assert not (tmp_path / "run").exists()

"""Every Python block of the README and the docs runs, and its shell commands exist."""

import re
from pathlib import Path

import pytest
import torch

from gflow.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "page"})


def test_shell_lines_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `gflow COMMAND` of the README is known, and each file it names is there."""
    text = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"^gflow (\w+)", text, re.MULTILINE))
    assert commands == {
        "list", "train", "sample", "eval", "resume", "sweep", "arena", "play", "alphazero",
        "pretrain", "finetune", "prove",
    }  # fmt: skip
    main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in commands)
    for name in re.findall(r"\]\(([\w./]+)\)", text):
        assert (ROOT / name).exists(), name
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile


@pytest.mark.slow
def test_readme_example_converges() -> None:
    """The distances that the examples of the README print are small."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    short, long = (next(b for b in blocks if word in b) for word in ("gflow.fit(", "print(float("))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        names: dict[str, object] = {}
        exec(short, names)
        assert names["trained"].metrics["tv"] < 0.1  # type: ignore[attr-defined]
        exec(long.replace("print(float(", "distance = (float("), names)
        assert float(names["distance"]) < 0.1  # type: ignore[arg-type]
    finally:
        torch.set_default_dtype(before)

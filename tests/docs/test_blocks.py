"""Every Python and shell block of the README and of the pages runs alone, from an empty folder."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gflow.cli.main import COMMANDS, OWN_FLAGS, main
from gflow.cli.train_flags import parse
from gflow.tasks.registry import task_class

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "making"))
from blocks import Block, agrees, blocks, commands, pages, run, words  # noqa: E402

ALL = [block for page in pages() for block in blocks(page)]
RUN = [block for block in ALL if not block.long and block.page != "README.md"]
"""The one of the README is run by `test_readme.py`."""
READ = [block for block in ALL if block.long]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, and numbers as users have them."""
    monkeypatch.chdir(tmp_path)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield tmp_path
    torch.set_default_dtype(before)


@pytest.mark.slow
@pytest.mark.usefixtures("empty", "sketches")
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_a_block_runs_alone_and_prints_what_the_page_says(block: Block) -> None:
    printed = run(block)
    if block.printed is not None:
        assert agrees(printed, block.printed, block.example) == "", printed


@pytest.mark.parametrize("block", READ, ids=lambda block: block.name)
def test_the_flags_of_long_commands_exist(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as the commands would, down to the settings of the run."""
    monkeypatch.chdir(ROOT)
    read = 0
    for line in commands(block.code):
        if not line.startswith("gflow "):
            continue
        command, *rest = words(line)[1:]
        assert command in COMMANDS | OWN_FLAGS, line
        read += 1
        files = re.findall(r"[\w./]+\.(?:py|yaml)\b", line)
        if "my_package" in line or any(not (ROOT / file).is_file() for file in files):
            continue  # the reader's own
        if command == "train":
            assert parse(task_class(rest[0]), rest[1:], rest[0]).task.name
        elif command == "pretrain":
            assert parse(task_class(f"pretrain {rest[0]}"), rest[1:], rest[0], "pretrain")
    assert read or "make " in block.code, "a block without commands needs no mark"


def test_most_blocks_are_run() -> None:
    python = [block for block in ALL if block.language == "python"]
    assert all(not block.long for block in python)
    assert len(READ) < len(RUN)


def test_commands_of_the_command_line_are_all_in_the_pages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = {
        match
        for block in ALL
        if block.language == "sh"
        for match in re.findall(r"^gflow (\w+)", block.code, re.MULTILINE)
    }
    assert set(COMMANDS | OWN_FLAGS) - shown == set()
    main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  {command} " in out for command in shown)


def test_what_agrees_with_a_page() -> None:
    assert agrees("a 1.00\nb\n", "a 1.1\nb\n") == ""
    assert agrees("a 1.00\n", "a 1.5\n") == "'a 1.5', where 'a 1.00' came"
    assert agrees("n 3\n", "n 4\n") == "'n 4', where 'n 3' came"
    assert agrees("x\ny\nz\n", "...\nz\n") == ""
    assert agrees("x\ny\nz\n", "x\n...\n") == ""
    assert agrees("x\ny\n", "x\n") == "'y' was printed as well"
    assert agrees("x\n", "x\ny\n") == "'y' is missing"
    assert agrees("took 3 s\n", "took ... s\n") == ""
    assert agrees('n 3\n{"a": 1}\n', 'n 4\n{"a": 2}\n', example=True) == ""
    assert "where" in agrees('{"a": 1}\n', '{"b": 1}\n', example=True)
    assert "where" in agrees("tv 3\n", "kl 3\n", example=True)
    assert (
        agrees("best\n 0.9 CCO\nmean 3\n", "best\n 0.8 CCN\n 0.7 CC\nmean 1\n", example=True) == ""
    )
    assert "missing" in agrees("best\n 0.9 CCO\n", "best\n 0.8 CCN\nmean 1\n", example=True)


def test_commands_are_cut_at_lines_of_gflow() -> None:
    code = "cat > a <<'EOF'\n1\nEOF\ngflow train x \\\n  --steps 3  # short\nls\n"
    first, second, third = commands(code)
    assert first == "cat > a <<'EOF'\n1\nEOF"
    assert words(second) == ["gflow", "train", "x", "--steps", "3"]
    assert third == "ls"

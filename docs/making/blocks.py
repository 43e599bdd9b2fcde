"""Code blocks of the README and of the pages, run alone and from an empty folder.

A `python` block is run as it is, in a namespace of its own. Of an `sh` block the lines that begin
with `gflow` are run by this process, the others by bash; what stands below

    <!-- minutes or more: the tests read the flags -->

is only read. A `text` block right after one that was run is what it prints: numbers with a point
agree within a quarter, since machines differ in the last bits and training spreads them; `...`
stands for anything. Where the block is titled "for example", sampled objects differ from machine to
machine, too: lines must begin with the same word, and lines of JSON have the same keys; lines that
begin with an object or a number may be others.
"""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
LONG = "<!-- minutes or more: the tests read the flags -->"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = 'title="for example"'
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: Its file, from the root of the repository.
        line: Where it begins.
        language: `python` or `sh`.
        code: What stands in it.
        printed: What the page says that it prints, if it does.
        example: Whether that is an example, of which objects and numbers may differ.
        long: Whether it is not run.
    """

    page: str
    line: int
    language: str
    code: str
    printed: str | None
    example: bool
    long: bool

    @property
    def name(self) -> str:
        """For messages: the page and the line."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """The README and all pages of the site, in order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of Python and of the shell of a page."""
    text, found = page.read_text(), []
    fences = list(FENCE.finditer(text))
    for fence, after in zip_longest(fences, fences[1:]):
        language, _, code = fence.groups()
        if language not in ("python", "sh"):
            continue
        printed, example = None, False
        if after is not None and after.group(1) == "text":
            if not text[fence.end() : after.start()].strip():
                printed, example = after.group(3), EXAMPLE in after.group(2)
        before = text[: fence.start()].rstrip()
        line = text[: fence.start()].count("\n") + 1
        name = str(page.relative_to(ROOT))
        long = before.endswith(LONG)
        found.append(Block(name, line, language, code, printed, example, long))
    return found


def run(block: Block) -> str:
    """Runs a block in the folder that the process is in, and gives what it prints.

    Raises:
        RuntimeError: If a command fails.
    """
    torch.manual_seed(0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if block.language == "python":
            exec(compile(block.code, block.name, "exec"), {"__name__": "page"})
        else:
            for line in commands(block.code):
                _command(line, out)
    return out.getvalue()


def commands(code: str) -> Iterator[str]:
    """The commands of a shell block: lines of `gflow`, and what stands between them as one."""
    others: list[str] = []
    for line in code.replace("\\\n", " ").splitlines():
        if line.startswith("gflow "):
            if others:
                yield "\n".join(others)
                others = []
            yield line
        else:
            others.append(line)
    if "".join(others).strip():
        yield "\n".join(others)


def words(line: str) -> list[str]:
    """The words of a command, without a comment."""
    return shlex.split(line, comments=True)


def agrees(printed: str, expected: str, example: bool = False) -> str:
    """Empty if a block printed what its page says, else the first line that differs.

    Args:
        printed: What it printed.
        expected: What the page says.
        example: Whether it says so for example.
    """
    same = _alike if example else _same
    came = [line.rstrip() for line in printed.rstrip().splitlines()]
    wanted = expected.rstrip().splitlines()
    if example:
        came, wanted = ([line for line in lines if _says(line)] for lines in (came, wanted))
    at, skipping = 0, False
    for line in wanted:
        if line.strip() == "...":
            skipping = True
            continue
        if skipping:
            while at < len(came) and not same(came[at], line.rstrip()):
                at += 1
            skipping = False
        if at >= len(came) or not same(came[at], line.rstrip()):
            return (
                f"{line!r}, where {came[at]!r} came" if at < len(came) else f"{line!r} is missing"
            )
        at += 1
    return "" if skipping or at == len(came) else f"{came[at]!r} was printed as well"


def _says(line: str) -> bool:
    """Whether a line begins with a word, or is JSON; others begin with an object or a number."""
    if line.startswith("{") or line.strip() == "...":
        return True
    return re.match(r"\s*(?=\w*[a-z])[A-Za-z_]+(\s|$)", line) is not None


def _alike(came: str, expected: str) -> bool:
    """Whether a line says the same of something else."""
    if expected.startswith("{"):
        return came.startswith("{") and list(json.loads(came)) == list(json.loads(expected))
    return came.split()[:1] == expected.split()[:1]


def _same(came: str, expected: str) -> bool:
    """Whether a line is as expected, numbers with a point within a quarter."""
    parts = [
        r"(-?\d+\.?\d*(?:e[+-]?\d+)?)" if NUMBER.fullmatch(part) else
        ".*".join(re.escape(piece) for piece in part.split("..."))
        for part in re.split(f"({NUMBER.pattern})", expected)
    ]  # fmt: skip
    match = re.fullmatch("".join(parts), came)
    return match is not None and all(
        abs(float(a) - float(b)) <= 0.02 + 0.25 * abs(float(b))
        for a, b in zip(match.groups(), NUMBER.findall(expected), strict=True)
    )


def _command(line: str, out: io.StringIO) -> None:
    from gflow.cli.main import main

    if not line.startswith("gflow "):
        done = subprocess.run(
            ["bash", "-ec", line], capture_output=True, text=True, check=False, env=os.environ
        )
        if done.returncode:
            raise RuntimeError(f"{line}: {done.stderr}")
        out.write(done.stdout)
        return
    line, _, file = line.partition(" > ")
    kept = io.StringIO()
    with contextlib.redirect_stdout(kept if file else out):
        code = main(words(line)[1:])
    if code:
        raise RuntimeError(f"{line}: exit code {code}")
    if file:
        Path(words(file)[0]).write_text(kept.getvalue())

"""Mutants of the library, each with the test that must notice it.

    python tests/mutations.py            # all of them
    python tests/mutations.py tb walk    # those whose name contains one of the words
    python tests/mutations.py -          # those named in the lines of the standard input, in turn

A mutant is one small edit: a sign, an index, a mask. It is applied to a copy of the repository, and
the named test must fail there. They stand in `tests/mutants`, a file for each room: a row is the
mutant's name, the file, a text that occurs there once, what replaces it, and the test.
`tests/test_mutations.py` does the same inside the suite, so that a test which stops testing is
found, and so is a mutant whose source text has moved on.
"""

import gc
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import torch
import torch._dynamo  # which optimizers import

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "mutants"


@dataclass(frozen=True)
class Mutant:
    """One edit of one file.

    Attributes:
        name: Short, unique.
        file: Path from the root.
        old: Text that occurs exactly once.
        new: What replaces it.
        test: Node that must fail.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


def listed() -> Iterator[Mutant]:
    """The mutants of every room: the rows of `MUTANTS` in the files of `tests/mutants`."""
    for file in sorted((ROOT / "tests" / "mutants").rglob("*.py")):
        for row in runpy.run_path(str(file))["MUTANTS"]:
            yield Mutant(*row)


MUTANTS = tuple(listed())


@contextmanager
def copy_of_the_repository() -> Iterator[Path]:
    """A temporary copy to break: the package, its links, its tests and what they read."""
    with tempfile.TemporaryDirectory(prefix="gflow-mutants-") as folder:
        copy = Path(folder)
        for name in ("gflow", "envs", "objectives", "tests", "benchmarks", "docs", "examples"):
            shutil.copytree(
                ROOT / name, copy / name, symlinks=True
            )  # with times and compiled files, so that only what is broken is compiled anew
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy)
        yield copy


def imported_from(copy: Path) -> list[Path]:
    """Where the package and its two linked parts come from when tests run in the copy."""
    code = (
        "import gflow, gflow.envs.grids.hypergrid, gflow.objectives.tb\n"
        "for m in (gflow, gflow.envs.grids.hypergrid, gflow.objectives.tb): print(m.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, cwd=copy, check=True,
    )  # fmt: skip
    return [Path(line).resolve() for line in done.stdout.split()]


def occurrences(mutant: Mutant) -> int:
    """How often the text to be replaced occurs; it must be once."""
    return (ROOT / mutant.file).read_text().count(mutant.old)


def run_test(copy: Path, node: str) -> str:
    """What pytest prints about the named test, in the copy, with its exit status at the end.

    In a child of this process, so that torch is imported once for all mutants, and gflow, which
    this process never imports, anew for each.
    """
    with tempfile.TemporaryFile("w+") as out:
        child = os.fork()
        if child == 0:  # pragma: no cover
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            os.chdir(copy)
            sys.path.insert(0, str(copy))
            sys.dont_write_bytecode = True
            options = ["-x", "-p", "no:cacheprovider", f"--hypothesis-profile={PROFILE}"]
            options += ["-W", "ignore:Module already imported so cannot be rewritten"]
            try:
                status = int(pytest.main([node, *options]))
            except BaseException as error:
                print(repr(error))
                status = 99
            print(f"status {status}", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        out.seek(0)
        return out.read()


def survives(copy: Path, mutant: Mutant) -> str:
    """Why a mutant was not caught by a failing test, or an empty string if it was."""
    if occurrences(mutant) != 1:
        return f"{mutant.name}: its text occurs {occurrences(mutant)} times in {mutant.file}"
    path = copy / mutant.file
    whole = path.read_text()
    Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
    path.write_text(whole.replace(mutant.old, mutant.new))
    try:
        printed = run_test(copy, mutant.test)
    finally:
        path.write_text(whole)
    if f"FAILED {mutant.test.partition('[')[0]}" in printed and printed.endswith("status 1\n"):
        return ""
    tail = "\n".join(printed.splitlines()[-15:])
    return f"{mutant.name}: {mutant.test} did not fail:\n{tail}"


def asked(words: list[str]) -> Iterator[Mutant]:
    """The mutants that the command line means."""
    if words == ["-"]:
        known = {mutant.name: mutant for mutant in MUTANTS}
        yield from (known[line.strip()] for line in sys.stdin)
    else:
        yield from (m for m in MUTANTS if not words or any(word in m.name for word in words))


def main(words: list[str]) -> int:
    """Run the mutants that are asked for; 0 if each was caught."""
    # Failures need not be made small: that they happen is enough.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        PROFILE, max_examples=25, deadline=None, derandomize=True, phases=phases
    )
    torch.set_num_threads(1)
    gc.freeze()  # what is never looked at again is never copied for a child
    survivors = 0
    with copy_of_the_repository() as copy:
        strangers = [
            file for file in imported_from(copy) if not file.is_relative_to(copy.resolve())
        ]
        if strangers:
            print(f"not in the copy: {strangers}")
            return 1
        for mutant in asked(words):
            report = survives(copy, mutant)
            if report:
                print(report)
                survivors += 1
            print(f"{'SURVIVED' if report else 'caught'} {mutant.name}", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The tests are tested: every mutant in `tests/mutants` makes the test named there fail."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def load() -> Any:
    """Tests are no package, so their neighbour is loaded by its path."""
    spec = importlib.util.spec_from_file_location("gflow_mutations", HERE / "mutations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


mutations = load()


def name_of(mutant: Any) -> str:
    return str(mutant.name)


@pytest.mark.parametrize("mutant", mutations.MUTANTS, ids=name_of)
def test_the_text_of_a_mutant_is_still_in_the_library_once(mutant: Any) -> None:
    assert mutations.occurrences(mutant) == 1
    assert mutant.new != mutant.old
    file, _, node = mutant.test.partition("::")
    name = node.partition("[")[0]
    text = (HERE.parent / file).read_text()
    assert f"def {name}(" in text or f"{name} = " in text


def test_names_are_unique() -> None:
    names = [mutant.name for mutant in mutations.MUTANTS]
    assert len(names) == len(set(names)) >= 14


CHOSEN = mutations.MUTANTS[:: 1 if os.environ.get("GFLOW_MUTANTS") == "all" else 9]
"""One in nine inside the suite, for time; `python tests/mutations.py` runs all."""


@pytest.fixture(scope="module")
def judge() -> Iterator[Callable[[str], str]]:
    """What the script says about a mutant, by its name: asked one by one, of one process."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "mutations.py"), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def ask(name: str) -> str:
            print(name, file=asks, flush=True)
            said = ""
            for line in answers:
                said += line
                if line in (f"caught {name}\n", f"SURVIVED {name}\n"):
                    break
            return said

        yield ask
        asks.close()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", CHOSEN, ids=name_of)
def test_a_mutant_is_caught_by_the_test_named_for_it(
    judge: Callable[[str], str], mutant: Any
) -> None:
    said = judge(mutant.name)
    assert said == f"caught {mutant.name}\n", said

"""The worker pool."""

import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import gflow.rewards.pool
from gflow.errors import ConfigError
from gflow.rewards.pool import WorkerError, WorkerPool


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An importable module of functions to call."""
    (tmp_path / "pool_functions.py").write_text(
        textwrap.dedent(
            """
            import os
            import sys

            def double(items):
                print("printing is harmless")
                return [2 * x for x in items]

            def whoami(items):
                return [os.getpid() for _ in items]

            def modules(items):
                return ["torch" in sys.modules for _ in items]

            def picky(items):
                if 13 in items:
                    raise ValueError("unlucky")
                return items

            def short(items):
                return items[1:]

            def fatal(items):
                os._exit(7)

            class Counter:
                def __init__(self):
                    self.calls = 0

                def __call__(self, items):
                    self.calls += 1
                    return [self.calls for _ in items]
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    import pool_functions

    yield pool_functions
    del sys.modules["pool_functions"]


@pytest.mark.parametrize("workers", [0, 2])
def test_maps_in_order(functions: ModuleType, workers: int) -> None:
    with WorkerPool(workers, chunk=3) as pool:
        assert pool.map(functions.double, range(20)) == [2 * x for x in range(20)]
        assert pool.map(functions.double, []) == []


def test_work_happens_elsewhere_and_nowhere_after_closing(functions: ModuleType) -> None:
    pool = WorkerPool(1, chunk=1)
    first = set(pool.map(functions.whoami, range(8)))
    assert os.getpid() not in first
    assert set(pool.map(functions.whoami, range(8))) == first
    pool.close()
    for pid in first:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    pool.close()
    assert first.isdisjoint(pool.map(functions.whoami, range(2)))
    pool.close()


def test_a_function_is_sent_once_and_keeps_its_state(functions: ModuleType) -> None:
    with WorkerPool(1, chunk=1) as pool:
        counter = functions.Counter()
        assert pool.map(counter, range(3)) == [1, 2, 3]
        assert pool.map(counter, range(2)) == [4, 5]


@pytest.mark.parametrize("workers", [0, 1])
def test_failures_name_the_object(functions: ModuleType, workers: int) -> None:
    with WorkerPool(workers) as pool:
        with pytest.raises(WorkerError, match="failed for 13: ValueError: unlucky"):
            pool.map(functions.picky, range(40))
        with pytest.raises(WorkerError, match=r"3 results for 4 objects|0 results for 1 objects"):
            pool.map(functions.short, range(4))
        assert pool.map(functions.picky, [1, 2]) == [1, 2]


def test_a_dead_worker_is_reported_and_replaced(functions: ModuleType) -> None:
    with WorkerPool(1) as pool:
        with pytest.raises(WorkerError, match=r"exit status 7\) while it held 'a'"):
            pool.map(functions.fatal, ["a"])
        assert pool.map(functions.double, [4]) == [8]


def test_what_cannot_be_read_by_a_worker_is_said(functions: ModuleType) -> None:
    with (
        WorkerPool(1) as pool,
        pytest.raises((pickle.PicklingError, AttributeError), match="lambda"),
    ):
        pool.map(lambda items: items, [1])


def test_copies_start_their_own_workers(functions: ModuleType) -> None:
    with WorkerPool(1) as pool:
        pids = pool.map(functions.whoami, [1])
        with pickle.loads(pickle.dumps(pool)) as copy:
            assert copy.map(functions.whoami, [1]) != pids


def test_functions_of_a_script(tmp_path: Path) -> None:
    """A function defined in the running script is found behind its `__main__` guard."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from gflow.rewards.pool import WorkerPool

            def triple(items):
                return [3 * x for x in items]

            if __name__ == "__main__":
                with WorkerPool(1) as pool:
                    print(pool.map(triple, [1, 2, 3]))
                forgotten = WorkerPool(1)
                print(forgotten.map(triple, [5]))
            """
        )
    )
    root = str(Path(gflow.rewards.pool.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout.split("\n") == ["[3, 6, 9]", "[15]", ""]
    assert done.stderr == ""


def test_sizes() -> None:
    with pytest.raises(ConfigError, match="workers=-1"):
        WorkerPool(-1)

"""Workers end when they must: with their parent, at a time limit, and at an interrupt."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.errors import ConfigError
from gflow.rewards.pool import WorkerError, WorkerPool, WorkerTimeoutError
from gflow.rewards.remembering import HostReward

ROOT = Path(sys.modules["gflow.rewards.pool"].__file__ or "").parents[2]

FUNCTIONS = """
import os, re, signal, subprocess, time

def slow(items):
    for item in items:
        if item == "stuck":
            time.sleep(3600)
    return [len(item) for item in items]

def whoami(items):
    return [os.getpid() for _ in items]

def interrupts(items):
    os.kill(os.getpid(), signal.SIGINT)
    return items

def says_where(items):
    for path in items:
        with open(path, "w") as file:
            file.write(str(os.getpid()))

def sleeps(items):
    says_where(items)
    time.sleep(3600)

def holds_the_interpreter(items):
    says_where(items)
    re.match(r"(a+)+$", "a" * 60 + "b")

def starts_another(items):
    process = subprocess.Popen(["sleep", "3600"])
    with open(items[0], "w") as file:
        file.write(str(process.pid))
    process.wait()
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "ending_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    import ending_functions

    yield ending_functions
    del sys.modules["ending_functions"]


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start(tmp_path: Path, function: str, **options: Any) -> tuple[subprocess.Popen[str], int]:
    """A script that maps a function over one path; its process, and the pid in the path."""
    (tmp_path / "ending_functions.py").write_text(FUNCTIONS)
    mark = tmp_path / "pid"
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import ending_functions
            from gflow.rewards.pool import WorkerPool

            WorkerPool(1).map(ending_functions.{function}, [{str(mark)!r}])
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    until(lambda: mark.exists() and mark.read_text() != "")
    return process, int(mark.read_text())


def test_a_time_limit_names_the_object_and_replaces_its_worker(functions: Any) -> None:
    with WorkerPool(2, timeout=1.0) as pool:
        first = set(pool.map(functions.whoami, "abcdefgh"))
        began = time.monotonic()
        with pytest.raises(
            WorkerTimeoutError, match=r"more than timeout=1 s for 'stuck'; its worker was ended"
        ):
            pool.map(functions.slow, ["one", "two", "stuck", "three"])
        assert 1 <= time.monotonic() - began < 10
        assert pool.map(functions.slow, ["one", "three"]) == [3, 5]
        until(lambda: sum(map(alive, first)) == 1)
        assert pool.map(functions.slow, ["a"] * 40) == [1] * 40


def test_the_limit_is_for_each_object_and_not_for_all(functions: Any, tmp_path: Path) -> None:
    (tmp_path / "naps.py").write_text(
        "import time\n\ndef nap(items):\n    time.sleep(0.15 * len(items))\n    return items\n"
    )
    import naps

    with WorkerPool(1, timeout=1.0) as pool:
        assert pool.map(naps.nap, list(range(10))) == list(range(10))
    del sys.modules["naps"]


def test_a_reward_on_the_host_has_a_limit(functions: Any) -> None:
    def words(states: torch.Tensor) -> list[str]:
        return [["one", "two", "stuck"][int(x)] for x in states]

    with WorkerPool(1) as pool:
        reward = HostReward(words, functions.slow, pool, timeout=1.0)
        with pytest.raises(WorkerError, match="'stuck'"):
            reward(torch.tensor([0, 2, 1]))
        assert reward(torch.tensor([0, 1])).tolist() == [3, 3]
    with pytest.raises(ConfigError, match=r"pass pool=WorkerPool\(workers=1\)"):
        HostReward(words, functions.slow, timeout=1.0)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_limits_that_are_none_are_refused(timeout: float) -> None:
    with pytest.raises(ConfigError, match="positive number of seconds"):
        WorkerPool(1, timeout=timeout)
    with pytest.raises(ConfigError, match="Set workers to 1 or more"):
        WorkerPool(0, timeout=1.0)


def test_an_interrupt_does_not_reach_the_workers(functions: Any) -> None:
    with WorkerPool(1) as pool:
        (pid,) = pool.map(functions.whoami, [1])
        assert os.getpgid(pid) != os.getpgid(0)
        assert os.getsid(pid) != os.getsid(0)
        assert pool.map(functions.interrupts, [4]) == [4]
        assert pool.map(functions.whoami, [1]) == [pid]


def test_an_idle_worker_that_died_is_replaced_without_a_word(functions: Any) -> None:
    with WorkerPool(1) as pool:
        (pid,) = pool.map(functions.whoami, [1])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid))
        assert pool.map(functions.slow, ["abc"]) == [3]


def test_what_a_worker_held_when_it_died_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / "dies_once.py").write_text(
        "import os, signal\n\ndef once(items):\n    path, *numbers = items\n"
        "    if not os.path.exists(path):\n        open(path, 'w').close()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n    return [path, *numbers]\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import dies_once

        items = [str(tmp_path / "first"), 1, 2]
        with WorkerPool(1) as pool:
            assert pool.map(dies_once.once, items[:1]) == items[:1]
        with (
            WorkerPool(1, retries=0) as pool,
            pytest.raises(WorkerError, match="killed by SIGKILL"),
        ):
            pool.map(dies_once.once, [str(tmp_path / "second")])
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["dies_once"]


def test_the_signal_that_killed_a_worker_is_named(tmp_path: Path, functions: Any) -> None:
    (tmp_path / "crashes.py").write_text(
        "import os, signal\n\ndef crash(items):\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    import crashes

    with (
        WorkerPool(1) as pool,
        pytest.raises(WorkerError, match=r"died \(killed by SIGSEGV\) while it held 'x'"),
    ):
        pool.map(crashes.crash, ["x"])
    del sys.modules["crashes"]


@pytest.mark.parametrize("function", ["sleeps", "holds_the_interpreter", "starts_another"])
def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, function: str) -> None:
    process, pid = start(tmp_path, function)
    assert alive(pid)
    process.kill()
    process.wait()
    try:
        until(lambda: not alive(pid), 5)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("function", ["sleeps", "holds_the_interpreter"])
def test_an_interrupt_gets_out_of_a_function_that_hangs(tmp_path: Path, function: str) -> None:
    """As Ctrl-C in a terminal: to the whole process group."""
    process, pid = start(tmp_path, function, process_group=0)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert said.rstrip().endswith("KeyboardInterrupt")
    until(lambda: not alive(pid), 5)


def test_files_of_the_working_folder_are_not_taken_for_modules_of_python(tmp_path: Path) -> None:
    """But the user's own module beside them is found, as it is by the script."""
    for name in ("pickle", "queue", "struct", "selectors"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "mine.py").write_text("def twice(items):\n    return [2 * x for x in items]\n")
    code = (
        "import sys; from gflow.rewards.pool import WorkerPool\n"
        "sys.path.insert(0, ''); import mine\n"
        "with WorkerPool(1) as pool: print(pool.map(mine.twice, [4]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[8]\n", done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine", "queue", "not-a-name"])
def test_functions_of_a_file_that_was_named_are_found_in_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever its name, which may be that of a module of Python: the user gave this file."""
    from gflow.environment.discrete import DiscreteEnvironment
    from gflow.tasks.locate import load_class

    file = tmp_path / f"{name}.py"
    file.write_text(
        "from gflow.envs.grids.hypergrid import HyperGrid\n\n"
        "def twice(items):\n    return [2 * x for x in items]\n\n"
        "class Mine(HyperGrid):\n    pass\n"
    )
    for first in (True, False):
        monkeypatch.setattr(sys, "path", [str(tmp_path)] * first + sys.path)
        before = set(sys.modules)
        cls = load_class(f"{file}:Mine", (DiscreteEnvironment,))
        with WorkerPool(1) as pool:
            assert pool.map(sys.modules[cls.__module__].twice, [4]) == [8]
        for module in set(sys.modules) - before:
            del sys.modules[module]

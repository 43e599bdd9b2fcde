"""One run of a sweep, in a process of its own that ends with the sweep."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OUTPUT = "output.txt"
"""What a script wrote, in the folder of its run."""


def run_gflow(words: list[str]) -> int:
    """One command of gflow; its exit code, 130 if it or the sweep was interrupted."""
    return _wait(words, stdout=subprocess.DEVNULL)


def run_script(words: list[str], folder: Path) -> int:
    """One run of a script; its exit code, 130 if it or the sweep was interrupted.

    A script reports by a file ``summary.json`` with ``{"metrics": {...}}`` in the run's folder, or
    by a JSON object of its metrics as the last line that it prints, from which that file is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / OUTPUT).open("w") as output:
        code = _wait(["--", *words], stdout=output, GFLOW_OUT=str(folder))
    summary = folder / "summary.json"
    if code == 0 and not summary.exists():
        metrics = _last_object((folder / OUTPUT).read_text(errors="replace"))
        if metrics is None:
            print(
                f"\n{folder}: the script wrote no summary.json there ($GFLOW_OUT), and the last "
                f"line that it printed is no JSON object of metrics, such as "
                f'{{"loss": 0.5}}.',
                file=sys.stderr,
            )
            return 1
        seconds = {"seconds": round(time.monotonic() - began, 2)}
        text = json.dumps({"metrics": metrics, "timing": seconds}, indent=2)
        partial = folder / "summary.partial"
        partial.write_text(text + "\n")
        partial.replace(summary)
    if code not in (0, 130):
        tail = (folder / OUTPUT).read_text(errors="replace").splitlines()[-5:]
        print("\n" + "\n".join(tail), file=sys.stderr)
    return code


def _wait(words: list[str], stdout: Any, **variables: str) -> int:
    """A process on a leash; an interrupt is handed on once, so that it can save its state.

    ``-P`` keeps the working folder off the import path: a file of the user's there that is named
    like a module of Python would be taken for it.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "gflow.cli.leash", *words],
        stdin=subprocess.PIPE,
        stdout=stdout,
        env={"WANDB_SILENT": "true", **os.environ, **variables},
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            return 130


def _last_object(text: str) -> dict[str, Any] | None:
    """The JSON object in the last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        found = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and found else None

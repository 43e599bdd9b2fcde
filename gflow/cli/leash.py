"""A command that ends with the process that started it, even if that is killed.

`python -m gflow.cli.leash COMMAND ...` runs a command of gflow, and `... leash -- PROGRAM ...` any
program, and watches its standard input, which closes with the parent. A sweep that is killed thus
leaves no run behind that goes on writing into its folder.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable


def watch(end: Callable[[], None] = lambda: None) -> None:
    """Wait for the end of standard input, and end at once.

    Args:
        end: Called before.
    """
    while os.read(0, 1):
        pass
    end()
    os._exit(137)


def run_program(words: list[str]) -> int:
    """Any program, its processes in a group that is killed at the end of standard input."""
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, process_group=0)
    except OSError as e:
        print(f"gflow: {words[0]} cannot be started: {e.strerror or e}.", file=sys.stderr)
        return 127

    def hand_on(number: int, frame: object) -> None:
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hand_on)
    threading.Thread(
        target=watch, args=(lambda: os.killpg(process.pid, signal.SIGKILL),), daemon=True
    ).start()
    code = process.wait()
    return 130 if code == -signal.SIGINT else code


if __name__ == "__main__":
    if sys.argv[1:2] == ["--"]:
        raise SystemExit(run_program(sys.argv[2:]))
    threading.Thread(target=watch, daemon=True).start()
    from gflow.cli.main import main  # imports torch, which programs on a leash do not wait for

    raise SystemExit(main())

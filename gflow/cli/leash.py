"""A command of gflow that ends with the process that started it, even if that is killed.

`python -m gflow.cli.leash COMMAND ...` watches its standard input, which closes with the parent. A
sweep that is killed thus leaves no run behind that goes on writing into its folder.
"""

import os
import threading

from gflow.cli.main import main


def watch() -> None:
    """Wait for the end of standard input, and end at once."""
    while os.read(0, 1):
        pass
    os._exit(137)


if __name__ == "__main__":
    threading.Thread(target=watch, daemon=True).start()
    raise SystemExit(main())

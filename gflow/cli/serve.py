"""`gflow serve`: the runs of a folder in a browser on this machine."""

from pathlib import Path

from gflow.bounds import Natural
from gflow.errors import ConfigError
from gflow.serve.serving import HOST, serve_folder


def serve(folder: str, port: Natural = 8765, host: str = HOST) -> int:
    """Show the runs of a folder in a browser: live curves, pages, stop and resume.

    Args:
        folder: With runs, at most three folders deep.
        port: Of this machine; 0 for one that is free.
        host: Only 127.0.0.1, this machine itself.
    """
    if host != HOST:
        raise ConfigError(
            f"gflow serve answers this machine alone, at {HOST}, and --host {host} would answer "
            f"others. From elsewhere, tunnel to it: ssh -L {port}:{HOST}:{port} MACHINE."
        )
    serve_folder(Path(folder), port)
    return 0

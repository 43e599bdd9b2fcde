"""The server: one socket on this machine alone, until Ctrl-C."""

import os
import socket
from pathlib import Path

from gflow.errors import ConfigError, MissingExtraError

HOST = "127.0.0.1"


def serve_folder(root: Path, port: int) -> None:
    """Answer browsers on this machine until Ctrl-C; runs that were resumed go on after it.

    Args:
        root: The folder with the runs.
        port: Where; 0 for one that is free.

    Raises:
        ConfigError: There is no such folder, or the port is taken.
        MissingExtraError: The extra `web` is not installed.
    """
    try:
        import uvicorn

        from gflow.serve.app import application
        from gflow.serve.guard import new_token
    except ModuleNotFoundError as e:
        raise MissingExtraError(e.name or "starlette", "web", "gflow serve") from e
    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}: give the one that your runs are in.")
    token = new_token()
    listening = _socket(port)
    settings = uvicorn.Config(
        application(root, token),
        log_level="warning",
        access_log=False,  # addresses hold the token
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    address = f"http://{HOST}:{listening.getsockname()[1]}/?token={token}"
    print(f"{root}: open {address}\nCtrl-C ends it; runs go on.", flush=True)
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:
        print("Served no longer.")
    finally:
        listening.close()


def _socket(port: int) -> socket.socket:
    found = socket.socket()
    if os.name == "posix":  # elsewhere it would let two servers share a port
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except (OSError, OverflowError) as e:
        found.close()
        raise ConfigError(
            f"Port {port} of {HOST} cannot be had: {e}. Choose another with --port N, or 0 for "
            f"any that is free."
        ) from None
    return found

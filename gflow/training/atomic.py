"""Files that are written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` at the end of the block.

    Whatever stops the block (an error, a full disk, the end of the process) leaves what was there;
    an error leaves nothing half-written beside it either, as it would fill a full disk.

    Raises:
        OSError: The file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as e:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(e, OSError):
            raise named(e, path) from None
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file by a text.

    Raises:
        OSError: The file cannot be written; it is as it was then.
    """
    with replacing(path) as file:
        file.write(text.encode())


def named(error: OSError, path: Path) -> OSError:
    """The same error, which says of which file it tells; errors of writing bytes do not."""
    error.filename = str(path)
    return error


class Sink:
    """Stands before a file for writers that bury an `OSError` under their own.

    Torch's writer of archives answers a full disk with a message about positions. This keeps the
    error, swallows the rest, and is asked afterwards.

    Args:
        file: Where the bytes go.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, until the first error."""
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as e:
                self.error = e
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is flushed at its end."""

    def check(self) -> None:
        """Raise what went wrong.

        Raises:
            OSError: The first error of `write`.
        """
        if self.error is not None:
            raise self.error

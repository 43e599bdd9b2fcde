"""Checkpoints: written whole or not at all, and refused if they belong to another configuration."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from gflow.errors import CheckpointError
from gflow.training.atomic import Sink, replacing

FORMAT = 2

DAMAGE = (
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What reading a damaged file may raise."""


def save_checkpoint(path: Path, state: dict[str, Any], config: dict[str, Any]) -> None:
    """Write a checkpoint atomically: a process killed meanwhile or a full disk leaves the previous.

    Args:
        path: Where to write.
        state: Nested dicts and lists of tensors, numbers and strings.
        config: What the run was configured with, compared when loading.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        sink: Any = Sink(file)
        torch.save({"format": FORMAT, "config": config, "state": _alone(state)}, sink)
        sink.check()


def _alone(value: Any) -> Any:
    """The same without what lies around tensors that are parts of larger ones."""
    if isinstance(value, dict):
        found: Any = type(value)((key, _alone(inner)) for key, inner in value.items())
        if hasattr(value, "_metadata"):  # versions of the modules, of which torch asks
            found._metadata = value._metadata
        return found
    if isinstance(value, list):
        return [_alone(inner) for inner in value]
    if isinstance(value, tuple):
        return tuple(_alone(inner) for inner in value)
    if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes() > value.nbytes:
        return value.clone()
    return value


def load_checkpoint(path: Path, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read the state of a checkpoint.

    Args:
        path: What `save_checkpoint` wrote.
        config: If given, must equal the one saved.

    Raises:
        CheckpointError: If the file is missing, damaged, of another format, or of another
            configuration; the message names the first key that differs.
    """
    if not path.exists():
        raise CheckpointError(f"There is no checkpoint at {path}. Was the run ever started?")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of {broken} is wrong")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        version, known, state = saved["format"], saved["config"], saved["state"]
    except DAMAGE as e:
        raise CheckpointError(
            f"{path} is not a gflow checkpoint or is damaged: {_own_words(e)}"
        ) from None
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {version}; this gflow reads {FORMAT}. Go on with the "
            f"gflow that wrote it, or start a new run in another folder."
        )
    if config is not None:
        difference = first_difference(known, config)
        if difference is not None:
            key, was, now = difference
            raise CheckpointError(
                f"{path} belongs to another configuration: {key} was {was!r} and is {now!r} now. "
                f"Resume with the settings of the run, or start a new one in another folder."
            )
    result: dict[str, Any] = state
    return result


def _own_words(error: Exception) -> str:
    """What is wrong with a file, without torch's advice to read it unprotected."""
    text = str(error)
    asked = re.search(r"GLOBAL ([\w.]+)", text)
    if asked:
        return (
            f"it asks for {asked[1]}, which no checkpoint needs. Only tensors, numbers and strings "
            f"are read; nothing in the file was run."
        )
    if "weights_only" in text or not text:
        return f"it holds something else than tensors, numbers and strings ({type(error).__name__})"
    return text.splitlines()[0]


def first_difference(was: Any, now: Any, prefix: str = "") -> tuple[str, Any, Any] | None:
    """The first key at which two nested dicts differ, with both values, or None."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            found = first_difference(was.get(key), now.get(key), f"{prefix}{key}.")
            if found is not None:
                return found
        return None
    same = (
        list(was) == list(now)
        if isinstance(was, (list, tuple)) and isinstance(now, (list, tuple))
        else was == now
    )
    return None if same else (prefix.rstrip("."), was, now)

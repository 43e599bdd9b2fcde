"""Settings that hold on other machines: files that they name go into the folder with them."""

import os
import shutil
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError
from gflow.tasks.signature import options_of
from gflow.tasks.task import Task

FOLDER = "${FOLDER}"
"""Stands in the settings for the folder in which they lie."""
FILES = "files"
"""Where the files are in it."""
LEFT = shutil.ignore_patterns("wandb", "tensorboard", "*.lock", "report.html", "__pycache__")
"""What a run's folder holds that nothing reads."""


class Files:
    """Copies of the files that settings name.

    Args:
        folder: Where the settings will lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._copied: dict[Path, str] = {}

    def settings(self, task: Task[Any], given: dict[str, Any]) -> dict[str, Any]:
        """The options of a task, with names of files in the folder in place of those they had.

        Args:
            task: The task.
            given: Its options, as `RunConfig.to_dict` has them.
        """
        usual = {option.name: option.default for option in options_of(type(task))}
        found = {}
        for name, value in given.items():
            several = isinstance(value, list)
            words = [
                self._word(word, word == usual.get(name)) if isinstance(word, str) else word
                for word in (value if several else [value])
            ]
            found[name] = words if several else words[0]
        return found

    def reference(self, reference: str) -> str:
        """A reference to a class or function, with its file in the folder, if it is in one."""
        before, _, inside = reference.rpartition(" ")  # as in `pretrain file.py:Class`
        where, colon, name = inside.rpartition(":")
        if not where.endswith(".py"):
            return reference
        found = self._copy(Path(where))
        return f"{before} {found}{colon}{name}".lstrip()

    def _word(self, word: str, usual: bool) -> str:
        """A word with its files copied: all of it may be a path, or parts between colons."""
        if _is_path(word, usual):
            return self._copy(Path(word))
        if ":" not in word or "://" in word:
            return word
        parts = [self._copy(Path(p)) if _is_path(p, False) else p for p in word.split(":")]
        return ":".join(parts)

    def _copy(self, path: Path) -> str:
        path = path.expanduser().resolve()
        if path not in self._copied:
            taken = {Path(known).name for known in self._copied.values()}
            name, number = path.name, 2
            while name in taken:
                name, number = f"{path.stem}-{number}{path.suffix}", number + 1
            into = self.folder / FILES / name
            into.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, into, ignore=LEFT, dirs_exist_ok=True)
            elif into.resolve() != path:
                shutil.copyfile(path, into)
            self._copied[path] = f"{FOLDER}/{FILES}/{name}"
        return self._copied[path]


def _is_path(word: str, usual: bool) -> bool:
    """Whether a word names a file or folder that is there; a default only if it looks so."""
    if not word or (usual and os.sep not in word):
        return False
    path = Path(word).expanduser()
    try:
        return path.is_dir() or (path.is_file() and (os.sep in word or "." in word))
    except OSError:  # too long for a name
        return False


def placed(settings: Any, folder: Path) -> Any:
    """Settings for use where they lie: the inverse of what `Files` did."""
    if isinstance(settings, dict):
        return {key: placed(value, folder) for key, value in settings.items()}
    if isinstance(settings, list):
        return [placed(value, folder) for value in settings]
    return settings.replace(FOLDER, str(folder)) if isinstance(settings, str) else settings


def refuse_code(folder: Path, settings: Any) -> None:
    """Refuse a folder that brings code, or asks for a file of code, as loading would run it.

    Raises:
        ConfigError: With the files.
    """
    files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.py"))]
    files += [word for word in _words(settings) if ".py:" in word and FOLDER not in word]
    if files:
        raise ConfigError(
            f"{folder} comes with code that loading would run: {', '.join(files)}. Read it, and if "
            f"you trust it: gflow.from_pretrained({str(folder)!r}, trust_code=True)."
        )


def _words(settings: Any) -> list[str]:
    if isinstance(settings, dict):
        settings = list(settings.values())
    if isinstance(settings, list):
        return [word for inner in settings for word in _words(inner)]
    return [settings] if isinstance(settings, str) else []


def named_again(task: Task[Any]) -> bool:
    """Whether the class of a task can be found by what stands for it in a file."""
    from gflow.tasks.registry import TASKS

    if task.origin:
        return True
    return task.name in TASKS and TASKS[task.name] is type(task)

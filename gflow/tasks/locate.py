"""Classes by reference: `package.module:Class` and `file.py:Class`."""

import importlib
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from gflow.errors import ConfigError
from gflow.rewards.serve import BY_FILE


def load_class(reference: str, kinds: tuple[type, ...]) -> type[Any]:
    """The class that a reference names, after importing its module or file.

    A file is imported under its own name, and its folder is put last on the path, so that what
    lies beside it can be imported and worker processes find it too.

    Args:
        reference: ``package.module:Class`` or ``file.py:Class``.
        kinds: What the class must derive from.

    Raises:
        ConfigError: The file or module is missing or fails, or holds no such class.
    """
    where, _, name = reference.rpartition(":")
    if not where:
        where, name = reference, ""
    module = _of_file(Path(where)) if where.endswith(".py") else _of_module(where)
    known = [
        key
        for key, cls in vars(module).items()
        if isinstance(cls, type) and issubclass(cls, kinds) and cls.__module__ == module.__name__
    ]
    what = " or ".join(kind.__name__ for kind in kinds)
    holds = f"It holds {', '.join(known)}." if known else "It holds none."
    if not name:
        raise ConfigError(f"{where} must be followed by a class, as in {where}:Name. {holds}")
    found = getattr(module, name, None)
    if found is None:
        raise ConfigError(f"{where} has no class {name!r}. A {what} is wanted. {holds}")
    if not isinstance(found, type) or not issubclass(found, kinds):
        is_what = "a class of another kind" if isinstance(found, type) else type(found).__name__
        raise ConfigError(
            f"{name} in {where} is {is_what}; a class that derives from {what} is wanted. {holds}"
        )
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise ConfigError(f"{name} in {where} is not complete: it does not define {missing}.")
    return found


def load_function(reference: str) -> Callable[..., Any]:
    """The function that a reference names, after importing its module or file.

    Args:
        reference: ``package.module:function`` or ``file.py:function``.

    Raises:
        ConfigError: The file or module is missing or fails, or holds no such function.
    """
    where, _, name = reference.rpartition(":")
    if not where or not name:
        raise ConfigError(
            f"--reward takes file.py:function or package.module:function, got {reference!r}."
        )
    module = _of_file(Path(where)) if where.endswith(".py") else _of_module(where)
    known = [
        key
        for key, one in vars(module).items()
        if inspect.isfunction(one) and one.__module__ == module.__name__ and key[0] != "_"
    ]
    holds = f"It holds {', '.join(known)}." if known else "It holds none."
    found = getattr(module, name, None)
    if found is None:
        raise ConfigError(f"{where} has no function {name!r}. {holds}")
    if isinstance(found, type) or not callable(found):
        is_what = "a class" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ConfigError(f"{name} in {where} is {is_what}; a function is wanted. {holds}")
    function: Callable[..., Any] = found
    return function


def absolute(reference: str) -> str:
    """A reference that means the same from every working folder, as far as it names a file."""
    where, _, name = reference.rpartition(":")
    return f"{Path(where).resolve()}:{name}" if where.endswith(".py") else reference


def _of_file(file: Path) -> ModuleType:
    file = file.expanduser().resolve()
    if not file.is_file():
        raise ConfigError(
            f"There is no file {file}. If it has moved, put it back, or write where it is now: in "
            f"the command, or for a run that is there already, in its config.yaml."
        )
    name = file.stem
    loaded = sys.modules.get(name)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() == file:
        return loaded
    known = None if loaded is not None else importlib.util.find_spec(name)
    another = known is not None and Path(known.origin or "").resolve() != file
    if loaded is not None or another or not name.isidentifier():
        name = f"{BY_FILE}{zlib.crc32(str(file).encode()):08x}"  # something else has that name
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{file} cannot be imported: {_why(error, file)}") from error
    return module


def _of_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    try:
        if importlib.util.find_spec(name.partition(".")[0]) is None and here not in sys.path:
            sys.path.append(here)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"There is no module {name!r}. Install its package, set PYTHONPATH, or start gflow "
                f"in the folder that holds it. A file is named by its path, as in "
                f"path/to/{name.replace('.', '/')}.py:Class."
            ) from error
        raise ConfigError(f"The module {name} cannot be imported: {_why(error)}") from error
    except Exception as error:
        raise ConfigError(f"The module {name} cannot be imported: {_why(error)}") from error


def _why(error: Exception, file: Path | None = None) -> str:
    line = ""
    if isinstance(error, SyntaxError):
        line = f" (line {error.lineno})"
        return f"SyntaxError: {error.msg}{line}"
    at = error.__traceback__
    while at is not None:
        if file is None or at.tb_frame.f_code.co_filename == str(file):
            line = f" (line {at.tb_lineno})"
        at = at.tb_next
    return f"{type(error).__name__}: {error}{line}"

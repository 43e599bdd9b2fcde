"""`gflow info`: versions, extras and devices, to be pasted where something went wrong."""

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

import gflow
from gflow.installing import DISTRIBUTION


def info() -> int:
    """Versions, extras and devices: what to say when something goes wrong."""
    print("\n".join(lines()))
    return 0


def lines() -> list[str]:
    """The lines of `gflow info`."""
    found = [
        f"gflow {gflow.__version__}",
        f"python {platform.python_version()}",
        platform.platform(),
    ]
    found += [f"torch {_version('torch')}: {devices()}", "", "extras"]
    for extra, packages in extras().items():
        missing = [name for name, there in packages.items() if not there]
        there = ", ".join(f"{name} {number}" for name, number in packages.items() if number)
        lack = f"; missing: {', '.join(missing)}" if missing else ""
        found.append(f"  {extra:<11} {there or 'none of its packages'}{lack}")
    return found


def extras() -> dict[str, dict[str, str]]:
    """The packages of each extra with the versions that are installed; empty for none."""
    found: dict[str, dict[str, str]] = {}
    for line in requires(DISTRIBUTION) or []:
        extra = re.search(r"""extra == ["'](\w+)["']""", line)
        name = re.match(r"[\w.-]+", line)
        if extra is not None and name is not None and name[0] != DISTRIBUTION:
            found.setdefault(extra[1], {})[name[0]] = _version(name[0])
    return found


def devices() -> str:
    """Where can be trained."""
    import torch

    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    threads = f"cpu, {torch.get_num_threads()} threads"
    return ", ".join([threads, *(f"cuda:{k} {name}" for k, name in enumerate(names))])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

"""What gflow is called where it is installed, and how what an extra brings is installed.

The one place that knows both. No package index has gflow, so messages name what is missing itself,
which indexes have.
"""

import re

DISTRIBUTION = "gflow-torch"
"""Name of the distribution, as in pyproject.toml. It is installed from its folder or its wheel."""


def requirements(extra: str) -> list[str]:
    """What an extra asks for, as `package>=version`; nothing if the installed gflow lacks it.

    Args:
        extra: Its name in pyproject.toml.
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []  # run from its folder, without being installed
    found = []
    for line in lines:
        name, _, condition = line.partition(";")
        if re.search(rf"""extra == ["']{re.escape(extra)}["']""", condition):
            found.append(name.strip())
    return found


def how_to_install(package: str, extra: str) -> str:
    """The command that brings a missing package and those that are used with it.

    Args:
        package: What is missing.
        extra: The extra that it is of.
    """
    wanted = " ".join(f"'{name}'" for name in requirements(extra) or [package])
    return f"pip install {wanted}"

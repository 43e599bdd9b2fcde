"""YAML as people write it: numbers such as 1e-4, and no key twice."""

import re
from pathlib import Path
from typing import Any

import yaml

from gflow.errors import ConfigError

FLOAT = re.compile(
    r"""^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+
         |[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)
         |[-+]?\.(?:inf|Inf|INF)
         |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml is untyped
    """The safe loader with the numbers of YAML 1.2, which refuses a key that comes twice.

    YAML 1.1 takes ``1e-4`` for text, since it has no point and no sign of the exponent's kind.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} comes twice", key.start_mark
                )
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:float"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))


def read_document(file: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ConfigError: If the file is missing, cannot be read, or holds anything else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as e:
        raise ConfigError(f"There is no file {file}.") from e
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file} cannot be read as text: {e}.") from e
    try:
        found = yaml.load(text, Loader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"{file}{where}: {e.problem or 'this is no YAML'}.") from e
    except (yaml.YAMLError, RecursionError) as e:
        raise ConfigError(f"{file} is no YAML: {e}.") from e
    if not isinstance(found, dict):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        raise ConfigError(f"{file} holds {kind}, not `key: value` sections.")
    return found

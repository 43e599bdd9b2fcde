"""Docstrings as the site shows them: formulas as MathML, examples as code."""

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.append(str(Path(__file__).parent))
from formulas import mathml

BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *(?=\n\1 +\S)))*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]*)`")
ROLE = re.compile(r":(?:class|func|meth|mod|obj|attr):`~?([^`]*)`")
EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*|\n\1 +\S.*)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Turns each docstring into what Markdown can show, before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once for each object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)


def shown(text: str) -> str:
    """A docstring with formulas and examples in the words of Markdown."""
    text = EXAMPLE.sub(_example, text)
    text = BLOCK.sub(_block, text)
    text = INLINE.sub(lambda found: mathml(found.group(1)), text)
    return ROLE.sub(r"`\1`", text)


def _block(found: re.Match[str]) -> str:
    indent = found.group(1)
    return f'{indent}<div class="math">{mathml(found.group(2), display=True)}</div>\n'


def _example(found: re.Match[str]) -> str:
    indent = found.group(1)
    return f"{indent}```pycon\n{found.group(0)}\n{indent}```"

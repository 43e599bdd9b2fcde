"""The XML that Coq's server speaks: requests as texts, replies read from a stream of bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

ABOUT = '<call val="About"><unit/></call>'
INIT = '<call val="Init"><option val="none"/></call>'
GOAL = '<call val="Goal"><unit/></call>'

OPENING = '<!DOCTYPE stream [<!ENTITY nbsp "&#160;">]><stream>'
"""The stream is no document: an element around it, and the one entity that it uses."""


def escaped(text: str) -> str:
    """A text within a request. Coq reads no numeric entities, so quotes stay as they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def add(sentence: str, state: int) -> str:
    """The request that reads a sentence on top of a state, as versions 8.15 to 8.20 want it."""
    return (
        f'<call val="Add"><pair><pair><pair><pair><string>{escaped(sentence)}</string>'
        f'<int>-1</int></pair><pair><state_id val="{state}"/><bool val="true"/></pair></pair>'
        f"<int>0</int></pair><pair><int>0</int><int>0</int></pair></pair></call>"
    )


def edit_at(state: int) -> str:
    """The request that makes a state the tip again."""
    return f'<call val="Edit_at"><state_id val="{state}"/></call>'


@dataclass
class Answer:
    """What came for one request.

    Attributes:
        good: Whether it was carried out.
        value: The element of the reply.
        messages: Texts that came before it.
    """

    good: bool
    value: Element
    messages: list[str] = field(default_factory=list)

    @property
    def state(self) -> int:
        """The first state named in it; 0 for none."""
        found = self.value.find(".//state_id")
        return 0 if found is None else int(found.get("val", "0"))

    @property
    def error(self) -> str:
        """Why a request was refused."""
        found = self.value.find("richpp")
        return "" if found is None else flat(found)

    def goals(self) -> list[list[Element]] | None:
        """The goals in focus, behind it, on the shelf and given up; None without a proof."""
        found = self.value.find(".//goals")
        if found is None:
            return None
        return [list(part.iter("goal")) for part in found]


def flat(element: Element) -> str:
    """The text of an element, with single blanks."""
    return " ".join("".join(element.itertext()).split())


def hypotheses_and_conclusion(goal: Element) -> tuple[list[str], str]:
    """A goal, read."""
    listed, conclusion = goal[1], goal[2]
    return [flat(line) for line in listed], flat(conclusion)


class Reader:
    """Makes answers of bytes as they come, however they are cut."""

    def __init__(self) -> None:
        self._parser: Any = ElementTree.XMLPullParser(["start", "end"])
        self._parser.feed(OPENING)
        self._depth, self._messages = 0, list[str]()
        self._root: Element | None = None

    def feed(self, data: bytes) -> Iterator[Answer]:
        """The answers that are complete now.

        Raises:
            ElementTree.ParseError: The stream is broken.
        """
        self._parser.feed(data)
        for event, element in self._parser.read_events():
            if event == "start":
                self._root = element if self._depth == 0 else self._root
                self._depth += 1
                continue
            self._depth -= 1
            if self._depth != 1:
                continue
            if element.tag == "value":
                yield Answer(element.get("val") == "good", element, self._messages)
                self._messages = []
            else:
                self._messages += [
                    flat(text) for message in element.iter("message")
                    for text in message.findall("richpp")
                ]  # fmt: skip
            assert self._root is not None
            self._root.remove(element)

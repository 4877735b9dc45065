# SPDX-License-Identifier: Apache-2.0
"""XML files as trees whose elements know their lines. What can do harm is refused: no annotation tool writes it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from barrel_jax.files import read_bytes
from data.convert.record import Record
from data.source import Findings

DEPTH = 32  # annotation files have six levels


@dataclass
class Element:
    """An element of an XML file."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def all(self, *tags: str) -> Iterator["Element"]:
        """The elements of these tags just below this one."""
        return (child for child in self.children if child.tag in tags)


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        ValueError: it is no XML, declares a document type (whose entities can read other files or grow without end), or
            is deeper than any annotation file; names file and line.
    """
    parser = expat.ParserCreate()
    top = Element("", {}, 0)
    stack = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEPTH:
            raise ValueError(f"{path}:{parser.CurrentLineNumber}: more than {DEPTH} elements in one another")
        element = Element(tag, attributes, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def data(text: str) -> None:
        stack[-1].text += text

    def doctype(*_: object) -> None:
        raise ValueError(
            f"{path}:{parser.CurrentLineNumber}: has a DOCTYPE, which no annotation tool writes and whose entities can "
            "do harm; take it out"
        )

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = doctype
    parser.buffer_text = True
    try:
        parser.Parse(read_bytes(path), True)
    except expat.ExpatError as error:
        raise ValueError(
            f"{path}:{error.lineno}: not XML ({expat.ErrorString(error.code)}); export it again"
        ) from error
    except (LookupError, ValueError) as error:
        if str(error).startswith(f"{path}:"):
            raise
        raise ValueError(f"{path}: in an encoding that cannot be read ({error}); save it as UTF-8") from error
    return top.children[0]


def faces_of(images: Iterable[Element], read: Callable[[Element], list[Record]], findings: Findings) -> list[Record]:
    """The faces that `read` finds in each image; its ValueErrors are collected as faults of single faces."""
    records = []
    for image in images:
        try:
            records += read(image)
        except ValueError as error:
            findings.faults.append(str(error))
    return records

"""XML trees whose nodes know their line, so that an error can name it.

A DOCTYPE is refused, and with it every entity that a file could define: none is ever resolved or expanded.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.parsers import expat

from dataloadR.label_lines import SHOWN, to_numbers
from utils.errors import UserError, first_line
from utils.files import read_bytes

MAX_DEPTH = 100  # no format nests deeper than ten
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
_MULTIBYTE = ("gb2312", "gbk", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr")  # expat knows none of them


class Node:
    """One element: its tag, attributes, text and children."""

    __slots__ = ("attributes", "children", "line", "path", "pieces", "tag")

    def __init__(self, path: Path, line: int, tag: str, attributes: dict[str, str]) -> None:
        self.path, self.line, self.tag, self.attributes = path, line, tag, attributes
        self.pieces: list[str] = []
        self.children: list[Node] = []

    @property
    def place(self) -> str:
        """Return FILE:LINE, for messages."""
        return f"{self.path}:{self.line}"

    @property
    def text(self) -> str:
        """Return the text of the element itself, its blanks and line ends as single blanks."""
        return " ".join("".join(self.pieces).split())

    def all(self, tag: str) -> list["Node"]:
        """Return the children of this tag."""
        return [child for child in self.children if child.tag == tag]

    def find(self, tag: str) -> "Node | None":
        """Return the child of this tag or None; two are an error, since either may be meant."""
        found = self.all(tag)
        if len(found) > 1:
            raise UserError(f"{found[1].place}: expected one <{tag}> in <{self.tag}>, got {len(found)}")
        return found[0] if found else None

    def child(self, tag: str) -> "Node":
        """Return the one child of this tag.

        Raises:
            UserError: none or several.
        """
        found = self.find(tag)
        if found is None:
            tags = ", ".join(f"<{child.tag}>" for child in self.children)
            raise UserError(
                f"{self.place}: expected <{tag}> in <{self.tag}>, got {show_text(tags) or 'nothing'}"
            )
        return found

    def attribute(self, name: str) -> str:
        """Return an attribute.

        Raises:
            UserError: there is none of the name.
        """
        if name not in self.attributes:
            names = show_text(" ".join(self.attributes))
            raise UserError(f"{self.place}: expected {name}=... in <{self.tag}>, got {names or 'nothing'}")
        return self.attributes[name]


def show_text(text: str) -> str:
    """Return as much of a text as a message can hold."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def parse_numbers(fields: Sequence[str], names: Sequence[str], place: str) -> list[float]:
    """Return texts as numbers that a coordinate can be.

    Raises:
        UserError: one is no number, not finite or beyond 1e7.
    """
    for field, name in zip(fields, names, strict=True):
        if len(field) > SHOWN:
            raise UserError(f"{place}: expected a number for {name}, got {show_text(field)!r}")
    return to_numbers(list(fields), list(names), place)


def numbers_of(parent: Node, tags: Sequence[str]) -> list[float]:
    """Return the numbers in the children of these tags."""
    nodes = [parent.child(tag) for tag in tags]
    return [parse_numbers([node.text], [f"<{node.tag}>"], node.place)[0] for node in nodes]


def read_xml(path: Path, root: str | None = None) -> Node:
    """Return the root element of a file.

    Raises:
        UserError: the file cannot be read, is no well-formed XML, has a DOCTYPE or another root element.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    node = _Tree(path).parse(data)
    if root is not None and node.tag != root:
        raise UserError(f"{node.place}: expected <{root}> as the root element, got <{show_text(node.tag)}>")
    return node


class _Tree:
    """What expat calls while it reads one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.above = [Node(path, 0, "", {})]  # the elements that are open

    def parse(self, data: bytes) -> Node:
        declared = _DECLARED.match(data[:200])
        encoding = declared[1].decode().lower() if declared else ""
        if encoding in _MULTIBYTE:
            data = self._recode(data, encoding)
        self.parser = expat.ParserCreate("utf-8" if encoding in _MULTIBYTE else None)
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            message = expat.ErrorString(error.code)
            raise UserError(f"{self.path}:{error.lineno}: expected well-formed XML: {message}") from None
        except UserError:
            raise
        except (LookupError, ValueError) as error:  # an encoding that Python does not know, or cannot use
            message = f"expected a known encoding, got {encoding!r}: {first_line(error)}"
            raise UserError(f"{self.path}:1: {message}") from None
        return self.above[0].children[0]

    def _recode(self, data: bytes, encoding: str) -> bytes:
        try:
            return data.decode(encoding).encode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UserError(f"{self.path}:{line}: expected {encoding} text, as the file declares") from None

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        node = Node(self.path, self.parser.CurrentLineNumber, tag, attributes)
        if len(self.above) > MAX_DEPTH:
            raise UserError(f"{node.place}: expected at most {MAX_DEPTH} elements in each other")
        self.above[-1].children.append(node)
        self.above.append(node)

    def _end(self, _: str) -> None:
        self.above.pop()

    def _text(self, text: str) -> None:
        self.above[-1].pieces.append(text)

    def _refuse(self, *_: object) -> None:
        place = f"{self.path}:{self.parser.CurrentLineNumber}"
        raise UserError(f"{place}: expected no DOCTYPE: entities are never resolved")

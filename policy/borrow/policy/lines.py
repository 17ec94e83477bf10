"""Find the line on which a key of a TOML text stands, so that an error can point at it.

tomllib gives values without positions. This scanner reads only what it must: table headers and the
keys before `=`; values are skipped, strings and brackets respected. It runs on texts that tomllib
has accepted, so it does not judge syntax. Keys inside an inline table and elements of an array are
found through the key that holds them.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]  # ("rule", 0, "approve", "mode"); numbers are positions in an array

_KEY = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
_HEADER = re.compile(rf"(\[\[?)[ \t]*({_KEYS})[ \t]*\]\]?")
_ASSIGNED = re.compile(rf"({_KEYS})[ \t]*=")
_VALUE = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}'''  # up to two quotes may stand before the closing three
    r"""|'''.*?'{3,5}"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
    r"""|\#[^\n]*|[\[{]|[\]}]|\n|[^"'\#\[\]{}\n]+""",
    re.DOTALL,
)


class Lines:
    """Where each key stands. For a path it does not know, it answers for the nearest parent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}  # arrays of tables: how many entries so far
        self._line, self._counted = 1, 0
        self._scan()

    def find(self, path: Path) -> int:
        """Line of `path`, counted from 1; 0 when not even its first part is known."""
        for length in range(len(path), 0, -1):
            line = self._at.get(path[:length])
            if line:
                return line
        return 0

    def _scan(self) -> None:
        here: Path = ()
        position = 0
        while position < len(self._text):
            if blank := _BLANK.match(self._text, position):
                position = blank.end()
            elif header := _HEADER.match(self._text, position):
                here = self._enter(_names(header[2]), is_array=header[1] == "[[")
                self._note(here, position)
                position = header.end()
            elif assigned := _ASSIGNED.match(self._text, position):
                self._note((*here, *_names(assigned[1])), position)
                position = self._after_value(assigned.end())
            else:
                return  # not TOML that we know; an error without a line beats a wrong line

    def _enter(self, names: list[str], *, is_array: bool) -> Path:
        path: Path = ()
        for depth, name in enumerate(names, start=1):
            path = (*path, name)
            if depth == len(names) and is_array:
                self._arrays[path] = self._arrays.get(path, 0) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        return path

    def _note(self, path: Path, position: int) -> None:
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        for length in range(1, len(path) + 1):
            self._at.setdefault(path[:length], self._line)

    def _after_value(self, position: int) -> int:
        depth = 0
        while token := _VALUE.match(self._text, position):
            position = token.end()
            if token[0] in ("[", "{"):
                depth += 1
            elif token[0] in ("]", "}"):
                depth -= 1
            elif token[0] == "\n" and depth == 0:
                break
        return position


def _names(keys: str) -> list[str]:
    """The parts of a dotted key, unquoted by the parser that accepted them."""
    found: object = tomllib.loads(f"{keys} = 0")
    names: list[str] = []
    while isinstance(found, dict):
        name, found = next(iter(found.items()))
        names.append(name)
    return names

"""Small tables below a test run: what was observed, by the tests that asserted it.

A test records `table`: [title, row, column, text]. Each title becomes a section of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Entry = tuple[str, str, str, str]


class Table:
    """One table that a test fills, cell by cell."""

    def __init__(self, record: Callable[[str, object], None], title: str) -> None:
        self._record = record
        self._title = title

    def say(self, row: str, column: str, text: str) -> None:
        self._record("table", [self._title, row, column, text])


def drawn(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """The lines of each title's table; rows in alphabetical order, columns as they came."""
    tables: dict[str, dict[tuple[str, str], str]] = {}
    for title, row, column, text in entries:
        tables.setdefault(title, {})[row, column] = text
    return {title: _lines(cells) for title, cells in tables.items()}


def _lines(cells: dict[tuple[str, str], str]) -> list[str]:
    rows = sorted({row for row, _ in cells})
    columns = list(dict.fromkeys(column for _, column in cells))
    table = [["", *columns], *([row, *(cells.get((row, c), "-") for c in columns)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]

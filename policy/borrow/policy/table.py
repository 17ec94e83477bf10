"""Read one TOML table strictly: every key known, every value typed, every error with its place.

Knows nothing about policies. A caller takes what it wants by name and type; what is wrong becomes
`Misconfigured` with file, line, dotted path and the values that would be right.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from borrow.protocol.durations import parse_duration, show_duration
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from borrow.policy.lines import Lines, Path

SHOWN = 60  # characters of a value that an error repeats
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_E = TypeVar("_E", bound=StrEnum)


class Source:
    """The file an error points at."""

    def __init__(self, name: str, lines: Lines) -> None:
        self._name = name
        self._lines = lines

    def line(self, path: Path) -> int:
        return self._lines.find(path)

    def error(self, path: Path, message: str, hint: str) -> Misconfigured:
        line = self.line(path)
        place = f"{self._name}:{line}" if line else self._name
        return Misconfigured(f"{place}: {message}", hint=hint)


def show(value: object) -> str:
    """A value of the file, cut, with anything that could move a cursor escaped."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def names(values: Sequence[str]) -> str:
    return ", ".join(values)


class Table:
    """One table with its path. `label` is how the path reads: `rule[prod-write].approve`."""

    def __init__(
        self, data: Mapping[str, object], path: Path, source: Source, label: str = ""
    ) -> None:
        self._data = data
        self._source = source
        self.path = path
        self.label = label

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    @property
    def line(self) -> int:
        return self._source.line(self.path)

    def dotted(self, key: str) -> str:
        shown = key if _BARE.fullmatch(key) else show(key)
        return f"{self.label}.{shown}" if self.label else shown

    def bad(self, key: str, message: str, hint: str) -> Misconfigured:
        """An error at `key`; `{}` in `message` stands for its dotted path."""
        path = (*self.path, key) if key else self.path
        dotted = self.dotted(key) if key else self.label
        return self._source.error(path, message.replace("{}", dotted, 1), hint)

    def wrong(self, key: str, value: object, allowed: str) -> Misconfigured:
        return self.bad(key, f"{{}} cannot be {show(value)}", f"allowed: {allowed}")

    def only(self, allowed: Sequence[str], later: Mapping[str, str] | None = None) -> None:
        """Refuse every key that is not in `allowed`; one in `later` gets its own explanation."""
        for key in self._data:
            if key in allowed:
                continue
            if later and key in later:
                raise self.not_yet(key, later[key])
            near = get_close_matches(key, allowed, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise self.bad(key, "unknown key {}", f"{guess}allowed here: {names(allowed)}")

    def not_yet(self, key: str, what: str) -> Misconfigured:
        return self.bad(
            key,
            f"{{}} is not available yet ({what})",
            "leave it out for now: what would not be enforced is refused instead of ignored",
        )

    # One method a type. Without a default, a missing key is an error.

    def text(self, key: str, default: str | None = None, allowed: str = "a text in quotes") -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or (not value and default != ""):
            raise self.wrong(key, value, allowed)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "true, false")
        return value

    def is_text(self, key: str) -> bool:
        return isinstance(self._data.get(key), str)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._get(key, default)
        # bool is an int in Python and never one in TOML
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def seconds(self, key: str, low: int, high: int, default: int) -> int:
        if key not in self._data:
            return default
        text = self.text(key)
        allowed = f"a duration from {show_duration(low)} to {show_duration(high)}, such as 15m"
        try:
            value = parse_duration(text)
        except Misconfigured as exc:
            raise self.wrong(key, text, allowed) from exc
        if not low <= value <= high:
            raise self.wrong(key, text, allowed)
        return value

    def choice(self, key: str, values: Sequence[str], default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str) or value not in values:
            raise self.wrong(key, value, names(values))
        return value

    def member(self, key: str, kind: type[_E], default: _E | None = None) -> _E:
        return kind(self.choice(key, tuple(kind), default))

    def texts(self, key: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts, each once. Empty is an error: "all of nobody" must not read as a yes."""
        value = self._get(key, default)
        if value == default and default is not None:
            return default
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, value, 'a list of texts, such as ["one", "two"]')
        if not value:
            raise self.bad(key, "{} is an empty list", "name at least one, or leave the key out")
        for item in value:
            if value.count(item) > 1:
                raise self.bad(key, f"{{}} names {show(item)} twice", "each once is enough")
        return tuple(value)

    def items(self, key: str) -> list[object]:
        """A list of anything, not empty."""
        value = self._get(key, None)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, value, "a list that is not empty")
        return value

    def table(self, key: str) -> Table:
        """The table under `key`; an absent one reads as empty."""
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, value, f"a table, [{self.dotted(key)}]")
        return Table(value, (*self.path, key), self._source, self.dotted(key))

    def tables(self, key: str) -> list[Table]:
        """The tables of `[[key]]`, labelled by their `id` where they have a good one."""
        value = self._data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, value, f"a list of tables, [[{key}]]")
        return [
            Table(item, (*self.path, key, at), self._source, f"{key}[{_label(item, at)}]")
            for at, item in enumerate(value)
        ]

    def _get(self, key: str, default: object) -> object:
        value = self._data.get(key, default)
        if value is None:  # TOML has no null, so None is only ever "absent"
            where = self.label or "the file"
            raise self.bad("", f"{where} lacks {key!r}", f"add: {key} = …")
        return value


def _label(item: Mapping[str, object], at: int) -> str:
    name = item.get("id")
    return name if isinstance(name, str) and _BARE.fullmatch(name) else f"#{at + 1}"

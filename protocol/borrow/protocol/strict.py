"""Bytes into values, strictly: base64url, JSON, and the members of one object.

Signed bytes are parsed here after they were verified, and untrusted ones before. Whatever is odd
(duplicate members, NaN, deep nesting, unknown members, wrong types) raises `Untrusted`, and the
message never repeats the input.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 16  # PROTOCOL "Signing rules": deeper than any message of ours, shallow for a parser
_B64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_MISSING = object()


def b64url(data: bytes) -> str:
    """RFC 7515 base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_b64url(text: str, what: str = "value") -> bytes:
    """The one decoding of `text`; padding and non-canonical spellings raise Untrusted."""
    if not _B64URL.fullmatch(text):
        raise Untrusted(f"the {what} is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Untrusted(f"the {what} is not base64url") from None
    if b64url(data) != text:  # a second spelling of the same bytes would be a second token
        raise Untrusted(f"the {what} is not canonical base64url")
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Untrusted("a JSON object names a member twice")
    return out


def _no_constant(_: str) -> Any:
    raise Untrusted("JSON holds a number that is none")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Untrusted("JSON holds a number that is none")
    return number


def _depth_within(value: Any, left: int) -> bool:
    if isinstance(value, dict):
        return left > 0 and all(_depth_within(v, left - 1) for v in value.values())
    if isinstance(value, list):
        return left > 0 and all(_depth_within(v, left - 1) for v in value)
    return True


def parse_object(data: bytes | str, what: str, *, limit: int = 16_384) -> dict[str, Any]:
    """The JSON object in at most `limit` bytes of UTF-8, or Untrusted."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) > limit:
        raise Untrusted(f"the {what} is larger than {limit} bytes")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise Untrusted(f"the {what} is not JSON") from None
    if not isinstance(value, dict) or not _depth_within(value, MAX_DEPTH):
        raise Untrusted(f"the {what} is not a plain JSON object")
    return value


class Members:
    """Take the members of one object one by one, each with its type; `end` refuses the rest.

    Every method raises Untrusted naming `what` and the member, never its value.
    """

    def __init__(self, members: Mapping[str, Any], what: str) -> None:
        self._left = dict(members)
        self._what = what

    def _take(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value = self._left.pop(name, default)
        if value is _MISSING:
            raise Untrusted(f"the {self._what} lacks {name}")
        if value is default:
            return value
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Untrusted(f"{name} in the {self._what} has the wrong type")
        return value

    def text(self, name: str, *, limit: int = 2_048) -> str:
        value: str = self._take(name, str, _MISSING)
        return self._sized(name, value, limit)

    def text_or(self, name: str, default: str = "", *, limit: int = 2_048) -> str:
        value: str = self._take(name, str, default)
        return self._sized(name, value, limit)

    def whole(self, name: str, *, low: int = 0, high: int = 2**53) -> int:
        value: int = self._take(name, int, _MISSING)
        if not low <= value <= high:
            raise Untrusted(f"{name} in the {self._what} is out of range")
        return value

    def object(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._take(name, dict, _MISSING)
        return value

    def object_or(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        value: dict[str, Any] = self._take(name, dict, {} if default is None else default)
        return value

    def array(self, name: str, *, limit: int = 64) -> list[Any]:
        value: list[Any] = self._take(name, list, _MISSING)
        if len(value) > limit:
            raise Untrusted(f"{name} in the {self._what} has too many entries")
        return value

    def exactly(self, name: str, wanted: str) -> None:
        if self.text(name) != wanted:
            raise Untrusted(f"{name} in the {self._what} is not the expected one")

    def has(self, name: str) -> bool:
        return name in self._left

    def end(self) -> None:
        """Refuse whatever was not taken: an unknown request member is never ignored."""
        if self._left:
            raise Untrusted(f"the {self._what} has unknown members")

    def _sized(self, name: str, value: str, limit: int) -> str:
        if len(value.encode("utf-8", "surrogatepass")) > limit or not _is_text(value):
            raise Untrusted(f"{name} in the {self._what} is not text of at most {limit} bytes")
        return value


def _is_text(value: str) -> bool:
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in value)

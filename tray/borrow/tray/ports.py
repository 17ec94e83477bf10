"""What the desktop needs of the daemon's control socket; the command line brings the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Stream(Protocol):
    def events(self, tick: float) -> Iterator[dict[str, Any] | None]: ...
    def close(self) -> None: ...


class Daemon(Protocol):
    """Blocking calls that raise BorrowError. `follow` is a GET whose answer comes line by line."""

    def get(self, path: str) -> dict[str, Any]: ...
    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]: ...
    def stream(self, path: str, body: Mapping[str, Any]) -> Stream: ...
    def follow(self, path: str) -> Stream: ...

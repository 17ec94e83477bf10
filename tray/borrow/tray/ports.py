"""What the tray needs: the daemon's control socket, whose client the command line brings, and
whatever shows notifications on this system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.tray.quiet import Bubble


class Stream(Protocol):
    def events(self, tick: float) -> Iterator[dict[str, Any] | None]: ...
    def close(self) -> None: ...


class Daemon(Protocol):
    """Blocking calls that raise BorrowError. `follow` is a GET whose answer comes line by line."""

    def get(self, path: str) -> dict[str, Any]: ...
    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]: ...
    def stream(self, path: str, body: Mapping[str, Any]) -> Stream: ...
    def follow(self, path: str) -> Stream: ...


class Notifier(Protocol):
    """`show` is False where nothing shows notifications. Nothing here raises for that."""

    async def start(self) -> None: ...
    async def show(self, bubble: Bubble) -> bool: ...
    async def withdraw(self, key: str) -> None: ...
    async def withdraw_all(self) -> None: ...

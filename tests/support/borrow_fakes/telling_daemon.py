"""The daemon as the tray sees it: tells what a test puts in, keeps what it was told."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.protocol.errors import BorrowError


@dataclass
class TellingDaemon:
    """Tells what a test puts in `lines`; None ends the stream as a stopped daemon does."""

    lines: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)
    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refuses: BorrowError | None = None

    def get(self, path: str) -> dict[str, Any]:
        return {"roles": [{"name": "dev"}, {"name": "prod"}, {"odd": 1}]}

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.posted.append((path, dict(body or {})))
        if self.refuses is not None:
            raise self.refuses
        return {}

    def stream(self, path: str, body: Mapping[str, Any]) -> TellingDaemon:
        raise NotImplementedError

    def follow(self, path: str) -> TellingDaemon:
        return self

    def events(self, tick: float) -> Iterator[dict[str, Any] | None]:
        while (line := self.lines.get()) is not None:
            yield line

    def close(self) -> None:
        self.lines.put(None)

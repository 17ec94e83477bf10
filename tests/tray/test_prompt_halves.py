"""The prompt's answer to half a yes: what is missing, never that it was approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.tray.prompt import Waiting, to_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ONE = {
    "request": "r-1",
    "request_hash": "h",
    "person": "ann@example.com",
    "role": "root",
    "mode": "peer",
    "factors": ["device", "passkey"],
    "every": True,
    "given": [],
    "seconds": 3600,
    "state": "pending",
}


class Daemon:
    """Answers what it was made with; streams one event."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.posted: list[dict[str, Any]] = []

    def get(self, path: str) -> dict[str, Any]:
        return ONE

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.posted.append(dict(body or {}))
        return self.answer

    def stream(self, path: str, body: Mapping[str, Any]) -> Daemon:
        return self

    def follow(self, path: str) -> Daemon:
        return self

    def events(self, tick: float) -> Iterator[dict[str, Any] | None]:
        yield self.answer

    def close(self) -> None:
        pass


def test_half_a_yes_is_told_as_half() -> None:
    daemon = Daemon({"request": "r-1", "state": "pending", "missing": ["passkey"]})
    answer = to_answer(daemon, "r-1", 0.0).say_yes({}, 0)
    assert answer.told == "half a yes: root (r-1); your passkey's yes is missing"
    whole = Daemon({"request": "r-1", "state": "approved"})
    assert to_answer(whole, "r-1", 0.0).say_yes({}, 0).told == "approved: root (r-1)"


def test_the_askers_window_says_whose_half_is_missing() -> None:
    half = {"person": "bo@example.com", "given": ["device"], "missing": ["passkey"]}
    event = {"event": "seen", "request": "r-1", "mode": "peer", "seen": {"halves": [half]}}
    waiting = Waiting("root", Daemon(event))
    assert next(waiting.told()) == ""
    assert waiting.lines[0] == (
        "bo@example.com said yes at their workstation; their passkey's yes is missing"
    )

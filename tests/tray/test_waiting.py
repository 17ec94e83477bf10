"""What the window says while one's own question is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.tray.prompt import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = [f"{name}@example.com" for name in ("ann", "bo", "cy", "di", "ed")]


class Told:
    """A stream of one event."""

    def __init__(self, event: dict[str, Any]) -> None:
        self._event = event

    def events(self, tick: float) -> Iterator[dict[str, Any] | None]:
        yield self._event

    def close(self) -> None:
        return


def lines(**seen: Any) -> tuple[str, ...]:
    event = {"event": "seen", "request": "r-1", "mode": "peer", "number": "417", "seen": seen}
    waiting = Waiting("prod", Told(event | {"asked": ASKED, "words": "red-fox"}))
    assert next(waiting.told()) == ""
    return waiting.lines


def test_it_says_who_was_asked_how_many_saw_it_who_looks_and_how_long_it_takes() -> None:
    told = lines(seen=ASKED[:2], looking=ASKED[:1], usual_wait=38)
    assert told == (
        "red-fox: they see the same number and words",
        "asked: ann@example.com, bo@example.com, cy@example.com and 2 more",
        "seen by 2 · ann@example.com is looking · usually answered in 38s",
        "r-1",
    )


def test_what_is_not_known_is_not_said_and_attack_text_is_escaped() -> None:
    assert lines()[-2].startswith("asked: ")
    assert lines(usual_wait=38)[-2] == "usually answered in 38s"
    assert lines(looking=["\x1b[2Jx"])[-2] == "\\u{1b}[2Jx is looking"
    assert lines(seen="x", looking={"a": 1}, usual_wait="soon") == lines()

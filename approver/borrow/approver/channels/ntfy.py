"""Fixed words and a link to an ntfy topic (https://ntfy.sh/docs/publish), as one POST. Pure.

Whoever reads the topic learns that something waits, and a link that opens for its person only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.approver.channels.calling import WORDS

if TYPE_CHECKING:
    from borrow.approver.channels.calling import Kind
    from borrow.approver.channels.ways import Ways

_LOUD: Final = frozenset({"ask", "own", "alarm"})


def message(
    ways: Ways, kind: Kind, *, handle: str, link: str, quiet: bool
) -> tuple[bytes, dict[str, str]]:
    """(body, headers). A later message of the same handle replaces the earlier one (ntfy 2.16 and
    newer; an older server shows both)."""
    title, text = WORDS[kind]
    priority = "min" if kind == "withdraw" else "high" if kind in _LOUD and not quiet else "low"
    headers = {
        "Title": title,
        "Click": link,
        "Priority": priority,
        "X-Sequence-ID": handle,
        "Content-Type": "text/plain; charset=utf-8",
    }
    if ways.ntfy_token:
        headers["Authorization"] = f"Bearer {ways.ntfy_token}"
    return text.encode(), headers

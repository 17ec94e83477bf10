"""What the edge refused: counted by reason for `status`, and a few lines of it for the log.

A page or a program that knocks ten thousand times makes fifteen lines: the first of each power of
two. The lines name the reason and the kernel's word on the user, never anything that was sent.
"""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger("borrow.daemon.edge")  # under the one that is written down


class Rejections:
    """Owned by the daemon; called for each refusal of the door, the guard and the routes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, reason: str, uid: int | None = None) -> None:
        self.counts[reason] += 1
        count = self.counts[reason]
        if count & (count - 1) == 0:
            logger.warning("local.reject", extra={"reason": reason, "uid": uid, "n": count})

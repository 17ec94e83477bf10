"""What a shell's prompt shows, in a file that the shell can read by itself.

`prompts/<sid>` in the runtime directory: a line `ROLE END` (unix seconds) for each grant of that
terminal session. A shell that starts no program at a prompt can show it, and counts down by itself.
It is a label and no right to anything: what is served is decided by the cache. An agent's grants
are not its person's, so they are not there.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from borrow.daemon.cache import Grant
    from borrow.daemon.moments import Moment

FOLDER: Final = "prompts"


class Prompts:
    """The files of one daemon; those of an earlier one are removed at the start."""

    def __init__(
        self, folder: Path, live: Callable[[Moment], Iterable[Grant]], now: Callable[[], Moment]
    ) -> None:
        self._folder = folder
        self._live = live
        self._now = now
        self._written: dict[str, str] = {}
        self.clear()

    def clear(self) -> None:
        """A daemon that starts, or ends, serves nothing of what stands there."""
        self._written = {}
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                path.unlink()

    def refresh(self) -> None:
        """After a grant came or went. A full disk leaves a prompt without a label, nothing else."""
        now = self._now()
        lines: dict[str, list[tuple[float, str]]] = {}
        for grant in self._live(now):
            if sid := person_session(grant.group):
                ends = now.wall + grant.ends.left(now)
                lines.setdefault(sid, []).append((ends, f"{grant.role} {int(ends)}\n"))
        wanted = {sid: "".join(text for _, text in sorted(each)) for sid, each in lines.items()}
        with contextlib.suppress(OSError):
            for sid in self._written.keys() - wanted.keys():
                (self._folder / sid).unlink(missing_ok=True)
            for sid, text in wanted.items():
                if self._written.get(sid) != text:
                    self._write(sid, text)
            self._written = wanted

    def _write(self, sid: str, text: str) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        fresh = self._folder / f".{sid}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(fresh, flags, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self._folder / sid)


def person_session(group: str) -> str:
    """The session id in a caller group's id (`role:sid:start`); "" for agents and IMDS."""
    parts = group.split(":")
    return parts[1] if len(parts) == 3 and parts[1].isdecimal() else ""

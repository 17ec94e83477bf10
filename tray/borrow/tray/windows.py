"""The windows that the tray opened: one process each, at most one a question."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from borrow.protocol.errors import Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_NOW: Final = 130  # closed without an answer
TOLD: Final = 300  # characters of a failed window's last words
_ERROR, _HINT = "borrow: error: ", "borrow: hint: "


@dataclass(slots=True)
class Windows:
    """`command` starts `borrow prompt`."""

    command: Sequence[str]
    _open: set[str] = field(default_factory=set)

    async def show(self, key: str, *words: str) -> None:
        """Until it is closed; a second click on the same question opens no second window.

        It ends with the task that waits here. Raises Unavailable with the window's own words if it
        could not be opened. It runs in our own session: what is borrowed from the menu is lent to
        programs of this desktop.
        """
        if key in self._open:
            return
        self._open.add(key)
        try:
            process = await asyncio.create_subprocess_exec(
                *(*self.command, *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, said = await process.communicate()
            except asyncio.CancelledError:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                raise
        finally:
            self._open.discard(key)
        if process.returncode not in (0, NOT_NOW):
            raise _failed(said.decode("utf-8", "replace"))


def _failed(said: str) -> Unavailable:
    """What it printed last, as the command line prints its errors."""

    def last(mark: str) -> str:
        found = [line.removeprefix(mark) for line in said.splitlines() if line.startswith(mark)]
        return shown(found[-1], TOLD) if found else ""

    error = last(_ERROR) or "the window could not be opened"
    return Unavailable(error, hint=last(_HINT) or "borrow inbox")

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
CLOSING: Final = 0.5  # seconds: a click so shortly before the end met a window that was going
END_WITHIN: Final = 3.0  # seconds
TOLD: Final = 300  # characters of a failed window's last words
_ERROR, _HINT = "borrow: error: ", "borrow: hint: "


@dataclass(slots=True)
class Windows:
    """`command` starts `borrow prompt`."""

    command: Sequence[str]
    _open: dict[str, float] = field(default_factory=dict)  # when it was last asked for, by key

    async def show(self, key: str, *words: str) -> None:
        """Until it is closed; a second click on the same question opens no second window.

        It ends with the task that waits here. Raises Unavailable with the window's own words if it
        could not be opened. It runs in our own session: what is borrowed from the menu is lent to
        programs of this desktop.
        """
        now = asyncio.get_running_loop().time
        is_open = key in self._open
        self._open[key] = now()
        if is_open:
            return
        try:
            while True:
                begun = now()
                await self._one(words)
                asked = self._open[key]
                if asked <= begun or now() - asked > CLOSING:
                    return
        finally:
            del self._open[key]

    async def _one(self, words: tuple[str, ...]) -> None:
        process = await asyncio.create_subprocess_exec(
            *(*self.command, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            await _ended(process)
            raise
        if process.returncode not in (0, NOT_NOW):
            raise _failed(said.decode("utf-8", "replace"))


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(END_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()


def _failed(said: str) -> Unavailable:
    """What it printed last, as the command line prints its errors."""

    def last(mark: str) -> str:
        found = [line.removeprefix(mark) for line in said.splitlines() if line.startswith(mark)]
        return shown(found[-1], TOLD) if found else ""

    error = last(_ERROR) or "the window could not be opened"
    return Unavailable(error, hint=last(_HINT) or "borrow inbox")

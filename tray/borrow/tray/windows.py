"""The windows that the tray opened: one process each, at most one a question."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Windows:
    """`command` starts `borrow prompt`."""

    command: Sequence[str]
    _open: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def open(self, key: str, *words: str) -> None:
        """A second click on the same question does not open a second window.

        In our own session: what is borrowed from the menu is lent to programs of this desktop.
        """
        self._tidy()
        if key not in self._open:
            self._open[key] = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [*self.command, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def close(self) -> None:
        for process in self._open.values():
            if process.poll() is None:
                process.terminate()
        for process in self._open.values():
            process.wait(timeout=5)

    def _tidy(self) -> None:
        self._open = {key: each for key, each in self._open.items() if each.poll() is None}

"""What shows notifications on a system without D-Bus, in memory: `borrow.tray.native.Center`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.tray.native import Told


@dataclass
class FakeCenter:
    """Shows notifications in memory. `silent`: none, as outside of an app bundle."""

    silent: bool = False
    fails: bool = False
    shown: dict[str, Told] = field(default_factory=dict)
    past: list[Told] = field(default_factory=list)
    _handlers: dict[str, tuple[Callable[[str], None], Callable[[], None]]] = field(
        default_factory=dict
    )

    async def show(
        self, told: Told, on_action: Callable[[str], None], on_closed: Callable[[], None]
    ) -> str:
        if self.fails:
            raise RuntimeError("an odd system")
        if self.silent:
            return ""
        name = f"n-{len(self.past)}"
        self.past.append(told)
        self.shown[name] = told
        self._handlers[name] = (on_action, on_closed)
        return name

    async def close(self, name: str) -> None:
        self.shown.pop(name, None)

    def press(self, name: str, action: str) -> None:
        """From a thread of the system's, as macOS does."""
        self.shown.pop(name, None)
        thread = threading.Thread(target=self._handlers[name][0], args=(action,))
        thread.start()
        thread.join()

    def dismiss(self, name: str) -> None:
        self.shown.pop(name, None)
        self._handlers[name][1]()

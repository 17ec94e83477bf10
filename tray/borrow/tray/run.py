"""`borrow tray`: pystray on the main thread, on Linux with our own backend.

`PYSTRAY_BACKEND` chooses another of pystray's backends (gtk, appindicator); then there are no
notifications of ours and only the menu. macOS and Windows use pystray's own; that is wired and has
not been tried.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Misconfigured
from borrow.tray.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from borrow.tray.app import App
    from borrow.tray.menu import Entry
    from borrow.tray.picture import Picture
    from borrow.tray.ports import Daemon

INSTALL = "pip install 'borrow[tray]'"


def run(daemon: Daemon, *, prompt: Sequence[str], start_daemon: Callable[[], None]) -> None:
    """Until the person quits or the desktop session ends. `prompt` is `borrow prompt`'s command."""
    pystray = load_pystray()
    from borrow.tray.app import App
    from borrow.tray.drawing import draw
    from borrow.tray.picture import picture
    from borrow.tray.snapshot import Snapshot

    windows = Windows(prompt)
    icon: Any = None

    def show(seen: Picture, entries: tuple[Entry, ...]) -> None:
        icon.icon, icon.title = draw(seen), seen.title
        icon.menu = menu_of(entries, app.act, app.activate, pystray)

    app = App(daemon, windows, show, start_daemon)
    first = picture(Snapshot(), 0.0)
    kind = backend(pystray)
    icon = kind("borrow", draw(first), first.title, pystray.Menu(), sni_beside=app.run)
    try:
        icon.run()
    except* BaseException as group:  # one cause is enough, and the group says nothing
        raise first_of(group) from None
    finally:
        windows.close()


def load_pystray() -> Any:
    """Imported late and with its dummy: on import it would open the X display."""
    os.environ.setdefault("PYSTRAY_BACKEND", "dummy" if sys.platform == "linux" else "")
    try:
        import pystray
    except Exception as exc:  # its backends fail in their own ways, Xlib's among them
        raise Misconfigured("the tray's libraries are not installed", hint=INSTALL) from exc
    return pystray


def backend(pystray: Any) -> Any:
    if sys.platform != "linux" or os.environ["PYSTRAY_BACKEND"] != "dummy":
        return _beside(pystray.Icon)
    try:
        from borrow.tray._sni import Icon
    except ImportError as exc:
        raise Misconfigured("the tray's libraries are not installed", hint=INSTALL) from exc
    return Icon

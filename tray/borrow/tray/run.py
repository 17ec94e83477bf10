"""`borrow tray`: pystray on the main thread, on Linux with our own backend.

`PYSTRAY_BACKEND` chooses another of pystray's backends (gtk, appindicator); then there are no
notifications of ours and only the menu. macOS and Windows use pystray's own, and their own
notifications (`native`); that is wired and has not been tried.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Misconfigured
from borrow.tray.tasks import spawner
from borrow.tray.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from borrow.tray.menu import Action, Entry
    from borrow.tray.picture import Picture
    from borrow.tray.ports import Daemon

INSTALL = "pip install 'borrow[tray]'"


def run(daemon: Daemon, *, prompt: Sequence[str], start_daemon: Callable[[], object]) -> None:
    """Until the person quits or the desktop session ends. `prompt` is `borrow prompt`'s command."""
    pystray = load_pystray()
    from borrow.tray import presence
    from borrow.tray.app import App
    from borrow.tray.drawing import draw
    from borrow.tray.native import center_here
    from borrow.tray.picture import picture
    from borrow.tray.snapshot import Snapshot

    windows = Windows(prompt)
    icon: Any = None

    def show(seen: Picture, entries: tuple[Entry, ...]) -> None:
        def change() -> None:
            icon.icon, icon.title = draw(seen), seen.title
            icon.menu = menu_of(entries, app.act, app.activate, pystray)

        on_main(change)

    app = App(
        daemon,
        windows,
        show,
        start_daemon,
        center=center_here(sys.platform),
        tells_presence=not presence.is_off(os.environ),
    )
    first = picture(Snapshot(), 0.0)
    kind = backend(pystray)
    icon = kind("borrow", draw(first), first.title, pystray.Menu(), sni_beside=app.run)
    try:
        icon.run()
    except BaseExceptionGroup as group:
        raise first_of(group) from None  # one cause is enough, and the group says nothing


def load_pystray() -> Any:
    """Imported late and with its dummy: on import it would open the X display."""
    if sys.platform == "linux":
        os.environ.setdefault("PYSTRAY_BACKEND", "dummy")
    try:
        import pystray
    except Exception as exc:  # its backends fail in their own ways, Xlib's among them
        raise Misconfigured("the tray's libraries are not installed", hint=INSTALL) from exc
    return pystray


def backend(pystray: Any) -> Any:
    if sys.platform != "linux" or os.environ.get("PYSTRAY_BACKEND") != "dummy":
        return _beside(pystray.Icon)
    try:
        from borrow.tray._sni import Icon
    except ImportError as exc:
        raise Misconfigured("the tray's libraries are not installed", hint=INSTALL) from exc
    return Icon


def menu_of(
    entries: Sequence[Entry],
    act: Callable[[Action], None],
    activate: Callable[[], None],
    pystray: Any,
) -> Any:
    """Our entries as pystray's; a click on the icon is its menu's invisible default item."""

    def item(entry: Entry) -> Any:
        if not entry.text:
            return pystray.Menu.SEPARATOR
        made = plain(entry)
        made.key = entry.key  # its words may count down: ours reads it, other backends do not
        return made

    def plain(entry: Entry) -> Any:
        action, checked = entry.action, entry.checked
        if entry.children:
            return pystray.MenuItem(entry.text, pystray.Menu(*map(item, entry.children)))
        if action is None:
            return pystray.MenuItem(entry.text, None, enabled=False)
        tick = None if checked is None else (lambda _: checked)
        return pystray.MenuItem(entry.text, lambda: act(action), checked=tick)

    first = pystray.MenuItem("Open", lambda: activate(), default=True, visible=False)
    return pystray.Menu(first, *map(item, entries))


def _beside(kind: Any) -> Any:
    """pystray's own icon (macOS, Windows, gtk), with our loop in a thread beside it. Untried."""

    class Icon(kind):  # type: ignore[misc]  # pystray has no types
        def __init__(self, *words: Any, sni_beside: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            self._app = sni_beside

        def run(self, setup: Any = None) -> None:
            threading.Thread(target=self._loop, daemon=True).start()
            super().run(setup)

        def _loop(self) -> None:
            async def live() -> None:
                async with asyncio.TaskGroup() as group:
                    await self._app(None, spawner(group))

            try:
                asyncio.run(live())
            finally:
                self.stop()

    return Icon


def on_main(change: Callable[[], None], platform: str = sys.platform) -> None:
    """On macOS only the main thread may touch icon and menu: elsewhere the process is killed."""
    if platform == "darwin":
        from PyObjCTools import AppHelper  # type: ignore[import-not-found]  # macOS only

        AppHelper.callAfter(change)
    else:
        change()


def first_of(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
